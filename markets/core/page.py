"""What the overview page holds: plain values, so that a template cannot query."""

from dataclasses import dataclass

from aggregator.core.day_panel import DayPanel
from aggregator.core.display import Stamp
from markets.core.tiles import TileGroup


@dataclass(frozen=True, slots=True)
class NodeOption:
    code: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class NodeGroup:
    substation: str
    options: tuple[NodeOption, ...]


@dataclass(frozen=True, slots=True)
class CycleView:
    """The part of the page that depends on who reads it.

    Attributes:
        subject: what chart and table are of.
        node_code: the same, where it is a network node.
        notices: sentences on what is not shown, and why.
        choices: nodes to choose from; empty where the reader has no view of the network.
        panel: None until there is a plan.
    """

    tile_groups: tuple[TileGroup, ...]
    subject: str = ""
    notices: tuple[str, ...] = ()
    choices: tuple[NodeGroup, ...] = ()
    panel: DayPanel | None = None
    node_code: str = ""


@dataclass(frozen=True, slots=True)
class StatementLine:
    pk: int
    reference: str
    dsrsp: str
    version: str
    as_of: Stamp
    is_superseded: bool
    instructed_kwh: str
    delivered_kwh: str
    performance_factor: str
    payment_gbp: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FindingCount:
    """``severity`` is the worst under this code; empty where it is not recorded."""

    code: str
    severity: str
    n: int


@dataclass(frozen=True, slots=True)
class CyclePage:
    """One cycle as one organisation may see it.

    Attributes:
        day: the charging day, its hours and how many periods they hold.
        error: why it stopped; empty unless it failed.
        last_done_pk: the newest complete cycle this reader may see, when this one is not complete.
    """

    pk: int
    state: str
    state_label: str
    day: str
    area: str
    as_of: Stamp
    started_at: Stamp
    finished_at: Stamp | None
    error: str
    view: CycleView
    statements: tuple[StatementLine, ...]
    findings: tuple[FindingCount, ...]
    last_done_pk: int | None
    run_pk: int | None
