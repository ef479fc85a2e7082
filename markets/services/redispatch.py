"""Dispatch an area anew when a request came in, and tell its DSRSPs what they are to deliver."""

import logging
from dataclasses import dataclass
from datetime import date, datetime

from aggregator.arrays.network import with_nodes_above
from aggregator.core.errors import FlexError
from aggregator.core.timegrid import charging_dates, charging_day
from aggregator.models import AvailabilityForecast, Job, NetworkNode, Tariff
from aggregator.services.forecasts import forecast_area
from aggregator.services.jobs import enqueue
from dispatch.models import DispatchRun, TargetSignal
from dispatch.services.runs import NoForecast, newest_forecast, run_dispatch
from markets.arrays.cycles import load_events
from markets.services.settlement import instruct_event, run_settled_under

logger = logging.getLogger(__name__)

JOB_KIND = "dispatch_area"


class NoTariff(FlexError):
    code = "dispatch.no_tariff"


class ChargingDayOver(FlexError):
    code = "dispatch.charging_day_over"


@dataclass(frozen=True, slots=True)
class AreaToDispatch:
    """Which area a request makes to be dispatched anew, for which charging days, at which tariff."""

    area: NetworkNode
    days: tuple[date, ...]
    tariff_code: str


def area_to_dispatch(*, node: NetworkNode, starts_at: datetime, ends_at: datetime) -> AreaToDispatch:
    """The area that was dispatched last with ``node`` in it, at that run's tariff; else the whole tree it is part of.

    Raises:
        NoTariff: no run names a tariff, and there is not just one.
    """
    above = with_nodes_above(node)
    last = DispatchRun.objects.filter(area__in=above).order_by("-created_at", "-pk").first()
    days = charging_dates(starts_at, ends_at)
    if last is not None:
        return AreaToDispatch(last.area, days, str(last.parameters["tariff"]))
    tariffs = list(Tariff.objects.order_by("code").values_list("code", flat=True)[:2])
    if len(tariffs) != 1:
        raise NoTariff(
            f"{above[-1].code} was never dispatched, so one tariff is needed, found {len(tariffs) or 'none'}",
            area=above[-1].code,
        )
    return AreaToDispatch(above[-1], days, tariffs[0])


def enqueue_dispatch(*, target: AreaToDispatch, signal: TargetSignal, now: datetime) -> list[Job]:
    """Ask for a run of each charging day; asking again for the same request changes nothing."""
    return [
        enqueue(
            kind=JOB_KIND,
            payload={"area": target.area.code, "day": day.isoformat(), "tariff": target.tariff_code},
            now=now,
            unique_key=f"{JOB_KIND}:{signal.pk}:{day.isoformat()}",
        )
        for day in target.days
    ]


def dispatch_area_job(*, area: str, day: str, tariff: str, now: datetime) -> dict[str, object]:
    """Do the job kind ``dispatch_area``: a run of what is known now, and instructions for the events still to come.

    The newest forecast is used; where there is none, one is made of what was known when the day began.

    Raises:
        ChargingDayOver: there is nothing left to dispatch.
    """
    charging_date = date.fromisoformat(day)
    if charging_day(charging_date).ends_at <= now:
        raise ChargingDayOver(f"charging day {day} of {area} is over at {now.isoformat()}", area=area, day=day)
    forecast = _forecast(area, charging_date, now)
    run = run_dispatch(forecast=forecast, as_of=now, tariff_code=tariff)
    instructed = _instruct(run, now)
    logger.info("dispatched %s anew for %s: run %s, %d events instructed", area, day, run.pk, len(instructed))
    return {"run": run.pk, "instructed": instructed}


def _forecast(area: str, day: date, now: datetime) -> AvailabilityForecast:
    try:
        return newest_forecast(area_code=area, day=day, as_of=now)
    except NoForecast:
        return forecast_area(area_code=area, day=day, as_of=min(now, charging_day(day).starts_at))


def _instruct(run: DispatchRun, now: datetime) -> list[str]:
    """References of the events told what to deliver: neither begun nor settled under an earlier run."""
    to_come = [event for event in load_events(run=run) if event.signal.starts_at > now]
    open_events = [event for event in to_come if run_settled_under(event=event) is None]
    return [event.signal.reference for event in open_events if instruct_event(event=event, run=run)]
