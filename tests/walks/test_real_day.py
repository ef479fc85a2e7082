"""The whole cycle on real sessions, a real feeder, real households and real prices, checked by second ways.

`make test TESTS=tests/walks/test_real_day.py WORKERS=0` prints what it measured. Where HEADROOM_WALK_DIGEST names a
file, the published statements' SHA-256 is written there: two database servers must publish the same bytes.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.db import transaction

from aggregator.core.timegrid import charging_day
from aggregator.models import EVSE, MeterDay, NetworkNode, Organisation
from dispatch.core.check import check_setpoints
from dispatch.core.network import Network
from dispatch.core.rounding import round_plan
from dispatch.core.solve import solve
from dispatch.models import IssuedSetpoint, RunNode, Setpoint
from dispatch.services.run_facts import assemble, facts_of
from dispatch.services.targets import receive_target
from markets.core.statement_file import parse_statement
from markets.models import CycleNode, CycleRun, Instruction, Product, Statement
from markets.services.cycle import CycleOrder, day_ahead, run_cycle
from markets.services.events import open_event
from tests.walks import real_area
from tests.walks.real_area import DAY, DNO, DSRSPS, LONDON, TARIFF

pytestmark = [pytest.mark.django_db, pytest.mark.real_data, pytest.mark.xdist_group("real_day")]

SUBSTATION = "ieee_european_lv-TR1"
GRID = charging_day(DAY)
STARTS_AT = datetime(2023, 12, 7, 17, tzinfo=UTC)
ENDS_AT = STARTS_AT + timedelta(hours=2)
NOW = datetime(2023, 12, 20, tzinfo=UTC)
TARGET_KW = 15.0
PRICE_GBP_PER_MWH = Decimal("300.00")
TOLERANCE_KW = 1e-6


@dataclass(frozen=True)
class Walk:
    """What one whole run left behind, and what a second one from the same files published."""

    cycle: CycleRun
    area: real_area.RealArea
    statements: dict[str, bytes]
    again: dict[str, bytes]


@pytest.fixture(scope="module")
def walk(django_db_setup, django_db_blocker, real_data: Path, tmp_path_factory) -> Iterator[Walk]:
    area = real_area.build(real_data, tmp_path_factory.mktemp("real_day"))
    with django_db_blocker.unblock():
        with transaction.atomic():
            again = published(run_all(area))
            transaction.set_rollback(True)
        with transaction.atomic():
            cycle = run_all(area)
            yield Walk(cycle, area, published(cycle), again)
            transaction.set_rollback(True)


def run_all(area: real_area.RealArea) -> CycleRun:
    real_area.load(area)
    dno = Organisation.objects.get(code=DNO)
    Product(code="su", name="Scheduled Utilisation", buyer=dno, valid_from=datetime(2023, 1, 1, tzinfo=UTC)).save()
    signal = receive_target(
        reference="WALK-1",
        node_code=SUBSTATION,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        direction="turn_down",
        kind="response",
        target_kw=TARGET_KW,
        shortfall_gbp_per_kwh=1.0,
        issued_by=dno,
        received_at=day_ahead(DAY) - timedelta(hours=6),
    )
    open_event(signal=signal, product_code="su", price_gbp_per_mwh=PRICE_GBP_PER_MWH)
    return run_cycle(order=CycleOrder(area_code=SUBSTATION, day=DAY, tariff_code=TARIFF, as_of=day_ahead(DAY), now=NOW))


def published(cycle: CycleRun) -> dict[str, bytes]:
    rows = Statement.objects.across_tenants().filter(settlement_run__in=cycle.settlement_runs.all())
    return {statement.organisation.code: bytes(statement.content) for statement in rows}


def add_up(power_kw: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Power at every node from power by EVSE, climbing from each EVSE to the root: no matrix, no engine."""
    parent = {node.pk: node.parent_id for node in NetworkNode.objects.all()}
    code = {node.pk: node.code for node in NetworkNode.objects.all()}
    total = {name: np.zeros(GRID.n_period) for name in code.values()}
    for evse in EVSE.objects.across_tenants():
        assert evse.phases == 1
        node = evse.node_id
        while node is not None:
            total[code[node]] += power_kw[evse.pk]
            node = parent[node]
    return total


def metered_kwh(walk: Walk) -> dict[int, np.ndarray]:
    """Asset energy of the charging day by EVSE, straight from the rows."""
    first = GRID.starts_at.date()
    evse_of = dict(EVSE.objects.across_tenants().values_list("meter_id", "pk"))
    energy = {pk: np.full(96, np.nan) for pk in evse_of.values()}
    rows = MeterDay.objects.across_tenants().filter(meter__in=evse_of, day__in=[first, first + timedelta(days=1)])
    for row in rows.order_by("received_at", "batch_id"):
        offset = 48 * (row.day - first).days
        values = np.array([np.nan if value is None else value for value in row.energy_kwh])
        known = ~np.isnan(values)
        energy[evse_of[row.meter_id]][offset : offset + 48][known] = values[known]
    start = GRID.starts_at.hour * 2
    return {pk: values[start : start + GRID.n_period] for pk, values in energy.items()}


class TestRealDay:
    def test_keeps_every_node_within_its_limit_if_all_setpoints_are_drawn(self, walk: Walk):
        setpoints = Setpoint.objects.across_tenants().filter(run=walk.cycle.run)
        load_kw = add_up({setpoint.evse_id: np.array(setpoint.setpoint_kw) for setpoint in setpoints})
        nodes = RunNode.objects.filter(run=walk.cycle.run).select_related("node")

        assert len(nodes) == 5
        for node in nodes:
            assert (load_kw[node.node.code] <= np.array(node.limit_kw) + TOLERANCE_KW).all(), node.node.code

    def test_holds_limits_that_are_rating_less_background_less_reserve(self, walk: Walk):
        for node in RunNode.objects.filter(run=walk.cycle.run):
            left_kw = node.rating_kw - np.array(node.background_kw) - np.array(node.reserve_kw)

            np.testing.assert_allclose(node.limit_kw, np.maximum(left_kw, 0))

    def test_keeps_every_node_within_its_rating_as_metered(self, walk: Walk):
        """Households as they really were, cars as metered, overrides included."""
        energy = metered_kwh(walk)
        load_kw = add_up({pk: values / 0.5 for pk, values in energy.items()})
        for node in CycleNode.objects.filter(cycle=walk.cycle).select_related("node"):
            rating_kw = RunNode.objects.get(run=walk.cycle.run, node=node.node).rating_kw
            total_kw = load_kw[node.node.code] + np.array(node.background_kw)

            np.testing.assert_allclose(node.metered_kw, load_kw[node.node.code], atol=1e-6)
            assert (total_kw <= rating_kw + TOLERANCE_KW).all(), node.node.code

    def test_keeps_every_cap_with_what_was_told_in_the_end(self, walk: Walk):
        """Ceilings of cars that were there, raised by what absent ones left: added up again, node by node."""
        issued = IssuedSetpoint.objects.across_tenants().filter(run=walk.cycle.run)
        load_kw = add_up({setpoint.evse_id: np.array(setpoint.setpoint_kw) for setpoint in issued})

        assert issued.count() == 55
        for node in RunNode.objects.filter(run=walk.cycle.run).select_related("node"):
            assert (load_kw[node.node.code] <= np.array(node.limit_kw) + TOLERANCE_KW).all(), node.node.code

    def test_meters_no_car_above_what_it_was_told(self, walk: Walk):
        """Nobody overrode on this day, so no half-hour may hold more than its ceiling."""
        assert walk.cycle.summary["n_override"] == 0
        energy = metered_kwh(walk)
        for setpoint in IssuedSetpoint.objects.across_tenants().filter(run=walk.cycle.run):
            assert (energy[setpoint.evse_id] <= np.array(setpoint.setpoint_kw) * 0.5 + 1e-9).all()

    def test_would_have_broken_a_limit_without_dispatch(self, walk: Walk):
        assert walk.cycle.summary["n_node_over_uncontrolled"] > 0

    def test_accounts_for_all_energy_asked(self, walk: Walk):
        figures = walk.cycle.summary
        delivered_kwh = sum(values.sum() for values in metered_kwh(walk).values())

        assert figures["energy_delivered_kwh"] + figures["energy_unserved_kwh"] == pytest.approx(
            figures["energy_asked_kwh"], abs=1e-6
        )
        assert delivered_kwh == pytest.approx(figures["energy_delivered_kwh"], abs=1e-6)

    def test_takes_the_energy_asked_from_the_sessions_of_that_day(self, walk: Walk):
        sessions = pd.read_csv(walk.area.sessions, parse_dates=["plug_in_utc", "plug_out_utc"])
        rated_kw = sessions.evse_id.map(real_area.ratings_kw(sessions))
        on_day = sessions[(sessions.plug_in_utc >= GRID.starts_at) & (sessions.plug_in_utc < GRID.ends_at)]
        on_day = on_day.dropna(subset="plug_out_utc")
        stay_h = (on_day.plug_out_utc.clip(upper=GRID.ends_at) - on_day.plug_in_utc) / pd.Timedelta(hours=1)
        asked_kwh = np.minimum(on_day.energy_kwh, rated_kw[on_day.index] * stay_h)
        figures = walk.cycle.summary

        assert figures["n_session"] + figures["n_no_show"] == len(on_day)
        # Those who did not show up asked for nothing.
        assert figures["energy_asked_kwh"] <= asked_kwh.sum() + 1e-6
        assert figures["energy_asked_kwh"] >= asked_kwh.sum() - 30 * figures["n_no_show"]

    def test_publishes_the_same_bytes_when_all_is_run_again(self, walk: Walk):
        assert sorted(walk.statements) == sorted(DSRSPS)
        assert walk.again == walk.statements
        if path := os.environ.get("HEADROOM_WALK_DIGEST"):
            Path(path).write_text(hashlib.sha256(b"".join(walk.statements[code] for code in DSRSPS)).hexdigest() + "\n")

    @pytest.mark.parametrize("dsrsp", DSRSPS)
    def test_pays_what_the_readings_are_worth(self, walk: Walk, dsrsp: str):
        """The money once more, in pandas and decimals, from the history file and the day's meter rows."""
        paid = parse_statement(walk.statements[dsrsp]).totals.net_gbp

        assert paid == second_settlement(walk, dsrsp)
        assert paid > 0

    def test_loses_next_to_nothing_to_whole_amperes(self, walk: Walk, capsys):
        """0.25 % is lost by any rounding: what is left under the caps of the phases is seldom a whole ampere."""
        problem = assemble(*facts_of(run=walk.cycle.run)).problem
        plan, network = solve(problem, time_limit_s=np.inf), Network.of(problem)
        rounding = round_plan(problem, network, plan.power_kw)
        served_kwh = float((network.serveable_kwh - plan.unserved_kwh).sum())
        lost_share = float((rounding.unserved_kwh - plan.unserved_kwh).sum()) / served_kwh
        cost_change = rounding.costs.energy_gbp / plan.cost_energy_gbp - 1
        with capsys.disabled():
            print(f"\nrounding: {lost_share:.3%} of the energy lost, {cost_change:+.3%} energy cost")  # noqa: T201

        np.testing.assert_array_equal(rounding.setpoint_a, plan.setpoint_a)
        assert check_setpoints(problem, plan.setpoint_a) <= TOLERANCE_KW
        assert plan.rung == "certified"
        assert lost_share <= 0.003
        assert abs(cost_change) <= 0.005

    def test_reports_peak_and_cost_with_and_without_dispatch(self, walk: Walk, capsys):
        figures = walk.cycle.summary
        with capsys.disabled():
            print(report(figures))  # noqa: T201

        assert figures["cost_metered_gbp"] < figures["cost_uncontrolled_gbp"]
        assert figures["tightest_peak_metered_kw"] < figures["tightest_peak_uncontrolled_kw"]
        assert figures["rung"] == "certified"


def report(figures: dict[str, float]) -> str:
    """Peak and cost of the day without and with dispatch, and what was left unserved."""
    rows = [
        ("EV peak, kW", figures["peak_uncontrolled_kw"], figures["peak_metered_kw"]),
        ("feeder peak, kW", figures["network_peak_uncontrolled_kw"], figures["network_peak_metered_kw"]),
        (
            f"peak at {figures['tightest_node']} with households, kW (rating {figures['tightest_rating_kw']:.1f})",
            figures["tightest_peak_uncontrolled_kw"],
            figures["tightest_peak_metered_kw"],
        ),
        ("nodes over their rating", figures["n_node_over_uncontrolled"], figures["n_node_over_metered"]),
        ("energy cost, GBP", figures["cost_uncontrolled_gbp"], figures["cost_metered_gbp"]),
        ("energy cost, p/kWh", *(100 * figures[f"cost_{name}_gbp_per_kwh"] for name in ("uncontrolled", "metered"))),
        ("energy, kWh", figures["energy_asked_kwh"], figures["energy_delivered_kwh"]),
    ]
    lines = [f"  {label:<75} {without:>9.2f} {dispatched:>9.2f}" for label, without, dispatched in rows]
    rest = {key: figures[key] for key in ("n_session", "gap", "shortfall_kwh", "instructed_kwh", "payment_gbp")}
    return "\n".join([f"\nreal day {DAY}: uncontrolled, then dispatched", *lines, f"  {rest}"])


def second_settlement(walk: Walk, dsrsp: str) -> Decimal:
    """Mid 8-in-10 with same-day adjustment, 5 % grace and 3 for 1, worked without the product's own code."""
    evses = EVSE.objects.across_tenants().filter(enrolments__dsrsp__code=dsrsp)
    meters = {evse.meter.code: evse.pk for evse in evses.select_related("meter")}
    readings = pd.read_csv(walk.area.readings, parse_dates=["period_start_utc"])
    fleet = readings[readings.meter_id.isin(meters)].groupby("period_start_utc").energy_kwh.sum()
    local = fleet.index.tz_convert(LONDON)
    table = pd.DataFrame({"day": local.date, "clock": local.strftime("%H:%M"), "kwh": fleet.to_numpy()})
    table = table.drop_duplicates(["day", "clock"]).pivot_table(index="day", columns="clock", values="kwh")
    event = ["17:00", "17:30", "18:00", "18:30"]
    window = ["13:00", "13:30", "14:00", "14:30", "15:00", "15:30"]
    days = [day for day in table.index if day < DAY and day.weekday() < 5][-10:]
    ranked = sorted(days, key=lambda day: table.loc[day, event].sum())
    kept = table.loc[ranked[1:-1]]
    today = sum(values for pk, values in metered_kwh(walk).items() if pk in meters.values())
    clock = [start.astimezone(LONDON).strftime("%H:%M") for start in GRID.starts()]
    metered = pd.Series(today, index=clock)
    adjustment = (metered[window] - kept[window].mean()).mean()
    baseline = np.maximum(kept[event].mean() + adjustment, 0)
    instruction = Instruction.objects.across_tenants().get(organisation__code=dsrsp)
    instructed = sum((Decimal(str(round(kw * 0.5, 4))) for kw in instruction.instructed_kw), Decimal(0))
    delivered = Decimal(str(round(float((baseline - metered[event]).sum()), 4)))
    share = min(delivered / instructed, Decimal(1))
    factor = max(1 - 3 * max(Decimal("0.95") - share, Decimal(0)), Decimal(0)) if share >= Decimal("0.63") else 0
    value = instructed / 1000 * PRICE_GBP_PER_MWH * factor
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)
