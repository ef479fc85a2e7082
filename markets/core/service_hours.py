"""A market's service windows as intervals of time: local hours on weekdays, cut to a span."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta

from aggregator.core.timegrid import LONDON, utc
from markets.core.payment_availability import Interval

ONE_DAY = timedelta(days=1)


def service_intervals(
    stated: Sequence[Mapping[str, object]], *, starts_at: datetime, ends_at: datetime
) -> list[Interval]:
    """UTC intervals of service windows in ``[starts_at, ends_at)``; one that ends by its start goes over midnight.

    Args:
        stated: ``{"weekdays": [1, 2], "starts": "16:00", "ends": "20:00"}`` each, Monday being 1.
    """
    found = [
        Interval(max(window.starts_at, starts_at), min(window.ends_at, ends_at))
        for one in stated
        for window in _windows(one, starts_at, ends_at)
    ]
    return sorted(window for window in found if window.starts_at < window.ends_at)


def _windows(stated: Mapping[str, object], starts_at: datetime, ends_at: datetime) -> Iterator[Interval]:
    days = stated["weekdays"]
    weekdays = {int(str(day)) for day in days} if isinstance(days, list | tuple) else set()
    starts, ends = (time.fromisoformat(str(stated[name])) for name in ("starts", "ends"))
    day = starts_at.astimezone(LONDON).date() - ONE_DAY
    while utc(day, time(0)) < ends_at:
        if day.isoweekday() in weekdays:
            yield Interval(utc(day, starts), utc(day if starts < ends else day + ONE_DAY, ends))
        day += ONE_DAY
