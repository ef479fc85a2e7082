"""Forecast who will be plugged in, from what was known at a stated time."""

import logging
from dataclasses import asdict
from datetime import date, datetime, timedelta

from django.db import transaction

from aggregator.arrays.calendar import day_types
from aggregator.arrays.findings import store_findings
from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.forecasts import store_forecast
from aggregator.arrays.network import find_node, load_area
from aggregator.arrays.sessions import load_session_history
from aggregator.core.availability import QUANTILES, PlanningRule, forecast_availability
from aggregator.core.digest import digest
from aggregator.core.errors import FlexError
from aggregator.core.fleet import Fleet, group_fleet
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import charging_day
from aggregator.models import AvailabilityForecast
from aggregator.services.turns import take_turn

logger = logging.getLogger(__name__)

METHOD = "climatology-1"


class ForecastTooLate(FlexError):
    code = "forecast.too_late"


def forecast_area(
    *, area_code: str, day: date, as_of: datetime, rule: PlanningRule | None = None
) -> AvailabilityForecast:
    """Forecast the charging day that starts at noon of ``day`` for every EVSE in an area.

    The same inputs again give the stored forecast back.

    Raises:
        UnknownNode: no node has this code.
        ForecastTooLate: ``as_of`` is after the charging day has started, so the forecast would have seen it.
    """
    rule = rule or PlanningRule()
    grid, root = charging_day(day), find_node(area_code)
    if as_of > grid.starts_at:
        raise ForecastTooLate(
            f"charging day {day} starts at {grid.starts_at.isoformat()}: as of {as_of.isoformat()} is too late"
        )
    area = load_area(root=root, starts_at=grid.starts_at, ends_at=grid.ends_at)
    fleet = load_fleet(area=area, at=grid.starts_at)
    history = load_session_history(evse_pks=fleet.evse_pks, evse_ids=fleet.evse_ids, as_of=as_of)
    input_sha256 = _fingerprint(fleet, history, rule)
    same = AvailabilityForecast.objects.filter(charging_day=day, area=root, as_of=as_of, input_sha256=input_sha256)
    if known := same.first():
        logger.info("read %s: forecast %s has these inputs already, wrote nothing", _inputs(fleet, history), known.pk)
        return known
    groups = group_fleet(fleet)
    forecast = forecast_availability(
        history,
        evse_groups=groups.group,
        grid=grid,
        day_types=day_types(day - timedelta(days=rule.history_days + 1), day + timedelta(days=1)),
        as_of=as_of,
        rule=rule,
        observed_from=fleet.enrolled_on,
    )
    header = AvailabilityForecast(
        charging_day=day,
        area=root,
        as_of=as_of,
        starts_at=grid.starts_at,
        n_period=grid.n_period,
        method=METHOD,
        rule=asdict(rule),
        input_sha256=input_sha256,
        quantiles=list(QUANTILES),
        n_session_known=len(history),
    )
    with transaction.atomic():
        take_turn("forecast", root.pk, day)
        if stored_meanwhile := same.first():
            return stored_meanwhile
        stored = store_forecast(header=header, forecast=forecast, fleet=fleet, groups=groups)
        store_findings(notes=forecast.findings, source=f"forecast:{stored.pk}", noticed_at=as_of)
    logger.info(
        "read %s; wrote forecast %s of %s: %d planned sessions, %d groups",
        _inputs(fleet, history),
        stored.pk,
        day,
        int(forecast.is_planned.sum()),
        len(groups.labels),
    )
    return stored


def _inputs(fleet: Fleet, history: SessionHistory) -> str:
    return f"{fleet.n_evse} EVSEs and {len(history)} sessions known by then"


def _fingerprint(fleet: Fleet, history: SessionHistory, rule: PlanningRule) -> str:
    return digest(
        METHOD,
        repr(rule),
        fleet.evse_ids,
        fleet.dsrsp_pks,
        fleet.scenarios,
        fleet.enrolled_on,
        history.session_ids,
        history.evse,
        history.plug_in_at,
        history.plug_out_at,
        history.energy_kwh,
        history.known_at,
    )
