"""The baseline laboratory: every method on days of a fleet on which nothing was asked."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Max

from aggregator.core.errors import FlexError
from aggregator.core.small_numbers import SMALLEST_GROUP
from aggregator.core.timegrid import LONDON
from aggregator.models import MeterDay, NetworkNode, Organisation, as_platform
from aggregator.queries import nodes_seen_by
from markets.arrays.lab import lab_evses, load_lab_fleet
from markets.core.baseline_lab import LabResult, MethodScore, run_lab
from markets.core.baseline_methods import METHODS, BaselineMethod
from markets.core.gaming_findings import LIKE_DAYS
from markets.core.lab_fleet import lab_days

MOST_DAYS, MOST_PERIODS, MOST_EVSES = 62, 16, 2_000
PERIODS_A_DAY = 48
DAYS_SHOWN_FIRST = 14
ONE_DAY = timedelta(days=1)


class InvalidLabAsked(FlexError):
    code = "baseline.invalid_lab_asked"


class LabFleetTooLarge(FlexError):
    code = "baseline.lab_fleet_too_large"


class LabFleetTooSmall(FlexError):
    code = "baseline.lab_fleet_too_small"


@dataclass(frozen=True, slots=True)
class LabAsked:
    """Which days, and the half-hours an event would have had.

    Attributes:
        first, last: local days, both included.
        starts: London clock time on the hour or half-hour.
        n_period: half-hours; the window ends by midnight.
        node: code of a network node; empty is the whole fleet.

    Raises:
        InvalidLabAsked: days out of order or too many, a window that is none.
    """

    first: date
    last: date
    starts: time = time(17)
    n_period: int = 4
    node: str = ""

    def __post_init__(self) -> None:
        n_day = (self.last - self.first).days + 1
        if not 1 <= n_day <= MOST_DAYS:
            raise InvalidLabAsked(
                f"asked for {n_day} days from {self.first} to {self.last}, expected 1 to {MOST_DAYS}", field="last"
            )
        starts = self.starts.hour * 2 + self.starts.minute // 30
        if self.starts != time(starts // 2, starts % 2 * 30):
            raise InvalidLabAsked(f"a window starts on the hour or half-hour, found {self.starts}", field="starts")
        if not 1 <= self.n_period <= min(MOST_PERIODS, PERIODS_A_DAY - starts):
            raise InvalidLabAsked(
                f"a window from {self.starts:%H:%M} has 1 to {min(MOST_PERIODS, PERIODS_A_DAY - starts)} half-hours, "
                f"found {self.n_period}",
                field="n_period",
            )


@dataclass(frozen=True, slots=True)
class LabLine:
    """One method at both levels, for a table."""

    method: BaselineMethod
    fleet: MethodScore
    evse: MethodScore


def run_baseline_lab(
    *, organisation: Organisation, asked: LabAsked, as_of: datetime, most_evses: int | None = MOST_EVSES
) -> LabResult:
    """Test every method on an organisation's fleet, from the readings known at ``as_of``.

    A DSRSP's fleet is what is enrolled with it; a DNO's is all that hangs on its network, as one sum without names.

    Raises:
        InvalidLabAsked: a node that is not there, or asked for by a DNO (its parts could be told apart).
        LabFleetTooSmall: no EVSE, or a DNO's sum over fewer than five.
        LabFleetTooLarge: more than ``most_evses``.
        TooFewLabDays: no day of those asked is without an event, or none has a history.
    """
    is_own = organisation.kind == Organisation.Kind.DSRSP
    node = _node(organisation, asked.node)
    first_day = asked.first - timedelta(days=LIKE_DAYS.lookback_days + 1)
    with nullcontext() if is_own else as_platform():  # a DNO is shown sums over five EVSEs or more
        evses = lab_evses(organisation=organisation, node=node, at=as_of)
        _check_size(evses.count(), smallest=1 if is_own else SMALLEST_GROUP, most=most_evses)
        fleet = load_lab_fleet(
            evses=evses, organisation=organisation, first_day=first_day, last_day=asked.last, as_of=as_of
        )
    return run_lab(
        fleet,
        days=lab_days(asked.first, asked.last, called=fleet.called),
        starts=asked.starts,
        n_period=asked.n_period,
    )


def lab_lines(result: LabResult) -> list[LabLine]:
    """The scores side by side, in the order of ``METHODS``."""
    found = {(score.method, score.level): score for score in result.scores}
    return [
        LabLine(METHODS[name], found[name, "fleet"], found[name, "evse"])
        for name in METHODS
        if (name, "fleet") in found
    ]


def days_to_show(
    *, organisation: Organisation, now: datetime, first: date | None = None, last: date | None = None
) -> tuple[date, date]:
    """The days asked for; else the two weeks before today, or before the last reading where that is older."""
    if last is None:
        yesterday, newest = now.astimezone(LONDON).date() - ONE_DAY, _newest_reading(organisation)
        last = min(yesterday, newest) if newest else yesterday
    return first or last - (DAYS_SHOWN_FIRST - 1) * ONE_DAY, last


def _newest_reading(organisation: Organisation) -> date | None:
    is_own = organisation.kind == Organisation.Kind.DSRSP
    with nullcontext() if is_own else as_platform():  # of others' readings only the newest date is read
        days = MeterDay.objects.for_tenant(organisation) if is_own else MeterDay.objects.across_tenants()
        newest: date | None = days.aggregate(newest=Max("day"))["newest"]
    return newest


def _node(organisation: Organisation, code: str) -> NetworkNode | None:
    if not code:
        return None
    if organisation.kind != Organisation.Kind.DSRSP:
        raise InvalidLabAsked("a DNO tests on its whole network: parts of it could be told apart", field="node")
    node = nodes_seen_by(organisation).filter(code=code).first()
    if node is None:
        raise InvalidLabAsked(f"no network node is called {code}", field="node", node=code)
    return node


def _check_size(n_evse: int, *, smallest: int, most: int | None) -> None:
    if n_evse < smallest:
        raise LabFleetTooSmall(
            f"{smallest} enrolled EVSEs are needed at least, and the fleet has fewer", n_needed=smallest
        )
    if most is not None and n_evse > most:
        raise LabFleetTooLarge(
            f"the fleet has {n_evse} EVSEs, {most} at most are tested here: choose a node, or use the command",
            n_evse=n_evse,
        )
