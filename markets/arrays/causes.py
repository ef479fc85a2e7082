"""What an event's EVSEs were told and did, and why portfolios fell short, as rows."""

from dataclasses import replace
from datetime import datetime

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.arrays.sessions import load_session_history
from aggregator.core.intervals import periods_from_start, split_by_period, to_datetime64
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import BoolArray, FloatArray
from aggregator.models import EVSE
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, Setpoint, TargetSignal
from markets.arrays.settlement import Portfolios, event_grid, load_portfolio_readings
from markets.core.baseline import BaselineRule, EventBaseline, event_baseline
from markets.core.causes import CAUSES, EvseFacts, ShortfallCauses, plugs_changed
from markets.core.delivered import Direction
from markets.core.energy import decimal_kwh
from markets.core.rebound import Rebound, rebound
from markets.models import FlexEvent, ReboundPeriod, SettlementRun, ShortfallCause, Statement

_FULL_KW = 1e-3


def load_evse_facts(*, event: FlexEvent, run: DispatchRun, portfolios: Portfolios, as_of: datetime) -> EvseFacts:
    """What was known at ``as_of`` of an event's EVSEs, in the order of ``portfolios``.

    A run speaks of its own charging day: beyond it nothing was told or planned as far as it goes.
    """
    grid, pks = event_grid(event.signal), portfolios.evse_pks
    energy = load_energy_kwh(
        meter_pks=portfolios.meter_pks, first_day=grid.starts_at.date(), last_day=grid.ends_at.date(), as_of=as_of
    )
    evses = EVSE.objects.across_tenants().filter(pk__in=pks.tolist())
    rows = {pk: (rated_kw, node_pk) for pk, rated_kw, node_pk in evses.values_list("pk", "rated_kw", "node_id")}
    full = _full_nodes(run, grid)
    nothing_full = np.zeros(grid.n_period, dtype=np.bool_)
    return EvseFacts(
        unit=portfolios.unit,
        metered_kwh=energy.on_grid(grid),
        told_kwh=_ceilings_kwh(IssuedSetpoint, run, portfolios, grid),
        planned_kwh=_ceilings_kwh(Setpoint, run, portfolios, grid),
        rated_kwh=np.array([rows[pk][0] * grid.step_h for pk in pks.tolist()], dtype=np.float64),
        plugged_share=_plugged_share(_sessions(portfolios, as_of), grid, len(pks)),
        is_node_full=np.array([full.get(rows[pk][1], nothing_full) for pk in pks.tolist()], dtype=np.bool_).reshape(
            len(pks), grid.n_period
        ),
    )


def load_unplugged(*, event: FlexEvent, portfolios: Portfolios, as_of: datetime) -> BoolArray:
    """(n_evse,) EVSEs whose car was taken away between the product's notice and the event's end."""
    sessions = _sessions(portfolios, as_of)
    notice_at = event.signal.starts_at - event.product.notice
    return plugs_changed(
        sessions.evse,
        sessions.plug_in_at,
        sessions.plug_out_at,
        notice_at=np.array([to_datetime64(notice_at)]),
        ends_at=np.array([to_datetime64(event.signal.ends_at)]),
        n_evse=len(portfolios.evse_pks),
    )


def load_rebound(
    *,
    event: FlexEvent,
    portfolios: Portfolios,
    rule: BaselineRule,
    of_event: EventBaseline,
    direction: Direction,
    n_period: int,
    as_of: datetime,
) -> tuple[TimeGrid, Rebound, FloatArray, FloatArray]:
    """The window after an event: its grid, what came back, and (n_unit, n_period) baseline and metered energy.

    The baseline is of the window's own half-hours, adjusted as the event's was: a later window would be made of the
    event itself.
    """
    ends_at = event.signal.ends_at
    window = TargetSignal(
        node=event.signal.node,
        starts_at=ends_at,
        ends_at=ends_at + n_period * SETTLEMENT_PERIOD,
        direction=event.signal.direction,
    )
    after = FlexEvent(product=event.product, signal=window, price_gbp_per_mwh=event.price_gbp_per_mwh)
    plain = replace(rule, adjustment_periods=0, min_adjustment_periods=0, floor_at_zero=False)
    readings = load_portfolio_readings(event=after, portfolios=portfolios, rule=plain, as_of=as_of)
    unadjusted_kwh = event_baseline(readings.history, plain).baseline_kwh
    ratio, added = of_event.adjustment_ratio[:, np.newaxis], of_event.adjustment_kwh[:, np.newaxis]
    baseline_kwh = unadjusted_kwh * ratio + added
    if rule.floor_at_zero:
        baseline_kwh = np.maximum(baseline_kwh, 0.0)
    back = rebound(baseline_kwh, readings.metered_kwh, direction)
    return event_grid(window), back, baseline_kwh, readings.metered_kwh


def store_causes(*, settlement: SettlementRun, portfolios: Portfolios, causes: ShortfallCauses) -> None:
    """One row a cause that has a part in a half-hour; call it in a transaction."""
    statements = _statements(settlement)
    starts = event_grid(settlement.event.signal).starts()
    ShortfallCause.objects.across_tenants().bulk_create(
        ShortfallCause(
            statement=statements[portfolios.organisations[unit].pk],
            starts_at=starts[period],
            cause=CAUSES[cause],
            n_evse=int(causes.n_evse[cause, unit, period]),
            energy_kwh=decimal_kwh(causes.cause_kwh[cause, unit, period]),
        )
        for cause, unit, period in np.argwhere(causes.cause_kwh > 0).tolist()
    )


def store_rebound(
    *,
    settlement: SettlementRun,
    portfolios: Portfolios,
    grid: TimeGrid,
    back: Rebound,
    baseline_kwh: FloatArray,
    metered_kwh: FloatArray,
) -> None:
    """One row a half-hour that is known; call it in a transaction."""
    statements, starts = _statements(settlement), grid.starts()
    ReboundPeriod.objects.across_tenants().bulk_create(
        ReboundPeriod(
            statement=statements[portfolios.organisations[unit].pk],
            starts_at=starts[period],
            baseline_kwh=decimal_kwh(baseline_kwh[unit, period]),
            metered_kwh=decimal_kwh(metered_kwh[unit, period]),
            rebound_kwh=decimal_kwh(back.rebound_kwh[unit, period]),
        )
        for unit, period in np.argwhere(~np.isnan(back.rebound_kwh)).tolist()
    )


def _statements(settlement: SettlementRun) -> dict[int, Statement]:
    found = Statement.objects.across_tenants().filter(settlement_run=settlement).defer("content")
    return {statement.organisation_id: statement for statement in found}


def _sessions(portfolios: Portfolios, as_of: datetime) -> SessionHistory:
    pks = portfolios.evse_pks
    return load_session_history(evse_pks=pks, evse_ids=pks.astype(np.str_), as_of=as_of)


def _plugged_share(sessions: SessionHistory, grid: TimeGrid, n_evse: int) -> FloatArray:
    """(n_evse, n_period) share of each half-hour with a car; sessions that overlap are one car."""
    pieces = split_by_period(
        periods_from_start(sessions.plug_in_at, grid), periods_from_start(sessions.plug_out_at, grid), grid.n_period
    )
    share = np.zeros((n_evse, grid.n_period))
    np.add.at(share, (sessions.evse[pieces.row], pieces.period), pieces.share)
    return np.minimum(share, 1.0)


def _on_run(run: DispatchRun, grid: TimeGrid) -> tuple[np.ndarray, BoolArray]:
    """(n_period,) index of each half-hour on the run's grid, and whether the run speaks of it."""
    index = np.arange(grid.n_period) + (grid.starts_at - run.starts_at) // SETTLEMENT_PERIOD
    return index, (index >= 0) & (index < run.n_period)


def _ceilings_kwh(
    model: type[Setpoint] | type[IssuedSetpoint], run: DispatchRun, portfolios: Portfolios, grid: TimeGrid
) -> FloatArray:
    index, is_spoken = _on_run(run, grid)
    at = {pk: row for row, pk in enumerate(portfolios.evse_pks.tolist())}
    energy_kwh = np.full((len(at), grid.n_period), np.nan)
    rows = model.objects.across_tenants().filter(run=run, evse__in=list(at))
    for evse_pk, ampere_kw, setpoint_a in rows.values_list("evse_id", "ampere_kw", "setpoint_a"):
        energy_kwh[at[evse_pk], is_spoken] = np.array(setpoint_a)[index[is_spoken]] * ampere_kw * grid.step_h
    return energy_kwh


def _full_nodes(run: DispatchRun, grid: TimeGrid) -> dict[int, BoolArray]:
    """By node, (n_period,) whether the plan used up the limit there or at a node above."""
    index, is_spoken = _on_run(run, grid)
    nodes = {row.node_id: row for row in RunNode.objects.filter(run=run).select_related("node")}
    own = {}
    for pk, row in nodes.items():
        full = np.zeros(grid.n_period, dtype=np.bool_)
        spare_kw = np.array(row.limit_kw) - np.array(row.planned_kw)
        full[is_spoken] = spare_kw[index[is_spoken]] < _FULL_KW
        own[pk] = full
    found = {}
    for pk in nodes:
        full, above = own[pk].copy(), nodes[pk].node.parent_id
        while above in nodes:
            full |= own[above]
            above = nodes[above].node.parent_id
        found[pk] = full
    return found
