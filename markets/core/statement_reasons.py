"""Why a statement differs from the version before: which readings arrived or were corrected, and which input changed.

Source: docs/methods/settlement.md
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from aggregator.core.types import BoolArray, IntArray, TimeArray

ReasonCode = Literal[
    "reading_arrived",
    "reading_corrected",
    "baseline_reading",
    "baseline_input",
    "product_version",
    "plan",
    "instruction",
    "membership",
    "method",
]
# Kind of input (``inputs_digest.KINDS``) -> what its change is called, and the sentence that says so.
INPUT_REASONS: Mapping[str, tuple[ReasonCode, str]] = {
    "event": ("instruction", "the event's window, direction or price is another"),
    "product": ("product_version", "the product version's rules are others"),
    "instructions": ("instruction", "other energy was instructed"),
    "baseline days": ("baseline_input", "other days are event days or bank holidays"),
    "given": ("baseline_input", "other baselines were nominated, or the control group is another"),
    "portfolio": ("membership", "other EVSEs or meters take part"),
}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Half-hours of meters that were told of after one time and not after another.

    Attributes:
        meter_pks: (n,) meter of each.
        starts_at: (n,) ``datetime64[s]`` UTC start of the half-hour.
        received_at: (n,) ``datetime64[us]`` UTC.
        is_correction: (n,) another energy was known of it before.
    """

    meter_pks: IntArray
    starts_at: TimeArray
    received_at: TimeArray
    is_correction: BoolArray

    def __len__(self) -> int:
        return len(self.meter_pks)

    def where(self, wanted: BoolArray) -> "Arrivals":
        return Arrivals(
            self.meter_pks[wanted], self.starts_at[wanted], self.received_at[wanted], self.is_correction[wanted]
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """Which half-hours a settlement reads.

    Attributes:
        event: (n_period,) ``datetime64[s]`` starts of the event's half-hours.
        history: (n_day, n_period) starts of those half-hours of its past days that stand for them.
        adjustment: (n_instant,) starts of the adjustment window, of past days and of the event's.
    """

    event: TimeArray
    history: TimeArray
    adjustment: TimeArray


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of one statement; ``starts_at`` is None where it is of the whole.

    ``n_reading`` is 0 where no reading is the reason; then there are no times either.
    """

    starts_at: datetime | None
    code: ReasonCode
    message: str
    n_reading: int = 0
    n_meter: int = 0
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None


def reading_reasons(arrivals: Arrivals, windows: Windows) -> Iterator[Reason]:
    """Reasons of one unit's statement that are readings: of the whole first, then by half-hour of the event.

    Args:
        arrivals: of the unit's meters alone.
    """
    in_event = np.isin(arrivals.starts_at, windows.event)
    in_history = np.isin(arrivals.starts_at, windows.history.ravel())
    in_adjustment = np.isin(arrivals.starts_at, windows.adjustment)
    yield from _told(None, arrivals.where(in_event), in_event_words="of the event")
    yield from _baseline(None, arrivals.where(in_history | in_adjustment))
    for period, starts_at in enumerate(windows.event):
        at = starts_at.astype("datetime64[s]").item().replace(tzinfo=UTC)
        yield from _told(at, arrivals.where(arrivals.starts_at == starts_at), in_event_words="of this half-hour")
        yield from _baseline(at, arrivals.where(np.isin(arrivals.starts_at, windows.history[:, period])))


def input_reasons(
    before: Mapping[str, str], after: Mapping[str, str], *, is_other_plan: bool, is_other_method: bool
) -> Iterator[Reason]:
    """Reasons that are inputs other than readings, each code once.

    Args:
        before, after: digests by kind of input; kinds that one of them lacks are not compared.
    """
    said: dict[ReasonCode, list[str]] = {}
    for kind, (code, message) in INPUT_REASONS.items():
        if kind in before and kind in after and before[kind] != after[kind]:
            said.setdefault(code, []).append(message)
    if is_other_plan:
        said["plan"] = ["it was instructed under another dispatch run"]
    if is_other_method:
        said["method"] = ["another version of the method settled it"]
    for code, messages in said.items():
        yield Reason(None, code, "; ".join(messages))


def _told(at: datetime | None, arrivals: Arrivals, *, in_event_words: str) -> Iterator[Reason]:
    kinds: Sequence[tuple[ReasonCode, BoolArray, str]] = (
        ("reading_arrived", ~arrivals.is_correction, "arrived"),
        ("reading_corrected", arrivals.is_correction, "corrected"),
    )
    for code, wanted, word in kinds:
        if wanted.any():
            yield _reason(at, code, arrivals.where(wanted), f"{word}, {in_event_words}")


def _baseline(at: datetime | None, arrivals: Arrivals) -> Iterator[Reason]:
    if len(arrivals):
        yield _reason(at, "baseline_reading", arrivals, "arrived or corrected, of the baseline's days")


def _reason(at: datetime | None, code: ReasonCode, arrivals: Arrivals, words: str) -> Reason:
    first, last = (
        edge.astype("datetime64[us]").item().replace(tzinfo=UTC)
        for edge in (arrivals.received_at.min(), arrivals.received_at.max())
    )
    n_meter = len(np.unique(arrivals.meter_pks))
    plural = "s" if len(arrivals) > 1 else ""
    message = f"{len(arrivals)} reading{plural} of {n_meter} meter{'s' if n_meter > 1 else ''} {words}"
    return Reason(at, code, message, len(arrivals), n_meter, first, last)
