"""From facts to a problem: what an area could carry, what is expected of its EVSEs, and what is asked of them."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.align import NOWHERE, index_of
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.fleet import Fleet, ForecastSessions
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import NotOnGrid, TimeGrid
from aggregator.core.types import FloatArray, IntArray
from dispatch.core.fairness import PastShortfall, alike, priority
from dispatch.core.network import Network, limit_findings, rating_kw
from dispatch.core.problem import DispatchProblem, FlexRequest
from dispatch.core.rounding import PHASE_KV

GRAMS_PER_TONNE = 1e6


class InvalidRunParameters(FlexError):
    code = "dispatch.run_parameters_invalid"


class SessionWithoutEvse(FlexError):
    code = "dispatch.session_without_evse"


@dataclass(frozen=True, slots=True)
class RunParameters:
    """What a run weighs and holds back; every value is stored with it.

    Attributes:
        unserved_gbp_per_kwh: price of energy a session is left without, dearer than any request's shortfall, so that
            a target is missed before a car stays empty.
        fairness_most: greatest factor on it, for an EVSE left shorter than those like it (``fairness.priority``).
        fairness_days: days of past plans that factor is taken from.
        carbon_gbp_per_tonne: weight of carbon in the energy price; 0 leaves it out.
        ramp_gbp_per_kwh: price of ramp excess where a node states a ramp.
        background_quantile: of past demand held against the rating.
        background_days: days of past demand looked at.
        override_alpha: accepted chance that more consumers override at once than the reserve holds back for.
        spare_price_share: unused headroom is offered in this cheapest share of the day (``spare.open_periods``).
        spare_peak_level: and lifts no node above this multiple of its day's highest other demand (``spare.valley_kw``).
        rolling: dispatch anew every half-hour of the day, with EVs as they are; else the day before's plan stands and
            only ceilings nobody uses are handed on.
        rolling_method: of ``dispatch.core.solve``, for every half-hour of a simulated day.
        change_gbp: a setpoint already sent changes only where that gains more (``steady.CHANGE_GBP``).
        told_periods: how many periods an EVSE is told at a time.
        root_peak_level: no re-dispatch lifts an area's root above this multiple of its day's highest other demand.
        need_quantile, leave_quantile: of usual visits, what an EV that says nothing is believed to take and how soon
            it may leave (``belief.BeliefRule``).
        gap: certified gap asked of the solver.
        time_limit_s: of the solve.
        method: of ``dispatch.core.solve``.
    """

    unserved_gbp_per_kwh: float = 2.0
    fairness_most: float = 1.5
    fairness_days: int = 14
    carbon_gbp_per_tonne: float = 0.0
    ramp_gbp_per_kwh: float = 0.05
    background_quantile: float = 0.95
    background_days: int = 56
    override_alpha: float = 0.01
    spare_price_share: float = 0.75
    spare_peak_level: float = 1.2
    rolling: bool = True
    rolling_method: str = "greedy"
    change_gbp: float = 0.05
    told_periods: int = 2
    root_peak_level: float = 1.1
    need_quantile: float = 0.75
    leave_quantile: float = 0.1
    gap: float = 1e-4
    time_limit_s: float = 60.0
    method: str = "auto"

    def __post_init__(self) -> None:
        for name in (
            "unserved_gbp_per_kwh",
            "fairness_most",
            "carbon_gbp_per_tonne",
            "ramp_gbp_per_kwh",
            "gap",
            "time_limit_s",
            "spare_peak_level",
            "change_gbp",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1e6:
                raise InvalidRunParameters(f"{name} is {value}, expected 0 to 1,000,000", field=name, value=value)
        for name in ("background_quantile", "override_alpha", "spare_price_share", "need_quantile", "leave_quantile"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise InvalidRunParameters(f"{name} is {value}, expected between 0 and 1", field=name, value=value)
        for name, least in (
            ("fairness_most", 1),
            ("fairness_days", 1),
            ("background_days", 1),
            ("told_periods", 1),
            ("root_peak_level", 1),
        ):
            if not getattr(self, name) >= least:
                raise InvalidRunParameters(
                    f"{name} is {getattr(self, name)}, expected at least {least}", field=name, value=getattr(self, name)
                )


@dataclass(frozen=True, slots=True)
class Assembled:
    """A problem with the figures behind its limits.

    Attributes:
        evse: (n_session,) index into the fleet.
        rating_kw: (n_node,) +inf where no rating is known.
        limit_kw: (n_node, n_period) rating less background less reserve, before it is floored at zero.
    """

    problem: DispatchProblem
    network: Network
    evse: IntArray
    rating_kw: FloatArray
    limit_kw: FloatArray
    findings: tuple[FindingNote, ...]


def assemble_problem(
    *,
    area: NetworkArea,
    fleet: Fleet,
    sessions: ForecastSessions,
    grid: TimeGrid,
    background_kw: FloatArray,
    reserve_kw: FloatArray,
    price_gbp_per_kwh: FloatArray,
    carbon_gco2_per_kwh: FloatArray,
    requests: tuple[FlexRequest, ...],
    parameters: RunParameters,
    past: PastShortfall | None = None,
) -> Assembled:
    """Put one run's facts together.

    Args:
        background_kw, reserve_kw: (n_node, n_period) held against each node's rating.
        price_gbp_per_kwh, carbon_gco2_per_kwh: (n_period,).
        past: what earlier plans left the fleet's EVSEs without; nothing is known of any if not given.

    Raises:
        SessionWithoutEvse: a forecast session of an EVSE that is not in the fleet.
        InvalidProblem: facts that cannot be meant.
    """
    evse = _align(sessions, fleet)
    phases = fleet.phases[evse]
    rated = rating_kw(area.rating_kva, area.power_factor, area.cyclic_factor)
    limit_kw = rated[:, np.newaxis] - background_kw - reserve_kw
    carbon_gbp_per_kwh = carbon_gco2_per_kwh * parameters.carbon_gbp_per_tonne / GRAMS_PER_TONNE
    n_session = len(evse)
    problem = DispatchProblem(
        step_h=grid.step_h,
        node_ids=area.codes,
        node_parent=area.parent,
        node_is_phase=area.is_phase,
        node_limit_kw=limit_kw,
        node_diversity=area.diversity,
        node_ramp_kw=area.ramp_kw,
        session_ids=sessions.evse_ids,
        session_node=fleet.node[evse],
        session_phases=phases,
        session_start=sessions.start,
        session_end=sessions.end,
        session_max_kw=fleet.rated_kw[evse],
        session_energy_kwh=sessions.energy_kwh,
        session_min_kw=fleet.min_current_a[evse] * PHASE_KV * phases,
        session_unserved_gbp_per_kwh=unserved_gbp_per_kwh(fleet, past, parameters)[evse],
        session_tariff=np.zeros(n_session, dtype=np.int64),
        price_gbp_per_kwh=(price_gbp_per_kwh + carbon_gbp_per_kwh)[np.newaxis, :],
        requests=requests,
        ramp_gbp_per_kwh=parameters.ramp_gbp_per_kwh,
    )
    findings = (*limit_findings(area.codes, limit_kw), *_unrated(area))
    return Assembled(problem, Network.of(problem), evse, rated, limit_kw, findings)


def unserved_gbp_per_kwh(fleet: Fleet, past: PastShortfall | None, parameters: RunParameters) -> FloatArray:
    """(n_evse,) price of leaving an EVSE short: the platform's, times its priority among those like it."""
    before = past if past is not None else PastShortfall.none(fleet.n_evse)
    factor: FloatArray = priority(before, alike(fleet), most=parameters.fairness_most)
    return parameters.unserved_gbp_per_kwh * factor


def request_window(grid: TimeGrid, *, reference: str, starts: int, ends: int) -> tuple[int, int]:
    """Clip a request's window, in periods from the grid's start, to the grid.

    Raises:
        NotOnGrid: nothing of the window lies on the grid.
    """
    start, end = max(starts, 0), min(ends, grid.n_period)
    if end <= start:
        raise NotOnGrid(
            f"request {reference} lies outside the run from {grid.starts_at.isoformat()} to {grid.ends_at.isoformat()}",
            reference=reference,
        )
    return start, end


def _align(sessions: ForecastSessions, fleet: Fleet) -> IntArray:
    """(n_session,) index of each session's EVSE in the fleet."""
    found = index_of(fleet.evse_pks, sessions.evse_pks)
    if (found == NOWHERE).any():
        unknown = sorted(sessions.evse_ids[found == NOWHERE].tolist())
        raise SessionWithoutEvse(
            f"{len(unknown)} forecast sessions are of EVSEs not in the fleet, the first {unknown[0]}", evse=unknown[0]
        )
    return found


def _unrated(area: NetworkArea) -> list[FindingNote]:
    return [
        FindingNote(
            code="network.no_rating",
            subject=str(area.codes[node]),
            message=f"{area.codes[node]} has no rating in force: held to {area.diversity[node]:.0%} of connected EVs",
            details={"diversity": float(area.diversity[node])},
        )
        for node in np.flatnonzero(np.isinf(area.rating_kva))
    ]
