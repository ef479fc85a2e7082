"""Builders of a whole stored cycle for the pages: a small network, two DSRSPs, a plan, its delivery, its statements."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
from django.contrib.auth.models import User
from django.db import connection

from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.models import (
    EVSE,
    AvailabilityForecast,
    Batch,
    Finding,
    Membership,
    MeterDay,
    NetworkNode,
    Organisation,
)
from dispatch.models import DispatchRun, RunNode, Setpoint, TargetSignal
from markets.models import CycleNode, CycleRun, FlexEvent, Product, SettlementRun, Statement
from tests.factories import make_dno, make_evse, make_node, make_organisation
from tests.markets.contents import statement_content

PLAIN_DAY = date(2026, 1, 14)
SUMMARY = {
    "n_evse": 24,
    "n_session_forecast": 17,
    "energy_planned_kwh": 181.25,
    "energy_asked_kwh": 192.5,
    "energy_delivered_kwh": 190.0,
    "energy_unserved_kwh": 2.5,
    "peak_uncontrolled_kw": 96.4,
    "peak_planned_kw": 51.8,
    "peak_metered_kw": 53.2,
    "cost_uncontrolled_gbp": 48.15,
    "cost_metered_gbp": 31.07,
    "shortfall_kwh": 0.0,
    "gap": 0.00025,
    "cost_gbp": 1234.5,
    "lower_bound_gbp": 1234.19,
    "rung": "certified",
    "max_violation_kw": 0.0,
    "instructed_kwh": 30.0,
    "delivered_volume_kwh": 28.5,
    "payment_gbp": "8.55",
    "n_override": 1,
    "n_no_show": 2,
    "tightest_node": "F1",
    "findings": {"session.reversed": 3, "settle.few_days": 1},
}
# EVSEs at and below each node; F2 has too few to be shown, F3 is the smallest that hides it
N_EVSE = {"S1": 24, "F1": 12, "F2": 3, "F3": 9}


@dataclass(frozen=True, slots=True)
class Cycle:
    """A stored cycle and the rows a test asks about."""

    row: CycleRun
    grid: TimeGrid
    dno: Organisation
    dsrsps: dict[str, Organisation]
    nodes: dict[str, NetworkNode]
    statements: dict[str, Statement] = field(default_factory=dict)


def make_person(username: str, organisation: Organisation | None = None, role: str = "operator") -> User:
    user = User.objects.create_user(username, password="correct horse battery staple")
    if organisation is not None:
        Membership.objects.create(user=user, organisation=organisation, role=role)
    return user


def evening_kw(grid: TimeGrid, peak_kw: float, hour: float, width_h: float = 2.0) -> np.ndarray:
    """A bump of EV power ``hour`` hours after noon; values of its own at every period."""
    hours = (np.arange(grid.n_period) + 0.5) * grid.step_h
    return peak_kw * np.exp(-(((hours - hour) / width_h) ** 2))


def make_cycle(
    day: date = PLAIN_DAY, *, state: str = "done", dno: Organisation | None = None, summary: dict | None = None
) -> Cycle:
    """A complete cycle of substation S1 with feeders F1 to F3, settled for flexco and voltway."""
    dno = dno or make_dno()
    grid = charging_day(day)
    nodes = _network(dno)
    run = make_run(nodes["S1"], day, grid)
    delivery = _batch(dno, grid)
    row = CycleRun.objects.create(
        charging_day=day,
        area=nodes["S1"],
        as_of=grid.starts_at - timedelta(hours=2),
        state=state,
        forecast=run.forecast,
        run=run,
        delivery_batch=delivery,
        summary=SUMMARY if summary is None else summary,
        started_at=grid.starts_at - timedelta(hours=2),
        finished_at=None if state == "running" else grid.starts_at - timedelta(hours=1),
    )
    _curves(row, run, nodes, grid)
    dsrsps = {code: make_organisation(code) for code in ("flexco", "voltway")}
    for index, dsrsp in enumerate(dsrsps.values()):
        make_own_plan(run, dsrsp, nodes["F1"], delivery, grid, kw=[2.0, 3.0] if index == 0 else [7.0])
    statements = make_statements(row, run, dno, list(dsrsps.values()), grid)
    _findings(run, dsrsps["flexco"])
    return Cycle(row=row, grid=grid, dno=dno, dsrsps=dsrsps, nodes=nodes, statements=statements)


def _network(dno: Organisation) -> dict[str, NetworkNode]:
    primary = make_node("P1", "primary", dno=dno)
    substation = make_node("S1", "distribution", primary, dno=dno)
    NetworkNode.objects.filter(pk=substation.pk).update(name="Mill Lane")
    substation.refresh_from_db()
    feeders = {code: make_node(code, "feeder", substation, dno=dno) for code in ("F1", "F2", "F3")}
    return {"S1": substation, **feeders}


def make_run(area: NetworkNode, day: date, grid: TimeGrid) -> DispatchRun:
    as_of = grid.starts_at - timedelta(hours=2)
    forecast = AvailabilityForecast.objects.create(
        charging_day=day,
        area=area,
        as_of=as_of,
        starts_at=grid.starts_at,
        n_period=grid.n_period,
        method="test",
        rule={},
        input_sha256="0" * 64,
        quantiles=[0.5],
        n_session_known=10,
    )
    figures = ["cost_gbp", "cost_energy_gbp", "cost_unserved_gbp", "cost_shortfall_gbp", "cost_ramp_gbp"]
    figures += ["unavoidable_gbp", "lower_bound_gbp", "gap", "rounding_cost_gbp", "max_violation_kw", "solve_s"]
    return DispatchRun.objects.create(
        area=area,
        charging_day=day,
        forecast=forecast,
        as_of=as_of,
        starts_at=grid.starts_at,
        n_period=grid.n_period,
        period_minutes=30,
        parameters={"tariff": "night"},
        input_sha256="1" * 64,
        method="reference",
        rung="certified",
        iterations=1,
        **dict.fromkeys(figures, 0.0),
    )


def _batch(organisation: Organisation, grid: TimeGrid) -> Batch:
    return Batch.objects.create(
        kind="readings", organisation=organisation, source="delivery", sha256="2" * 64, received_at=grid.ends_at
    )


def _curves(cycle: CycleRun, run: DispatchRun, nodes: dict[str, NetworkNode], grid: TimeGrid) -> None:
    """Every array differs from every other, so that a mixed-up column shows."""
    for code, node in nodes.items():
        scale = N_EVSE[code] / 12
        rating_kw = 90.0 * scale
        background_kw = 20.0 * scale + evening_kw(grid, 25.0 * scale, 7.0, 3.0)
        reserve_kw = np.full(grid.n_period, 2.0 * scale)
        uncontrolled_kw = evening_kw(grid, 58.0 * scale, 7.5)
        planned_kw = evening_kw(grid, 31.0 * scale, 13.5, 3.5)
        RunNode.objects.create(
            run=run,
            node=node,
            rating_kw=rating_kw,
            background_kw=background_kw.tolist(),
            reserve_kw=reserve_kw.tolist(),
            limit_kw=(rating_kw - background_kw - reserve_kw).tolist(),
            planned_kw=planned_kw.tolist(),
            ceiling_kw=(planned_kw * 1.25).tolist(),
            price_gbp_per_kwh=[0.0] * grid.n_period,
        )
        CycleNode.objects.create(
            cycle=cycle,
            node=node,
            n_evse=N_EVSE[code],
            uncontrolled_kw=uncontrolled_kw.tolist(),
            metered_kw=(planned_kw * 0.97 + evening_kw(grid, 2.0 * scale, 7.5)).tolist(),
            background_kw=(background_kw * 0.9).tolist(),
        )


def make_own_plan(
    run: DispatchRun, dsrsp: Organisation, node: NetworkNode, batch: Batch, grid: TimeGrid, *, kw: list[float]
) -> None:
    """One EVSE for each power in ``kw``, planned and metered at it in the first two periods."""
    for index, power_kw in enumerate(kw):
        evse = make_evse(f"{dsrsp.code}-{index}", node=node, dsrsp=dsrsp)
        Setpoint(
            run=run,
            evse=evse,
            organisation=dsrsp,
            start_period=0,
            end_period=4,
            energy_kwh=power_kw,
            ampere_kw=power_kw / 20,
            planned_a=[20] * 2 + [0] * (grid.n_period - 2),
            setpoint_a=[30] * 3 + [0] * (grid.n_period - 3),
            unserved_kwh=0.25,
            unserveable_kwh=0.0,
        ).save()
        _meter_day(evse, dsrsp, batch, grid, power_kw)


def _meter_day(evse: EVSE, dsrsp: Organisation, batch: Batch, grid: TimeGrid, power_kw: float) -> None:
    first = grid.starts_at.hour * 2
    with connection.cursor() as cursor:
        for day in (grid.starts_at.date(), grid.ends_at.date()):
            cursor.execute("SELECT aggregator_meterday_partition(%s)", [day])
    evening_kwh = [None] * first + [power_kw / 2] * 2 + [0.0] * (46 - first)
    morning_kwh = [0.0] * (grid.n_period - 48 + first) + [None] * (96 - first - grid.n_period)
    for day, energy_kwh in ((grid.starts_at.date(), evening_kwh), (grid.ends_at.date(), morning_kwh)):
        MeterDay(
            day=day,
            meter=evse.meter,
            batch=batch,
            organisation=dsrsp,
            received_at=batch.received_at,
            energy_kwh=energy_kwh,
        ).save(force_insert=True)


def make_statements(
    cycle: CycleRun, run: DispatchRun, buyer: Organisation, dsrsps: list[Organisation], grid: TimeGrid
) -> dict[str, Statement]:
    """A first version of one statement a DSRSP, under a product of ``buyer``."""
    window = {"starts_at": grid.starts_at + timedelta(hours=6), "ends_at": grid.starts_at + timedelta(hours=8)}
    signal = TargetSignal.objects.create(
        reference=f"EVENING/{run.pk}",
        node=run.area,
        direction="turn_down",
        kind="routine",
        target_kw=20,
        shortfall_gbp_per_kwh=1,
        issued_by=buyer,
        received_at=run.as_of,
        **window,
    )
    product = Product.objects.create(
        code=f"su-{run.pk}", name="Scheduled Utilisation", buyer=buyer, valid_from=datetime(2020, 1, 1, tzinfo=UTC)
    )
    event = FlexEvent.objects.create(product=product, signal=signal, price_gbp_per_mwh=Decimal(300))
    settlement = settle_again(event, run, grid, version=1)
    cycle.settlement_runs.add(settlement)
    return {dsrsp.code: make_statement(settlement, dsrsp) for dsrsp in dsrsps}


def settle_again(
    event: FlexEvent, run: DispatchRun, grid: TimeGrid, *, version: int, supersedes: SettlementRun | None = None
) -> SettlementRun:
    return SettlementRun.objects.create(
        event=event,
        dispatch_run=run,
        version=version,
        code="PRELIM" if version == 1 else f"RERUN-{version - 1}",
        supersedes=supersedes,
        as_of=grid.ends_at + timedelta(hours=version),
        method="mid-8-in-10-sda",
        input_sha256=f"{version:064d}",
    )


def make_statement(settlement: SettlementRun, dsrsp: Organisation, sha256: str = "") -> Statement:
    figures = {
        "instructed_kwh": Decimal("15.0000"),
        "delivered_kwh": Decimal("14.2500"),
        "payment_gbp": Decimal("4.28"),
    }
    content = statement_content(f"{dsrsp.code} £", version=settlement.version, **figures)
    statement = Statement(
        settlement_run=settlement,
        organisation=dsrsp,
        **figures,
        delivered_share=0.95,
        performance_factor=1.0,
        n_baseline_days=10,
        content=content,
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
    )
    statement.save()
    return statement


def _findings(run: DispatchRun, dsrsp: Organisation) -> None:
    """Two of flexco's and one of nobody's, under the run."""
    shared = {"subject": "x", "message": "odd", "source": f"run:{run.pk}", "noticed_at": run.as_of}
    for code, severity, organisation in (
        ("session.reversed", "info", dsrsp),
        ("session.reversed", "warning", dsrsp),
        ("settle.few_days", "alarm", None),
    ):
        Finding(code=code, severity=severity, organisation=organisation, **shared).save()
