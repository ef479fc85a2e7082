"""What a run reads, loaded once as it was known then, and the problem it makes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from aggregator.arrays.background import load_measured_demand
from aggregator.arrays.calendar import day_types
from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.forecasts import load_forecast_sessions
from aggregator.arrays.network import load_area
from aggregator.arrays.prices import find_tariff, load_carbon_gco2_per_kwh, load_prices_gbp_per_kwh
from aggregator.core.align import NOWHERE, index_of
from aggregator.core.background import forecast_background
from aggregator.core.behaviour import Behaviour
from aggregator.core.diversity import override_reserve_kw
from aggregator.core.findings import FindingNote
from aggregator.core.fleet import Fleet, ForecastSessions
from aggregator.core.gap_fill import PeriodValues
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import FloatArray
from aggregator.models import AvailabilityForecast
from dispatch.arrays.runs import HeldBack
from dispatch.arrays.shortfall import load_past_shortfall
from dispatch.arrays.targets import load_signals, load_spared
from dispatch.core.assemble import Assembled, RunParameters, assemble_problem, request_window
from dispatch.core.fairness import PastShortfall
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.spare import fleet_problem, node_links
from dispatch.core.spared import Spared
from dispatch.models import DispatchRun, TargetSignal


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a run reads, once."""

    grid: TimeGrid
    area: NetworkArea
    fleet: Fleet
    sessions: ForecastSessions
    held_back: HeldBack
    price_gbp_per_kwh: FloatArray
    carbon_gco2_per_kwh: FloatArray
    signals: tuple[TargetSignal, ...]
    spared: Spared
    past: PastShortfall
    findings: tuple[FindingNote, ...]


def load_facts(
    *, forecast: AvailabilityForecast, as_of: datetime, tariff_code: str, parameters: RunParameters
) -> RunFacts:
    """Load what a run of this forecast reads, as it was known at ``as_of``."""
    grid = TimeGrid(forecast.starts_at, forecast.n_period)
    area = load_area(root=forecast.area, starts_at=grid.starts_at, ends_at=grid.ends_at)
    fleet = load_fleet(area=area, at=grid.starts_at)
    sessions = load_forecast_sessions(forecast=forecast)
    background_kw, background_notes = _background(area, grid, as_of, parameters)
    reserve_kw = _reserve(area, fleet, sessions, grid, parameters, min_probability(forecast))
    price = load_prices_gbp_per_kwh(tariff=find_tariff(tariff_code), grid=grid, as_of=as_of)
    carbon = _carbon(grid, as_of, parameters)
    signals = load_signals(area=area, grid=grid, as_of=as_of)
    return RunFacts(
        grid=grid,
        area=area,
        fleet=fleet,
        sessions=sessions,
        held_back=HeldBack(background_kw, reserve_kw),
        price_gbp_per_kwh=price.values,
        carbon_gco2_per_kwh=carbon.values,
        signals=signals,
        spared=load_spared(signals=signals, evse_pks=fleet.evse_pks),
        past=load_past_shortfall(
            area_pk=forecast.area_id,
            fleet=fleet,
            day=forecast.charging_day,
            n_day=parameters.fairness_days,
            as_of=as_of,
        ),
        findings=(*background_notes, *price.findings, *carbon.findings),
    )


def _carbon(grid: TimeGrid, as_of: datetime, parameters: RunParameters) -> PeriodValues:
    """Carbon intensity where a run gives it a weight; without one nothing needs to be known of it."""
    if parameters.carbon_gbp_per_tonne == 0:
        return PeriodValues(np.zeros(grid.n_period), np.zeros(grid.n_period, dtype=np.bool_), ())
    return load_carbon_gco2_per_kwh(grid=grid, as_of=as_of)


def min_probability(forecast: AvailabilityForecast) -> float:
    """What an EVSE without a planned session may at most have had as its chance of plugging in."""
    return float(forecast.rule["min_probability"])


def _background(
    area: NetworkArea, grid: TimeGrid, as_of: datetime, parameters: RunParameters
) -> tuple[FloatArray, Sequence[FindingNote]]:
    last_day = as_of.date() - timedelta(days=1)
    first_day = last_day - timedelta(days=parameters.background_days - 1)
    measured = load_measured_demand(area=area, first_day=first_day, last_day=last_day, as_of=as_of)
    forecast = forecast_background(
        measured,
        area=area,
        grid=grid,
        day_types=day_types(first_day - timedelta(days=1), grid.ends_at.date() + timedelta(days=1)),
        quantile=parameters.background_quantile,
    )
    return forecast.power_kw, forecast.findings


def _reserve(
    area: NetworkArea,
    fleet: Fleet,
    sessions: ForecastSessions,
    grid: TimeGrid,
    parameters: RunParameters,
    least_probability: float,
) -> FloatArray:
    """(n_node, n_period) held back for overrides; when in the day one would come is not guessed."""
    at = index_of(sessions.evse_pks, fleet.evse_pks)
    planned = sessions.probability[at] if len(sessions.probability) else np.zeros(fleet.n_evse)
    probability = np.where(at == NOWHERE, least_probability, planned)
    everyone = fleet_problem(area, fleet, grid, np.full((area.n_node, grid.n_period), np.inf))
    reserve_kw = override_reserve_kw(
        rated_kw=fleet.rated_kw,
        override_probability=probability[:, np.newaxis] * Behaviour().mean_override_rate,
        links=node_links(everyone),
        alpha=parameters.override_alpha,
    )
    return np.repeat(reserve_kw, grid.n_period, axis=1)


def stored_parameters(parameters: RunParameters, tariff_code: str) -> dict[str, float | str]:
    """What a run's row keeps of how it was asked."""
    return {"tariff": tariff_code, **asdict(parameters)}


def facts_of(*, run: DispatchRun) -> tuple[RunFacts, RunParameters]:
    """What a stored run read, loaded again as it was known then; EVSEs that left since are left out."""
    # A run of before there was a choice was delivered as dispatched, and treated everybody alike.
    asked = {"rolling": False, "fairness_most": 1.0, **run.parameters}
    tariff_code = str(asked.pop("tariff"))
    parameters = RunParameters(**asked)
    facts = load_facts(forecast=run.forecast, as_of=run.as_of, tariff_code=tariff_code, parameters=parameters)
    stayed = np.isin(facts.sessions.evse_pks, facts.fleet.evse_pks)
    return replace(facts, sessions=facts.sessions.select(stayed)), parameters


def assemble(facts: RunFacts, parameters: RunParameters) -> Assembled:
    """The problem of these facts."""
    return assemble_problem(
        area=facts.area,
        fleet=facts.fleet,
        sessions=facts.sessions,
        grid=facts.grid,
        background_kw=facts.held_back.background_kw,
        reserve_kw=facts.held_back.reserve_kw,
        price_gbp_per_kwh=facts.price_gbp_per_kwh,
        carbon_gco2_per_kwh=facts.carbon_gco2_per_kwh,
        requests=tuple(_request(signal, facts) for signal in facts.signals),
        parameters=parameters,
        past=facts.past,
    )


def _request(signal: TargetSignal, facts: RunFacts) -> FlexRequest:
    start, end = request_window(
        facts.grid,
        reference=signal.reference,
        starts=(signal.starts_at - facts.grid.starts_at) // SETTLEMENT_PERIOD,
        ends=-((facts.grid.starts_at - signal.ends_at) // SETTLEMENT_PERIOD),
    )
    return FlexRequest(
        node=facts.area.index_of(signal.node_id),
        start=start,
        end=end,
        direction=TURN_DOWN if signal.direction == TargetSignal.Direction.TURN_DOWN else TURN_UP,
        target_kw=signal.target_kw,
        shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
    )
