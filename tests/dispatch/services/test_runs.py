import json
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest

from aggregator.core.gap_fill import NothingToFillFrom
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.network_area import UnknownNode
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import EVSE, Batch, ChargingSession, Finding, NetworkNode, NodeRating, TariffDay
from aggregator.services.forecasts import forecast_area
from aggregator.services.ingest_readings import ingest_readings
from dispatch.core.assemble import RunParameters, SessionWithoutEvse
from dispatch.core.check import CheckFailed
from dispatch.models import DispatchRun, RunNode, RunRequest, Setpoint, TargetSignal
from dispatch.services import runs
from dispatch.services.runs import NoForecast, NothingDispatched, newest_forecast, run_dispatch, run_in_force
from markets.services.cycle import day_ahead
from tests.factories import make_enrolment, make_evse, make_feeder, make_meter, make_organisation
from tests.walks.small_area import CHEAP_UTC, TARIFF, SmallArea, call, make_batch, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
AS_OF = day_ahead(DAY)
GRID = charging_day(DAY)
SECOND = timedelta(seconds=1)
EVENING = (utc(DAY, time(17)), utc(DAY, time(19)))


GREEDY = RunParameters(method="greedy")  # what a run reads and writes does not depend on who solves it
SOLVED = RunParameters()


def dispatch(as_of: datetime = AS_OF, parameters: RunParameters = GREEDY, tariff: str = TARIFF) -> DispatchRun:
    forecast = forecast_area(area_code="street", day=DAY, as_of=as_of)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=tariff, parameters=parameters)


def rows_of(run: DispatchRun) -> dict[str, object]:
    """Everything a run says, but for keys, clocks and how long it took."""
    left_out = ("id", "run_id", "created_at", "solve_s", "forecast_id")

    def said(rows: list[dict[str, object]]) -> list[str]:
        return sorted(json.dumps({k: v for k, v in row.items() if k not in left_out}, default=str) for row in rows)

    return {
        "run": said(list(DispatchRun.objects.filter(pk=run.pk).values())),
        "nodes": said(list(RunNode.objects.filter(run=run).values())),
        "requests": said(list(RunRequest.objects.filter(run=run).values())),
        "setpoints": said(list(Setpoint.objects.across_tenants().filter(run=run).values())),
        "findings": said(
            list(Finding.objects.across_tenants().filter(source=f"run:{run.pk}").values("code", "message"))
        ),
    }


def findings_of(run: DispatchRun):
    return Finding.objects.across_tenants().filter(source=f"run:{run.pk}")


def forget(run: DispatchRun) -> None:
    forecast = run.forecast
    run.delete()
    forecast.delete()


def setpoints_of(run: DispatchRun) -> dict[str, np.ndarray]:
    rows = Setpoint.objects.across_tenants().filter(run=run).select_related("evse")
    return {row.evse.pseudonym: np.array(row.setpoint_kw) for row in rows}


def codes(run: DispatchRun) -> set[str]:
    return set(findings_of(run).values_list("code", flat=True))


def unserved_kwh(run: DispatchRun) -> float:
    rows = Setpoint.objects.across_tenants().filter(run=run)
    return sum(row.unserved_kwh + row.unserveable_kwh for row in rows)


def rate(code: str, rating_kva: float, valid_from: datetime | None = None) -> None:
    """A rating from some time on, in place of what held till then."""
    node = NetworkNode.objects.get(code=code)
    valid_from = valid_from or GRID.starts_at - timedelta(days=100)
    node.ratings.filter(valid_to__isnull=True).update(valid_to=valid_from)
    NodeRating.objects.create(node=node, rating_kva=rating_kva, valid_from=valid_from)


def demand(area: SmallArea, code: str, power_kw: float, *, received_at: datetime, n_day: int = 60) -> None:
    """A monitor that read the same through every half-hour of the days before."""
    node = NetworkNode.objects.get(code=code)
    meter = make_meter(f"{code}-monitor-{received_at:%d%H%M%S}", "feeder", node=node, organisation=area.dno)
    first = np.datetime64(DAY - timedelta(days=n_day), "s")
    starts = first + np.arange(n_day * 48) * np.timedelta64(1800, "s")
    ingest_readings(
        organisation=area.dno,
        source="monitor",
        sha256=meter.code.ljust(64, "0"),
        received_at=received_at,
        values=ReadingValues(np.full(len(starts), meter.pk), starts, np.full(len(starts), power_kw / 2)),
    )


class TestRunDispatch:
    def test_charges_everybody_when_it_is_cheap(self):
        make_small_area(DAY)
        run = dispatch(parameters=SOLVED)
        cheap = np.array([start.hour * 2 + start.minute // 30 in CHEAP_UTC for start in GRID.starts()])
        rows = Setpoint.objects.across_tenants().filter(run=run)
        assert rows.count() == 6
        for row in rows:
            planned_kw = np.array(row.planned_kw)
            assert not planned_kw[~cheap].any()
            assert planned_kw.sum() / 2 >= row.energy_kwh - 1e-6
            assert (planned_kw <= np.array(row.setpoint_kw) + 1e-9).all()
        assert (run.rung, unserved_kwh(run)) == ("certified", pytest.approx(0.0, abs=1e-9))
        assert run.max_violation_kw <= 1e-6

    def test_gives_the_stored_run_back_when_asked_again(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        first = dispatch()
        before = rows_of(first)

        again = dispatch()

        assert again.pk == first.pk
        assert DispatchRun.objects.count() == 1
        assert rows_of(again) == before

    def test_finds_the_same_plan_from_the_same_facts(self):
        area = make_small_area(DAY, rating_kva=36.0)
        call(area, *EVENING)
        first = dispatch(parameters=SOLVED)
        before = rows_of(first)
        forget(first)

        assert rows_of(dispatch(parameters=SOLVED)) == before

    def test_makes_what_is_known_later_a_new_run_in_force(self):
        area = make_small_area(DAY)
        first = dispatch()
        call(area, *EVENING)

        second = dispatch()

        assert second.pk != first.pk
        assert run_in_force(area_code="street", day=DAY) == second
        assert DispatchRun.objects.filter(pk=first.pk).exists()

    def test_sees_nothing_that_was_received_later(self):
        area = make_small_area(DAY, rating_kva=40.0)
        call(area, *EVENING)
        demand(area, "street", 5.0, received_at=AS_OF)
        first = dispatch()
        before = rows_of(first)
        forget(first)

        later = AS_OF + SECOND
        demand(area, "street", 30.0, received_at=later)
        _late_call(area, later)
        _late_price(area, later)
        _late_session(area, later)

        after = rows_of(dispatch())
        assert after == before

    @pytest.mark.parametrize("late", ["demand", "call", "price", "session"])
    def test_sees_what_was_received_just_then(self, late):
        area = make_small_area(DAY, rating_kva=40.0)
        before = dispatch()

        {
            "demand": lambda: demand(area, "street", 30.0, received_at=AS_OF),
            "call": lambda: _late_call(area, AS_OF),
            "price": lambda: _late_price(area, AS_OF),
            "session": lambda: _late_session(area, AS_OF),
        }[late]()

        assert dispatch().pk != before.pk

    @pytest.mark.parametrize(
        "change",
        [{"rated_kw": 3.68}, {"min_current_a": 16.0}, {"phases": 3}, {"node": "street-B"}],
        ids=lambda change: next(iter(change)),
    )
    def test_is_a_new_run_when_an_unexpected_evse_changes(self, change):
        """Its ceilings come from unused headroom, so they are part of the plan although no session of it is."""
        area = make_small_area(DAY)
        node = area.feeder if "phases" in change else NetworkNode.objects.get(code="street-A")
        evse = make_evse("silent", node=node, dsrsp=area.dsrsps[0], rated_kw=7.36)
        first = dispatch()
        assert not Setpoint.objects.across_tenants().get(run=first, evse=evse).energy_kwh
        for field, value in change.items():
            setattr(evse, field, NetworkNode.objects.get(code=value) if field == "node" else value)
        evse.save()

        assert dispatch().pk != first.pk

    def test_is_a_new_run_when_the_demand_of_an_unrated_street_changes(self):
        """No limit shows it, but it bounds what is offered beyond the plan."""
        area = make_small_area(DAY)
        NodeRating.objects.all().delete()
        first = dispatch()
        demand(area, "street", 30.0, received_at=AS_OF)
        assert dispatch().pk != first.pk

    def test_keeps_runs_of_two_parameters_apart(self):
        make_small_area(DAY)
        first = dispatch()
        second = dispatch(parameters=RunParameters(unserved_gbp_per_kwh=3.0, method="greedy"))
        assert first.pk != second.pk
        assert second.parameters["unserved_gbp_per_kwh"] == 3.0
        assert first.parameters["tariff"] == second.parameters["tariff"] == TARIFF

    def test_keeps_every_node_within_its_limit_by_hand(self):
        make_small_area(DAY, rating_kva=36.0)
        run = dispatch()
        for node in RunNode.objects.filter(run=run).select_related("node"):
            below = [
                np.array(row.setpoint_kw)
                for row in Setpoint.objects.across_tenants().filter(run=run).select_related("evse__node")
                if node.node in (row.evse.node, row.evse.node.parent)
            ]
            total_kw = np.sum(below, axis=0)
            np.testing.assert_allclose(total_kw, node.ceiling_kw, atol=1e-9)
            assert (total_kw <= np.array(node.limit_kw) + 1e-6).all()
            assert total_kw.max() > 0
            np.testing.assert_allclose(
                np.array(node.limit_kw),
                np.maximum(node.rating_kw - np.array(node.background_kw) - np.array(node.reserve_kw), 0),
            )
            assert node.rating_kw == pytest.approx((36.0 if node.node.kind == "feeder" else 12.0) * 0.98)

    def test_holds_unknown_and_three_phase_evses_against_the_phases(self):
        area = make_small_area(DAY, rating_kva=75.0)
        unknown, three = area.evses[:2]
        EVSE.objects.across_tenants().filter(pk__in=[unknown.pk, three.pk]).update(node=area.feeder)
        EVSE.objects.across_tenants().filter(pk=three.pk).update(phases=3, rated_kw=11.04)

        run = dispatch()

        setpoints = setpoints_of(run)
        for letter, homes in (("A", [3]), ("B", [4]), ("C", [2, 5])):
            load_kw = sum(setpoints[f"evse_home-{home}"] for home in homes)
            load_kw = load_kw + setpoints["evse_home-0"] + setpoints["evse_home-1"] / 3
            node = RunNode.objects.get(run=run, node__code=f"street-{letter}")
            np.testing.assert_allclose(load_kw, node.ceiling_kw, atol=1e-9)
            assert (load_kw <= np.array(node.limit_kw) + 1e-6).all()
            assert load_kw.max() > 0
        amperes = Setpoint.objects.across_tenants().get(run=run, evse=three)
        assert max(amperes.setpoint_a) >= 6
        np.testing.assert_allclose(np.array(amperes.setpoint_a) * 0.69, amperes.setpoint_kw)

    def test_meets_a_request_and_says_so(self):
        area = make_small_area(DAY)
        call(area, *EVENING, target_kw=5.0)
        run = dispatch(parameters=SOLVED)
        request = RunRequest.objects.get(run=run)
        assert (request.start_period, request.end_period) == (10, 14)
        assert max(request.planned_kw) <= 5.0
        assert request.shortfall_kw == [0.0] * 4
        assert max(RunNode.objects.get(run=run, node=area.feeder).ceiling_kw[10:14]) <= 5.0

    def test_states_the_shortfall_of_a_turn_up_nobody_can_meet(self):
        area = make_small_area(DAY)
        _late_call(area, AS_OF, direction="turn_up", target_kw=1000.0)
        run = dispatch(parameters=SOLVED)
        request = RunRequest.objects.get(run=run)
        assert min(request.shortfall_kw) > 900
        # All 51 kWh fall into the window, and what is missing is what the target asks beyond them.
        n_period = len(request.shortfall_kw)
        missed_kwh = sum(request.shortfall_kw) / 2
        assert missed_kwh >= 1000.0 * n_period / 2 - 51.0 - 1e-3
        # The worse of plan and rounding in each period: rounding moves at most what six cars charge in one half-hour.
        assert missed_kwh <= 1000.0 * n_period / 2 - 51.0 + 6 * 7.36 / 2
        np.testing.assert_array_less(1000.0 - np.array(request.planned_kw) - 1e-9, request.shortfall_kw)
        assert sum(request.planned_kw) / 2 >= 51.0 - 1e-6
        assert unserved_kwh(run) == pytest.approx(0.0, abs=1e-9)

    @pytest.mark.parametrize(
        ("starts_at", "ends_at", "window"),
        [
            (GRID.starts_at - timedelta(hours=2), GRID.starts_at + timedelta(hours=1), (0, 2)),
            (GRID.ends_at - timedelta(hours=1), GRID.ends_at + timedelta(hours=3), (46, 48)),
            (GRID.starts_at, GRID.ends_at, (0, 48)),
        ],
    )
    def test_takes_the_part_of_a_request_that_falls_into_its_day(self, starts_at, ends_at, window):
        area = make_small_area(DAY)
        _late_call(area, AS_OF, starts_at=starts_at, ends_at=ends_at)
        request = RunRequest.objects.get(run=dispatch())
        assert (request.start_period, request.end_period) == window
        assert len(request.planned_kw) == len(request.shortfall_kw) == window[1] - window[0]

    @pytest.mark.parametrize(
        ("starts_at", "ends_at"),
        [
            (GRID.starts_at - timedelta(hours=2), GRID.starts_at),
            (GRID.ends_at, GRID.ends_at + timedelta(hours=1)),
        ],
    )
    def test_leaves_out_a_request_of_another_day(self, starts_at, ends_at):
        area = make_small_area(DAY)
        _late_call(area, AS_OF, starts_at=starts_at, ends_at=ends_at)
        assert not RunRequest.objects.filter(run=dispatch()).exists()

    def test_leaves_out_a_request_of_another_place(self):
        area = make_small_area(DAY)
        make_feeder("elsewhere", dno=area.dno)
        TargetSignal.objects.create(
            reference="THERE",
            node=NetworkNode.objects.get(code="elsewhere"),
            starts_at=EVENING[0],
            ends_at=EVENING[1],
            direction="turn_down",
            kind="routine",
            target_kw=0.0,
            shortfall_gbp_per_kwh=1.0,
            issued_by=area.dno,
            received_at=AS_OF,
        )
        assert not RunRequest.objects.filter(run=dispatch()).exists()


class TestRunDispatchWithoutRoom:
    """Needs that cannot be met are unserved energy and findings, never a crash."""

    def test_names_a_feeder_whose_background_is_above_its_rating(self):
        area = make_small_area(DAY)
        demand(area, "street", 200.0, received_at=AS_OF)

        run = dispatch()

        assert {"network.no_headroom", "dispatch.unserved"} <= codes(run)
        assert not any(setpoint.any() for setpoint in setpoints_of(run).values())
        assert unserved_kwh(run) == pytest.approx(6 * 6.0 + 15.0)  # 6 to 11 kWh
        assert Finding.objects.across_tenants().filter(code="dispatch.unserved").count() == 6
        assert min(RunNode.objects.get(run=run, node=area.feeder).limit_kw) == 0.0

    def test_serves_nobody_at_zero_headroom(self):
        make_small_area(DAY, rating_kva=1e-3)
        run = dispatch()
        assert unserved_kwh(run) == pytest.approx(51.0)
        assert "dispatch.unserved" in codes(run)

    def test_serves_what_it_can_where_not_all_fits(self):
        """Once one override is held back a phase is left 6 A for 14 hours: 19.3 kWh, for two cars that need 30."""
        make_small_area(DAY, rating_kva=27.0)
        ChargingSession.objects.across_tenants().update(energy_kwh=15.0)
        run = dispatch()
        rows = Setpoint.objects.across_tenants().filter(run=run)
        assert 30.0 < unserved_kwh(run) < 45.0
        for row in rows:
            served_kwh = min(sum(row.planned_kw) / 2, row.energy_kwh)
            assert served_kwh + row.unserved_kwh == pytest.approx(row.energy_kwh, abs=1e-6)

    def test_holds_a_feeder_without_any_rating_to_half_of_its_evs(self):
        make_small_area(DAY)
        NodeRating.objects.all().delete()

        run = dispatch()

        assert findings_of(run).filter(code="network.no_rating").count() == 4
        assert (sum(setpoints_of(run).values()) <= 0.5 * 6 * 7.36 + 1e-6).all()
        assert np.isinf(RunNode.objects.get(run=run, node__code="street").rating_kw)

    def test_binds_the_whole_day_by_a_rating_that_falls_within_it(self):
        make_small_area(DAY)
        rate("street", 4.0, GRID.starts_at + timedelta(hours=20))
        run = dispatch()
        assert RunNode.objects.get(run=run, node__code="street").rating_kw == pytest.approx(4.0 * 0.98)
        assert (sum(setpoints_of(run).values()) <= 4.0).all()

    def test_leaves_alone_a_rating_that_falls_later(self):
        make_small_area(DAY)
        rate("street", 4.0, GRID.ends_at)
        assert RunNode.objects.get(run=dispatch(), node__code="street").rating_kw == pytest.approx(90 * 0.98)

    def test_dispatches_an_empty_fleet(self):
        area = make_small_area(DAY)
        for enrolment in area.evses[0].enrolments.model.objects.across_tenants():
            enrolment.ends_at = GRID.starts_at
            enrolment.save()
        call(area, *EVENING)

        run = dispatch(parameters=SOLVED)

        assert not Setpoint.objects.across_tenants().filter(run=run).exists()
        assert RunNode.objects.filter(run=run).count() == 4
        assert run.cost_gbp == 0.0

    def test_dispatches_a_fleet_of_which_no_session_is_known(self):
        make_small_area(DAY)
        ChargingSession.objects.across_tenants().delete()

        run = dispatch()

        rows = Setpoint.objects.across_tenants().filter(run=run)
        assert rows.count() == 6
        assert not any(row.energy_kwh or any(row.planned_kw) for row in rows)
        assert any(any(row.setpoint_kw) for row in rows)  # whoever comes may charge when there is room

    def test_refuses_to_plan_without_any_price(self):
        make_small_area(DAY)
        TariffDay.objects.all().delete()
        with pytest.raises(NothingToFillFrom) as refused:
            dispatch()
        assert refused.value.code == "series.nothing_to_fill_from"
        assert not DispatchRun.objects.exists()

    def test_refuses_prices_that_are_not_known_yet(self):
        make_small_area(DAY)
        TariffDay.objects.all().update(received_at=AS_OF + SECOND)
        with pytest.raises(NothingToFillFrom):
            dispatch()

    def test_refuses_an_unknown_tariff(self):
        make_small_area(DAY)
        with pytest.raises(Exception, match="no tariff") as refused:
            dispatch(tariff="nothing")
        assert refused.value.code == "prices.unknown_tariff"

    def test_needs_no_carbon_intensity_until_it_has_a_weight(self):
        make_small_area(DAY)
        assert dispatch().pk
        with pytest.raises(NothingToFillFrom):
            dispatch(parameters=RunParameters(carbon_gbp_per_tonne=50.0))

    def test_stores_nothing_when_the_plan_breaks_a_limit(self, monkeypatch):
        area = make_small_area(DAY)
        first = dispatch()
        n_row = [
            model.objects.count() for model in (DispatchRun, RunNode, RunRequest, Finding.objects.across_tenants)[:3]
        ]
        n_setpoint = Setpoint.objects.across_tenants().count()
        call(area, *EVENING)

        def broken(*_args: object, **_kwargs: object) -> None:
            raise CheckFailed("node 'street' is over its limit in period 3 by 1 kW")

        monkeypatch.setattr(runs, "offer_spare", broken)
        with pytest.raises(CheckFailed):
            dispatch()

        assert [model.objects.count() for model in (DispatchRun, RunNode, RunRequest)] == n_row
        assert Setpoint.objects.across_tenants().count() == n_setpoint
        assert run_in_force(area_code="street", day=DAY) == first

    def test_stores_nothing_when_writing_fails_half_way(self, monkeypatch):
        area = make_small_area(DAY)
        first = dispatch()
        call(area, *EVENING)

        def broken(**_kwargs: object) -> None:
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(runs, "store_findings", broken)
        with pytest.raises(RuntimeError, match="disk"):
            dispatch()

        assert list(DispatchRun.objects.all()) == [first]
        assert not Setpoint.objects.across_tenants().exclude(run=first).exists()
        assert run_in_force(area_code="street", day=DAY) == first

    def test_refuses_a_forecast_of_an_evse_that_has_left_since(self):
        area = make_small_area(DAY)
        forecast = forecast_area(area_code="street", day=DAY, as_of=AS_OF)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = GRID.starts_at
        enrolment.save()
        with pytest.raises(SessionWithoutEvse, match="evse_home-0"):
            run_dispatch(forecast=forecast, as_of=AS_OF, tariff_code=TARIFF)

    def test_dispatches_for_whom_the_evse_is_enrolled_with_when_the_day_starts(self):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = GRID.starts_at - timedelta(days=15)
        enrolment.save()
        make_enrolment(area.evses[0], make_organisation("blue"), enrolment.ends_at)
        row = Setpoint.objects.across_tenants().get(run=dispatch(), evse=area.evses[0])
        assert row.organisation.code == "blue"
        assert row.energy_kwh == pytest.approx(6.0)

    def test_notes_findings_once(self):
        make_small_area(DAY, rating_kva=1e-3)
        dispatch()
        n_finding = Finding.objects.across_tenants().count()
        dispatch()
        assert Finding.objects.across_tenants().count() == n_finding > 0


class TestRunInForce:
    def test_names_an_unknown_area(self):
        with pytest.raises(UnknownNode):
            run_in_force(area_code="nowhere", day=DAY)

    def test_says_when_nothing_was_dispatched(self):
        make_feeder("street")
        with pytest.raises(NothingDispatched) as refused:
            run_in_force(area_code="street", day=DAY)
        assert refused.value.code == "dispatch.nothing_dispatched"


class TestNewestForecast:
    def test_takes_the_newest_known_by_then(self):
        make_small_area(DAY)
        first = forecast_area(area_code="street", day=DAY, as_of=AS_OF)
        second = forecast_area(area_code="street", day=DAY, as_of=AS_OF + timedelta(hours=1))

        def newest(as_of: datetime):
            return newest_forecast(area_code="street", day=DAY, as_of=as_of)

        assert newest(AS_OF + timedelta(minutes=59)) == first
        assert newest(AS_OF + timedelta(hours=1)) == second

    def test_says_when_there_is_none_yet(self):
        make_small_area(DAY)
        forecast_area(area_code="street", day=DAY, as_of=AS_OF)
        for day, as_of in ((DAY, AS_OF - SECOND), (DAY + timedelta(days=1), AS_OF)):
            with pytest.raises(NoForecast) as refused:
                newest_forecast(area_code="street", day=day, as_of=as_of)
            assert refused.value.code == "dispatch.no_forecast"


def _late_call(area: SmallArea, received_at: datetime, **changes) -> TargetSignal:
    facts = {
        "reference": "LATE",
        "node": area.feeder,
        "starts_at": EVENING[0] + timedelta(hours=6),
        "ends_at": EVENING[1] + timedelta(hours=9),
        "direction": "turn_down",
        "kind": "response",
        "target_kw": 0.0,
        "shortfall_gbp_per_kwh": 9.0,
        "issued_by": area.dno,
        "received_at": received_at,
    }
    return TargetSignal.objects.create(**{**facts, **changes})


def _late_price(area: SmallArea, received_at: datetime) -> None:
    """The night becomes dear and the evening cheap."""
    tariff = TariffDay.objects.first().tariff
    batch = Batch.objects.create(
        kind="prices", organisation=area.dno, source="correction", sha256="1" * 64, received_at=received_at
    )
    for ahead in range(3):
        TariffDay.objects.create(
            tariff=tariff,
            day=DAY + timedelta(days=ahead),
            received_at=received_at,
            batch=batch,
            price_gbp_per_kwh=[0.9 if half_hour in CHEAP_UTC else 0.01 for half_hour in range(48)],
        )


def _late_session(area: SmallArea, received_at: datetime) -> None:
    """A second, larger session on each of thirty days: enough to change what is expected."""
    batch = make_batch(area.dno)
    for back in range(2, 32):
        plug_in_at = GRID.starts_at - timedelta(days=back) + timedelta(hours=2)
        ChargingSession(
            evse=area.evses[0],
            organisation=area.dsrsps[0],
            session_ref=f"late-{back}",
            plug_in_at=plug_in_at,
            plug_out_at=plug_in_at + timedelta(hours=1),
            energy_kwh=50.0,
            received_at=received_at,
            batch=batch,
        ).save()
