"""What the network pages hold: plain values, so that a template cannot query."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.core.day_panel import DayPanel
from aggregator.core.display import NO_VALUE, Stamp, number, stamp
from aggregator.core.small_numbers import SMALLEST_GROUP
from aggregator.core.timegrid import LONDON
from dispatch.core.network_state import Loading, TreeRow

BAR_TO = 1.25  # a bar ends at 125 % of the rating
STALE_AFTER = timedelta(hours=48)  # readings come by the day
UNDER_FIVE = f"under {SMALLEST_GROUP}"
NOT_SHOWN = "not shown"
WITHOUT_EVS = "without EVs"


@dataclass(frozen=True, slots=True)
class LoadingCells:
    """A node's loading in words.

    Attributes:
        bar: 0 to 100, of the bar's whole length; ``mark`` is where the rating lies on it.
        word: OK, NEAR, OVER, or empty where there is nothing to say it of.
        note: what the load leaves out; empty where it is whole.
    """

    percent: str
    bar: float
    mark: float
    word: str
    note: str
    headroom_kw: str
    peak_kw: str
    peak_at: str
    peak_at_utc: str


NO_LOADING = LoadingCells(NO_VALUE, 0.0, 100 / BAR_TO, "", "", NO_VALUE, NO_VALUE, NO_VALUE, "")


@dataclass(frozen=True, slots=True)
class Measured:
    """When a node was last heard of: ``age`` in words, ``is_stale`` where that is too long ago."""

    age: str
    at: Stamp | None
    is_stale: bool


NOT_MEASURED = Measured("no monitor", None, is_stale=False)


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A row of the tree, or of a list (then ``depth`` is 0 and nothing opens)."""

    code: str
    name: str
    kind: str
    depth: int
    n_below: int
    is_open: bool
    toggle: str
    loading: LoadingCells
    n_evse: str
    measured: Measured


@dataclass(frozen=True, slots=True)
class RunLine:
    """The run a page's figures are of; ``is_over`` once its day has ended."""

    pk: int
    area: str
    day: str
    as_of: Stamp
    is_over: bool


@dataclass(frozen=True, slots=True)
class NetworkPage:
    """The whole network: ``worst`` feeders, and the tree or what the filter found."""

    n_node: int
    runs: tuple[RunLine, ...]
    worst: tuple[NodeLine, ...]
    lines: tuple[NodeLine, ...]
    text: str
    n_hidden: int


@dataclass(frozen=True, slots=True)
class RatingLine:
    """One rating: ``rating_kw`` is kVA × power factor × cyclic factor."""

    starts_at: Stamp
    ends_at: Stamp | None
    is_in_force: bool
    rating_kw: str
    rating_kva: str
    power_factor: str
    cyclic_factor: str
    diversity: str
    ramp_kw: str
    source: str


@dataclass(frozen=True, slots=True)
class RequestLine:
    pk: int
    reference: str
    starts_at: Stamp
    ends_at: Stamp
    what: str
    target_kw: str


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class NodePage:
    """One node.

    Attributes:
        above: code and label of the nodes above, from the top.
        panel: None where no run has planned it.
        notices: what is not shown, and why.
    """

    line: NodeLine
    title: str
    above: tuple[tuple[str, str], ...]
    run: RunLine | None
    facts: tuple[Fact, ...]
    panel: DayPanel | None
    notices: tuple[str, ...]
    below: tuple[NodeLine, ...]
    ratings: tuple[RatingLine, ...]
    requests: tuple[RequestLine, ...]

    @property
    def runs(self) -> tuple[RunLine, ...]:
        return (self.run,) if self.run else ()


def loading_cells(loading: Loading | None) -> LoadingCells:
    """Put a loading into words; local time with its zone."""
    if loading is None:
        return NO_LOADING
    share = loading.share
    local = loading.peak_at.astimezone(LONDON)
    return LoadingCells(
        percent=NO_VALUE if share is None else f"{number(share * 100)} %",
        bar=0.0 if share is None else round(min(share, BAR_TO) / BAR_TO * 100, 1),
        mark=100 / BAR_TO,
        word=loading.word,
        note="" if loading.has_evs else WITHOUT_EVS,
        headroom_kw=number(loading.headroom_kw),
        peak_kw=number(loading.peak_kw),
        peak_at=f"{local:%a %H:%M %Z}",
        peak_at_utc=stamp(loading.peak_at).utc,
    )


def n_evse_cell(n_evse: int | None, *, is_shown: bool) -> str:
    """A count of EVSEs, unless it is of a handful or would tell one by subtraction."""
    if n_evse is None:
        return NO_VALUE
    if is_shown:
        return number(n_evse, 0)
    return UNDER_FIVE if 0 < n_evse < SMALLEST_GROUP else NOT_SHOWN


def measured(newest_at: datetime | None, *, now: datetime) -> Measured:
    """How long ago a node was last heard of."""
    if newest_at is None:
        return NOT_MEASURED
    age = now - newest_at
    return Measured(age_text(age), stamp(newest_at), is_stale=age > STALE_AFTER)


def age_text(age: timedelta) -> str:
    """An age as hours and minutes, from four days on as days."""
    minutes = max(int(age.total_seconds() // 60), 0)
    if minutes >= 4 * 24 * 60:
        return f"{minutes // (24 * 60)} d"
    return f"{minutes // 60:02d}:{minutes % 60:02d} h"


def node_line(
    row: TreeRow, kind: str, loading: Loading | None, *, n_evse: str, measured_: Measured, name: str
) -> NodeLine:
    return NodeLine(
        code=row.node.code,
        name=name,
        kind=kind,
        depth=row.depth,
        n_below=row.n_below,
        is_open=row.is_open,
        toggle=row.toggle,
        loading=loading_cells(loading),
        n_evse=n_evse,
        measured=measured_,
    )
