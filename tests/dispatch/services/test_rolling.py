from datetime import date, datetime, time, timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from aggregator.core.fleet_state import nobody_yet
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import ChargingSession, NodeRating
from aggregator.services.forecasts import forecast_area
from dispatch.core.assemble import RunParameters
from dispatch.core.check import CheckFailed
from dispatch.models import DispatchRun, RunNode, RunRequest, Setpoint
from dispatch.services import rolling as service
from dispatch.services.delivery import deliver_day
from dispatch.services.rolling import NotInTheDay, RunOvertaken, redispatch_run
from dispatch.services.run_facts import facts_of
from dispatch.services.runs import run_dispatch, run_in_force
from dispatch.services.targets import receive_target
from markets.services.cycle import day_ahead
from tests.walks.small_area import TARIFF, SmallArea, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
EIGHT = utc(DAY, time(20))
PERIOD = 16  # that begins at 20:00


def dispatch(area: SmallArea, *, announced: bool = True, **asked: float) -> DispatchRun:
    """The day-ahead run; cars that plug in this evening say what they need and when they leave."""
    if announced:
        came = ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at)
        came.update(received_at=F("plug_in_at"))
    as_of = day_ahead(DAY)
    forecast = forecast_area(area_code=area.feeder.code, day=DAY, as_of=as_of)
    parameters = RunParameters(method="greedy", **asked)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=parameters)


def told_kw(run: DispatchRun) -> np.ndarray:
    """(n_evse, n_period) ordered by EVSE."""
    rows = Setpoint.objects.across_tenants().filter(run=run).order_by("evse")
    return np.array([row.setpoint_kw for row in rows])


class TestRedispatchRun:
    def test_continues_the_run_from_now_and_keeps_what_is_over(self):
        old = dispatch(make_small_area(DAY))
        new = redispatch_run(run=old, now=EIGHT)
        assert (new.continues, new.from_period, new.as_of) == (old, PERIOD, EIGHT)
        np.testing.assert_array_equal(told_kw(new)[:, :PERIOD], told_kw(old)[:, :PERIOD])
        assert run_in_force(area_code="street", day=DAY) == new
        assert Setpoint.objects.across_tenants().filter(run=new).count() == 6

    def test_serves_a_car_by_when_it_says_it_leaves(self):
        """Leaving at 22:00 it is to have its 6 kWh by then, not in the cheap night it was planned for."""
        area = make_small_area(DAY)
        old = dispatch(area)
        leaver = ChargingSession.objects.across_tenants().filter(evse=area.evses[0], plug_in_at__gte=GRID.starts_at)
        leaver.update(plug_out_at=utc(DAY, time(22)))
        new = redispatch_run(run=old, now=EIGHT)
        before, after = (
            np.array(Setpoint.objects.across_tenants().get(run=run, evse=area.evses[0]).planned_kw)
            for run in (old, new)
        )
        assert before[PERIOD : PERIOD + 4].sum() * 0.5 < 6.0 <= after[PERIOD : PERIOD + 4].sum() * 0.5

    def test_keeps_every_limit_as_it_is_known_now(self):
        old = dispatch(make_small_area(DAY))
        NodeRating.objects.filter(node__code="street").update(rating_kva=40.0)
        new = redispatch_run(run=old, now=EIGHT)
        street = RunNode.objects.get(run=new, node__code="street")
        then = RunNode.objects.get(run=old, node__code="street")
        assert street.limit_kw[:PERIOD] == then.limit_kw[:PERIOD]
        assert max(street.limit_kw[PERIOD:]) < max(then.limit_kw[PERIOD:])
        assert (told_kw(new)[:, PERIOD:].sum(axis=0) <= np.array(street.limit_kw[PERIOD:]) + 1e-6).all()
        assert new.max_violation_kw <= 1e-6

    def test_plans_for_a_request_that_came_since(self):
        area = make_small_area(DAY)
        old = dispatch(area)
        receive_target(
            reference="LATE-1",
            node_code="street",
            starts_at=utc(DAY + timedelta(days=1), time(1)),
            ends_at=utc(DAY + timedelta(days=1), time(3)),
            direction="turn_down",
            kind="response",
            target_kw=0.0,
            shortfall_gbp_per_kwh=1.0,
            issued_by=area.dno,
            received_at=EIGHT - timedelta(minutes=5),
        )
        new = redispatch_run(run=old, now=EIGHT)
        (asked,) = RunRequest.objects.filter(run=new)
        window = slice(asked.start_period, asked.end_period)
        assert told_kw(old)[:, window].any()
        assert not told_kw(new)[:, window].any()
        assert asked.shortfall_kw == [0.0] * 4

    def test_gives_the_stored_run_back_for_the_same_facts(self):
        old = dispatch(make_small_area(DAY))
        new = redispatch_run(run=old, now=EIGHT)
        assert redispatch_run(run=old, now=EIGHT) == new
        assert DispatchRun.objects.count() == 2

    def test_goes_on_from_a_run_that_goes_on(self):
        old = dispatch(make_small_area(DAY))
        second = redispatch_run(run=old, now=EIGHT)
        third = redispatch_run(run=second, now=EIGHT + timedelta(minutes=30))
        assert (third.continues, third.from_period) == (second, PERIOD + 1)
        np.testing.assert_array_equal(told_kw(third)[:, : PERIOD + 1], told_kw(second)[:, : PERIOD + 1])
        # What was sent with the second for the half-hour after stands: nothing happened since.
        np.testing.assert_array_equal(told_kw(third)[:, PERIOD + 1], told_kw(second)[:, PERIOD + 1])

    def test_leaves_the_last_run_in_force_when_it_fails(self, monkeypatch):
        old = dispatch(make_small_area(DAY))

        def broken(*_args: object) -> None:
            raise CheckFailed("node 'street' is over its limit")

        monkeypatch.setattr(service, "redispatch", broken)
        with pytest.raises(CheckFailed):
            redispatch_run(run=old, now=EIGHT)
        assert run_in_force(area_code="street", day=DAY) == old

    def test_leaves_the_last_run_in_force_when_it_is_killed_while_it_stores(self, monkeypatch):
        old = dispatch(make_small_area(DAY))

        def killed(**_kwargs: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(service, "record_run", killed)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            redispatch_run(run=old, now=EIGHT)
        assert run_in_force(area_code="street", day=DAY) == old
        assert not RunNode.objects.exclude(run=old).exists()

    def test_refuses_to_continue_a_run_that_was_overtaken(self):
        old = dispatch(make_small_area(DAY))
        redispatch_run(run=old, now=EIGHT)
        with pytest.raises(RunOvertaken, match="in force"):
            redispatch_run(run=old, now=EIGHT + timedelta(hours=1))

    @pytest.mark.parametrize("now", [GRID.starts_at - timedelta(seconds=1), GRID.ends_at])
    def test_refuses_an_instant_outside_the_day(self, now: datetime):
        with pytest.raises(NotInTheDay, match="period"):
            redispatch_run(run=dispatch(make_small_area(DAY)), now=now)

    def test_refuses_to_go_back_before_the_run_it_continues(self):
        new = redispatch_run(run=dispatch(make_small_area(DAY)), now=EIGHT)
        with pytest.raises(NotInTheDay, match="periods 16 to 47"):
            redispatch_run(run=new, now=EIGHT - timedelta(minutes=1))

    def test_takes_a_state_that_somebody_observed(self):
        old = dispatch(make_small_area(DAY), announced=False)
        ids = np.array(
            sorted(Setpoint.objects.across_tenants().filter(run=old).values_list("evse__pseudonym", flat=True))
        )
        new = redispatch_run(run=old, now=EIGHT, state=nobody_yet(ids, now=PERIOD))
        assert not told_kw(new)[:, PERIOD].any()

    def test_is_a_command_of_its_own(self, monkeypatch, capsys):
        monkeypatch.setattr(timezone, "now", lambda: EIGHT)
        dispatch(make_small_area(DAY))
        call_command("redispatch", "--area", "street", "--date", DAY.isoformat())
        assert "goes on from period 16: cost " in capsys.readouterr().out
        assert run_in_force(area_code="street", day=DAY).from_period == PERIOD

    def test_can_be_delivered_like_any_run(self):
        new = redispatch_run(run=dispatch(make_small_area(DAY)), now=EIGHT)
        delivered = deliver_day(run=new, as_of=GRID.ends_at + timedelta(days=3))
        assert delivered.delivery.delivered_kwh.sum() > 0


class TestFactsOf:
    def test_takes_a_run_of_before_the_rolling_day_as_it_was_delivered(self):
        run = dispatch(make_small_area(DAY))
        assert facts_of(run=run)[1].rolling
        del run.parameters["rolling"]
        assert not facts_of(run=run)[1].rolling


class TestDispatchRunTable:
    def test_knows_no_late_start_without_a_run_before(self):
        old = dispatch(make_small_area(DAY))
        old.from_period = 3
        with pytest.raises(IntegrityError, match="run_continues_from"), transaction.atomic():
            old.save()
