"""A cycle as one DSRSP sees it: its own EVSEs' totals and its own money, and nothing of anybody else's."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.day_panel import DayPowers, day_panel
from aggregator.core.display import number
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from aggregator.models import Batch, Organisation, as_platform
from dispatch.queries import FleetPlan, fleet_plan
from markets.core.page import CycleView
from markets.core.tiles import Tile, TileGroup
from markets.models import CycleRun
from markets.queries import StatementRow

OWN_ONLY = "Only your own EVSEs are counted here; network limits and other DSRSPs' figures are the DNO's to see."
MISSING = "{n} half-hourly readings of your meters are missing; the metered power below is of those that are there."


def fleet_view(*, cycle: CycleRun, organisation: Organisation, statements: Sequence[StatementRow]) -> CycleView:
    """Show one DSRSP its own plan, its own meters and its own statements of a cycle."""
    if cycle.run is None:
        return CycleView(tile_groups=())
    grid = cycle.run.grid
    plan = fleet_plan(cycle.run, organisation)
    planned_kw = np.array(plan.planned_kw, dtype=np.float64)
    meter_kw = _meter_kw(cycle, plan, grid)
    metered_kw = None if meter_kw is None else _sum_of_known(meter_kw)
    powers = DayPowers(
        grid=grid,
        planned_kw=planned_kw,
        metered_kw=metered_kw,
        ceiling_kw=np.array(plan.ceiling_kw, dtype=np.float64),
    )
    tiles = (
        TileGroup("Your fleet", _fleet_tiles(plan, planned_kw, metered_kw, grid)),
        TileGroup("Market", _market_tiles(statements)),
    )
    return CycleView(
        tile_groups=tiles,
        subject=f"{organisation.name}, own EVSEs",
        notices=(OWN_ONLY, *_missing(meter_kw)),
        panel=day_panel(powers),
    )


def _meter_kw(cycle: CycleRun, plan: FleetPlan, grid: TimeGrid) -> FloatArray | None:
    """(n_meter, n_period) mean power of the DSRSP's asset meters as known at delivery, NaN where nothing was read."""
    if cycle.delivery_batch_id is None or not plan.meter_pks:
        return None
    energy = load_energy_kwh(
        meter_pks=np.array(plan.meter_pks, dtype=np.int64),
        first_day=grid.starts_at.date(),
        last_day=grid.ends_at.date(),
        as_of=_delivered_at(cycle.delivery_batch_id),
    )
    return energy.on_grid(grid) / grid.step_h


def _delivered_at(batch_pk: int) -> datetime:
    """When a delivery became known; its first batch stands for all, and may be another DSRSP's."""
    with as_platform():
        return Batch.objects.values_list("received_at", flat=True).get(pk=batch_pk)


def _sum_of_known(meter_kw: FloatArray) -> FloatArray:
    """(n_period,) sum over the meters that were read, NaN where none was."""
    total_kw: FloatArray = np.where(np.isfinite(meter_kw).any(axis=0), np.nansum(meter_kw, axis=0), np.nan)
    return total_kw


def _missing(meter_kw: FloatArray | None) -> tuple[str, ...]:
    n_missing = 0 if meter_kw is None else int(np.isnan(meter_kw).sum())
    return (MISSING.format(n=n_missing),) if n_missing else ()


def _fleet_tiles(
    plan: FleetPlan, planned_kw: FloatArray, metered_kw: FloatArray | None, grid: TimeGrid
) -> tuple[Tile, ...]:
    has_reads = metered_kw is not None and bool(np.isfinite(metered_kw).any())
    peak_kw = float(np.nanmax(metered_kw)) if metered_kw is not None and has_reads else None
    metered_kwh = float(np.nansum(metered_kw)) * grid.step_h if metered_kw is not None and has_reads else None
    return (
        Tile("EVSEs planned", number(plan.n_evse, 0)),
        Tile("Energy asked of the plan", number(plan.energy_kwh), "kWh"),
        Tile("Unserved in the plan", number(plan.unserved_kwh), "kWh"),
        Tile("Peak planned", number(float(planned_kw.max())), "kW"),
        Tile("Peak metered", number(peak_kw), "kW"),
        Tile("Energy metered", number(metered_kwh), "kWh"),
    )


def _market_tiles(statements: Sequence[StatementRow]) -> tuple[Tile, ...]:
    valid = [row for row in statements if not row.is_superseded]
    if not valid:
        return (Tile("Instructed", number(None), "kWh"), Tile("Payment", number(None), "GBP"))
    return (
        Tile("Instructed", number(sum((row.instructed_kwh for row in valid), Decimal(0)), 2), "kWh"),
        Tile("Delivered volume", number(sum((row.delivered_kwh for row in valid), Decimal(0)), 2), "kWh"),
        Tile("Payment", number(sum((row.payment_gbp for row in valid), Decimal(0)), 2), "GBP"),
    )
