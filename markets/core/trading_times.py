"""When a market wants its product, and until when it may be offered, on London's clock.

Source: docs/methods/trading.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, utc

WEEK = 7
MIDNIGHT = time(0)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST_LEAD = timedelta(days=366)
HALF_HOURS = (0, 30)


class InvalidMarket(FlexError):
    code = "trading.invalid_market"


@dataclass(frozen=True, slots=True)
class ServiceWindow:
    """Local hours on some weekdays; one that ends no later than it starts goes on into the next day.

    Attributes:
        weekdays: of the day it starts on, 1 for Monday to 7 for Sunday.

    Raises:
        InvalidMarket: no weekday or one that is none, or times off the half-hour.
    """

    weekdays: frozenset[int]
    starts: time
    ends: time

    def __post_init__(self) -> None:
        if not self.weekdays or not self.weekdays <= set(range(1, WEEK + 1)):
            raise InvalidMarket(
                f"a service window is on weekdays 1 (Monday) to 7, found {sorted(self.weekdays)}",
                field="service_windows",
            )
        for at in (self.starts, self.ends):
            if at.minute not in HALF_HOURS or at.second or at.microsecond:
                raise InvalidMarket(
                    f"a service window starts and ends on a half-hour, found {at.isoformat()}", field="service_windows"
                )

    def covers(self, day: date, at: time) -> bool:
        """Whether a local half-hour lies in it."""
        if self.starts < self.ends:
            return day.isoweekday() in self.weekdays and self.starts <= at < self.ends
        before = day - timedelta(days=1)
        today, yesterday = day.isoweekday() in self.weekdays, before.isoweekday() in self.weekdays
        return (today and at >= self.starts) or (yesterday and at < self.ends)

    def __str__(self) -> str:
        days = ", ".join(WEEKDAYS[number - 1][:3] for number in sorted(self.weekdays))
        return f"{days} {self.starts:%H:%M} to {self.ends:%H:%M}"


@dataclass(frozen=True, slots=True)
class LeadTime:
    """The gate closes so long before the window starts."""

    lead: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.lead <= LONGEST_LEAD:
            raise InvalidMarket(f"a lead time is 0 to 366 days, found {self.lead}", field="gate_closure")

    def closes_at(self, starts_at: datetime) -> datetime:
        """UTC instant from which nothing is offered for a window that starts then."""
        return starts_at - self.lead

    def __str__(self) -> str:
        minutes = self.lead // timedelta(minutes=1)
        said = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
        return f"{said} before the window starts"


@dataclass(frozen=True, slots=True)
class WeeklyCutOff:
    """The gate closes for a whole week at once, at a local time in the week before.

    Flexible Power's declarations lock at midnight on Wednesday, read here as the night from Wednesday to Thursday: it
    is Thursday 00:00, since acceptances follow twelve hours later at Thursday's midday.

    Attributes:
        weekday: 1 for Monday to 7 for Sunday, in the week before.
    """

    weekday: int
    at: time

    def __post_init__(self) -> None:
        if not 1 <= self.weekday <= WEEK:
            raise InvalidMarket(f"a weekday is 1 (Monday) to 7, found {self.weekday}", field="gate_closure")

    def closes_at(self, starts_at: datetime) -> datetime:
        """UTC instant from which nothing is offered for the week, Monday to Sunday, that a window starts in."""
        day = starts_at.astimezone(LONDON).date()
        monday_before = day - timedelta(days=day.isoweekday() - 1 + WEEK)
        return utc(monday_before + timedelta(days=self.weekday - 1), self.at)

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday - 1]} {self.at:%H:%M} in the week before"


GateClosure = LeadTime | WeeklyCutOff


def gate_closure_of(stated: Mapping[str, object]) -> GateClosure:
    """A gate closure as it is stored.

    Raises:
        InvalidMarket: it is neither ``{"kind": "lead", "lead_minutes": 60}`` nor
            ``{"kind": "weekly", "weekday": 4, "at": "00:00"}``.
    """
    try:
        if stated["kind"] == "lead":
            return LeadTime(timedelta(minutes=int(str(stated["lead_minutes"]))))
        if stated["kind"] == "weekly":
            return WeeklyCutOff(int(str(stated["weekday"])), time.fromisoformat(str(stated["at"])))
    except (KeyError, ValueError, OverflowError) as error:
        raise InvalidMarket(f"a gate closure lacks or misstates {error}", field="gate_closure") from error
    raise InvalidMarket(f"a gate closure is of kind lead or weekly, found {stated['kind']!r}", field="gate_closure")


def service_windows_of(stated: Sequence[Mapping[str, object]]) -> tuple[ServiceWindow, ...]:
    """Service windows as they are stored: ``{"weekdays": [1, 2], "starts": "16:00", "ends": "20:00"}`` each.

    Raises:
        InvalidMarket: there is none, or one is not so.
    """
    if not stated:
        raise InvalidMarket("a market has at least one service window, found none", field="service_windows")
    return tuple(_service_window(one) for one in stated)


def _service_window(stated: Mapping[str, object]) -> ServiceWindow:
    try:
        days = stated["weekdays"]
        numbers = frozenset(int(str(day)) for day in days) if isinstance(days, list | tuple) else frozenset()
        return ServiceWindow(numbers, *(time.fromisoformat(str(stated[name])) for name in ("starts", "ends")))
    except (KeyError, ValueError) as error:
        raise InvalidMarket(f"a service window lacks or misstates {error}", field="service_windows") from error


def outside_windows(starts_at: datetime, ends_at: datetime, windows: Sequence[ServiceWindow]) -> datetime | None:
    """The first half-hour of ``[starts_at, ends_at)`` that no service window covers; None where all are covered."""
    at = starts_at
    while at < ends_at:
        local = at.astimezone(LONDON)
        if not any(window.covers(local.date(), local.time()) for window in windows):
            return at
        at += SETTLEMENT_PERIOD
    return None
