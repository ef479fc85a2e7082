"""The whole cycle on a plain day and on both days the clocks change."""

from datetime import date, time, timedelta

import numpy as np
import pytest

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import AvailabilityForecast
from dispatch.models import RunNode, Setpoint
from markets.core.statement_file import parse_statement
from markets.models import CycleNode, Statement, StatementLine
from markets.services.cycle import run_cycle
from tests.walks.small_area import call, make_small_area

DAYS = {
    date(2026, 1, 15): (48, range(1, 7)),
    date(2026, 3, 28): (46, range(1, 5)),  # 00:00 to 03:00 is two hours long: there is no 01:00
    date(2025, 10, 25): (50, range(1, 9)),  # and four hours long: 01:00 passes twice
}

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("day", DAYS)
class TestCycleOverTheClockChange:
    def test_counts_the_periods_of_the_day_in_every_layer(self, day: date):
        n_period, _ = DAYS[day]
        area = make_small_area(day)
        call(area, utc(day, time(17)), utc(day, time(19)))

        cycle = run_cycle(order=area.order())

        assert charging_day(day).n_period == n_period
        assert AvailabilityForecast.objects.get(pk=cycle.forecast_id).n_period == n_period
        for setpoint in Setpoint.objects.across_tenants().filter(run=cycle.run):
            assert len(setpoint.setpoint_kw) == n_period
        for node in [*RunNode.objects.filter(run=cycle.run), *CycleNode.objects.filter(cycle=cycle)]:
            assert len(node.background_kw) == n_period

    def test_serves_every_car_and_keeps_the_account(self, day: date):
        area = make_small_area(day)

        figures = run_cycle(order=area.order()).summary

        assert figures["n_session"] + figures["n_no_show"] == 6
        assert figures["energy_unserved_kwh"] == pytest.approx(0, abs=0.05 * figures["energy_asked_kwh"])
        assert figures["energy_delivered_kwh"] + figures["energy_unserved_kwh"] == pytest.approx(
            figures["energy_asked_kwh"]
        )
        assert figures["cost_metered_gbp"] < 0.5 * figures["cost_uncontrolled_gbp"]

    def test_numbers_the_settlement_periods_of_a_night_event(self, day: date):
        _, numbers = DAYS[day]
        area, night = make_small_area(day), day + timedelta(days=1)
        call(area, utc(night, time(0)), utc(night, time(3)), target_kw=0.0)

        cycle = run_cycle(order=area.order())

        for statement in Statement.objects.across_tenants():
            lines = StatementLine.objects.filter(statement=statement).order_by("starts_at")
            assert [line.period for line in lines] == list(numbers)
            assert {line.settlement_date for line in lines} == {night}
            (line,) = parse_statement(bytes(statement.content)).lines
            assert [period.settlement_period.number for period in line.periods] == list(numbers)
        assert cycle.state == "done"

    def test_pays_for_the_evening_it_turned_down(self, day: date):
        area = make_small_area(day)
        call(area, utc(day, time(17)), utc(day, time(19)))

        figures = run_cycle(order=area.order()).summary

        assert figures["payment_gbp"] > 0
        assert figures["delivered_volume_kwh"] >= 0.95 * figures["instructed_kwh"]

    def test_keeps_setpoints_within_limits_by_hand(self, day: date):
        area = make_small_area(day, rating_kva=30.0)
        cycle = run_cycle(order=area.order())
        by_phase = {letter: np.zeros(DAYS[day][0]) for letter in "ABC"}
        for setpoint in Setpoint.objects.across_tenants().filter(run=cycle.run).select_related("evse__node"):
            by_phase[setpoint.evse.node.phase] += setpoint.setpoint_kw
        for letter, load_kw in by_phase.items():
            phase = RunNode.objects.get(run=cycle.run, node__code=f"street-{letter}")
            assert (load_kw <= np.array(phase.limit_kw) + 1e-6).all()
        feeder = RunNode.objects.get(run=cycle.run, node__code="street")
        assert (sum(by_phase.values()) <= np.array(feeder.limit_kw) + 1e-6).all()
