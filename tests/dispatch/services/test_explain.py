"""A run of a street, explained to each who may ask."""

import json
from datetime import date, time

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import EVSE, NetworkNode, Organisation
from aggregator.services.forecasts import forecast_area
from dispatch.arrays import explain as arrays
from dispatch.core.assemble import RunParameters
from dispatch.core.explanation import Explanation
from dispatch.models import DispatchRun, RunNode, Setpoint
from dispatch.services.explain import AmbiguousEvse, NotInRun, explain_setpoint, explain_to_operator
from dispatch.services.issue import issue_setpoints
from dispatch.services.run_facts import assemble, facts_of
from dispatch.services.runs import run_dispatch
from markets.services.cycle import day_ahead
from tests.factories import make_csms, make_evse, make_organisation
from tests.walks.small_area import TARIFF, SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
TIGHT_KVA = 26.0  # 8.7 a phase, of which other demand leaves less than two cars need


def dispatch(area: SmallArea) -> DispatchRun:
    as_of = day_ahead(DAY)
    forecast = forecast_area(area_code="street", day=DAY, as_of=as_of)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=RunParameters())


def at(explanation: Explanation, hour: int, *, day: date = DAY):
    index = GRID.index_of(utc(day, time(hour)))
    return explanation.periods[index]


class TestOperator:
    """At the command line everything is told."""

    def test_explains_waiting_and_charging_by_the_tariff(self):
        area = make_small_area(DAY)
        run = dispatch(area)
        found = explain_to_operator(run=f"run_{run.pk}", evse=area.evses[0].pseudonym)

        assert found.summary == ("It gets all of the 6.00 kWh asked for.",)
        assert at(found, 13).reason == "not_plugged_in"
        assert at(found, 18).reason == "waits"
        assert "cheaper at Fri 0" in at(found, 18).words
        assert "0.080 against 0.300 GBP/kWh" in at(found, 18).words
        charging = {one.reason for one in found.periods if one.planned_kw > 0}
        assert charging <= {"cheapest", "at_rating"}
        assert found.worth_gbp_per_kwh == pytest.approx(0.08)

    def test_names_the_limit_that_starves_a_car(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        starved = Setpoint.objects.across_tenants().filter(run=run).order_by("-unserved_kwh").first()
        found = explain_to_operator(run=str(run.pk), evse=starved.evse.pseudonym)
        phase = starved.evse.node.code

        assert found.summary[0].startswith(f"Unserved {starved.unserved_kwh:.2f} of ")
        assert phase in found.summary[0]
        assert found.unserved.is_irreducible
        assert found.unserved.held_outside == ""
        assert {cause.node for cause in found.unserved.causes} == {phase}
        assert at(found, 20).reason == "held_by_limit"
        assert at(found, 20).is_held
        assert at(found, 20).limits[0].gbp_per_kwh == pytest.approx(
            RunNode.objects.get(run=run, node__code=phase).price_gbp_per_kwh[GRID.index_of(utc(DAY, time(20)))]
        )

    def test_names_a_turn_down_in_force_on_the_path(self):
        area = make_small_area(DAY)
        cheap = [utc(date(2026, 1, 16), time(hour)) for hour in (1, 5)]
        call(area, *cheap, target_kw=0.0)
        run = dispatch(area)
        found = explain_to_operator(run=str(run.pk), evse=area.evses[0].pseudonym)
        held = at(found, 2, day=date(2026, 1, 16))

        assert held.reason == "held_by_turn_down"
        assert held.words == "held at 0 by turn-down request CALL-1 at feeder street: worth 0.220 GBP/kWh"
        assert [line.reference for line in held.requests] == ["CALL-1"]

    def test_says_what_it_was_told_in_the_end(self):
        area = make_small_area(DAY)
        run = dispatch(area)
        facts, parameters = facts_of(run=run)
        nobody = np.zeros((facts.fleet.n_evse, run.n_period), dtype=np.bool_)
        issue_setpoints(run=run, facts=facts, parameters=parameters, is_present=nobody)
        found = explain_to_operator(run=str(run.pk), evse=area.evses[0].pseudonym)
        offered = next(one for one in found.periods if one.setpoint_kw > 0)

        assert (offered.told_kw, offered.note) == (0.0, "told 0: no car when the period began")

    def test_finds_an_evse_by_its_id_at_its_csms(self):
        area = make_small_area(DAY)
        run = dispatch(area)

        assert explain_to_operator(run=str(run.pk), evse="home-1").evse == area.evses[1].pseudonym

    def test_refuses_what_is_not_there_by_name(self):
        area = make_small_area(DAY)
        run = dispatch(area)
        stranger = make_evse("elsewhere", dsrsp=area.dsrsps[0])

        for asked in ({"run": "run_0", "evse": "x"}, {"run": "seventeen", "evse": "x"}):
            with pytest.raises(NotInRun, match=asked["run"]):
                explain_to_operator(**asked)
        for evse in ("nobody", stranger.pseudonym):
            with pytest.raises(NotInRun, match=evse):
                explain_to_operator(run=str(run.pk), evse=evse)

    def test_refuses_an_id_that_two_csms_use(self):
        area = make_small_area(DAY)
        run = dispatch(area)
        other = make_evse("other", dsrsp=area.dsrsps[0])
        other.identity.csms, other.identity.csms_ref = make_csms("second"), "home-1"
        other.identity.save()

        with pytest.raises(AmbiguousEvse, match="second"):
            explain_to_operator(run=str(run.pk), evse="home-1")


class TestNeighbours:
    """EVSEs too many to be free with it are held to their plan, and the answer says so."""

    def test_are_held_to_their_plan_beyond_so_many(self, monkeypatch):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        starved = Setpoint.objects.across_tenants().filter(run=run).order_by("-unserved_kwh").first()
        whole = explain_to_operator(run=str(run.pk), evse=starved.evse.pseudonym)
        monkeypatch.setattr(arrays, "MOST_EVSES", 1)
        setpoints = Setpoint.objects.across_tenants().filter(run=run)
        n_drawing = sum(1 for row in setpoints if max(row.planned_kw) > 0)
        found = explain_to_operator(run=str(run.pk), evse=starved.evse.pseudonym)

        assert found.unserved.causes == whole.unserved.causes
        assert bool(found.unserved.held_outside) == (n_drawing > 0)

    def test_count_in_the_diversity_of_a_node_without_a_rating(self):
        area = make_small_area(DAY)
        NetworkNode.objects.get(code="street").ratings.all().delete()
        run = dispatch(area)
        setpoint = Setpoint.objects.across_tenants().select_related("evse", "run").filter(run=run).first()
        standing = arrays.load_standing(
            setpoint=setpoint, price_gbp_per_kwh=np.full(run.n_period, 0.1), parameters=RunParameters()
        )
        street = [row.node.code for row in standing.nodes].index("street")
        night = GRID.index_of(utc(DAY, time(22)))

        assert standing.network.cap_kw[street, night] == pytest.approx(0.5 * 6 * 7.36)

    def test_count_what_earlier_runs_left_them_without_as_the_run_did(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        earlier = dispatch(area)
        DispatchRun.objects.filter(pk=earlier.pk).update(charging_day=date(2026, 1, 14))
        first = Setpoint.objects.across_tenants().filter(run=earlier, evse=area.evses[0])
        first.update(unserved_kwh=0.0)
        run = dispatch(area)
        facts, parameters = facts_of(run=run)
        problem = assemble(facts, parameters).problem
        known = dict(zip(problem.session_ids.tolist(), problem.session_unserved_gbp_per_kwh.tolist(), strict=True))
        setpoint = Setpoint.objects.across_tenants().select_related("evse", "run").filter(run=run).first()
        standing = arrays.load_standing(
            setpoint=setpoint, price_gbp_per_kwh=np.full(run.n_period, 0.1), parameters=parameters
        )
        ids, worth = standing.problem.session_ids, standing.problem.session_unserved_gbp_per_kwh

        assert dict(zip(ids.tolist(), worth.tolist(), strict=True)) == pytest.approx(known)
        assert len({round(value, 6) for value in known.values()}) > 1


class TestReaders:
    """Each reader learns what the walls let it."""

    def explain(self, run: DispatchRun, evse: EVSE, organisation: Organisation) -> Explanation | None:
        return explain_setpoint(run=run, pseudonym=evse.pseudonym, organisation=organisation)

    def test_shows_a_dsrsp_reasons_and_no_price_of_the_network(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        found = self.explain(run, area.evses[0], area.dsrsps[0])

        assert found.is_whole
        assert found.worth_gbp_per_kwh is None
        for one in found.periods:
            assert one.cost_gbp_per_kwh is None
            assert one.ramp_gbp_per_kwh is None
            assert {line.gbp_per_kwh for line in (*one.limits, *one.requests)} <= {None}
            assert "GBP" not in one.words

    def test_does_not_name_a_node_that_tells_of_a_handful_of_others(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        mine = self.explain(run, area.evses[0], area.dsrsps[0])  # a phase with one of mine and one of another's
        held = next(one for one in mine.periods if one.is_held)

        assert held.limits[0].node == ""
        assert "a network limit upstream" in held.words
        assert "street-A" not in mine.summary[0]

    def test_names_a_node_that_is_all_its_own(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        Setpoint.objects.across_tenants().filter(run=run).update(organisation=area.dsrsps[0])
        mine = self.explain(run, area.evses[0], area.dsrsps[0])

        assert "street-A" in mine.summary[0]

    def test_shows_nobody_else_s_to_a_dsrsp(self):
        area = make_small_area(DAY)
        run = dispatch(area)

        assert self.explain(run, area.evses[0], area.dsrsps[1]) is None

    @pytest.mark.parametrize("kind", ["dno", "platform"])
    def test_shows_the_network_without_the_plan_to_who_runs_it(self, kind):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        call(area, utc(DAY, time(18)), utc(DAY, time(19)), target_kw=1.0)
        run = dispatch(area)
        reader = area.dno if kind == "dno" else make_organisation("platform", "platform")
        found = self.explain(run, area.evses[0], reader)

        assert not found.is_whole
        assert (found.energy_kwh, found.unserved_kwh, found.unserved) == (None, None, None)
        assert {one.planned_kw for one in found.periods} == {None}
        assert {one.reason for one in found.periods} <= {"limit_binds", "request_in_force", "no_limit_binds"}
        assert [line.reference for line in at(found, 18).requests] == ["CALL-1"]

    def test_tells_the_dno_of_no_node_with_a_handful(self):
        area = make_small_area(DAY, rating_kva=TIGHT_KVA)
        run = dispatch(area)
        RunNode.objects.filter(run=run).update(price_gbp_per_kwh=[0.5] * run.n_period)
        shown_to_dno = self.explain(run, area.evses[0], area.dno)
        shown_to_platform = self.explain(run, area.evses[0], make_organisation("platform", "platform"))

        assert {line.node for one in shown_to_dno.periods for line in one.limits} == {"street"}
        assert "street-A" in shown_to_dno.summary[-2]
        assert {line.node for one in shown_to_platform.periods for line in one.limits} == {"street", "street-A"}


class TestCommand:
    def test_writes_a_table_and_json(self, capsys):
        area = make_small_area(DAY)
        run = dispatch(area)
        call_command("explain", str(run.pk), "home-0")
        text = capsys.readouterr().out
        call_command("explain", f"run_{run.pk}", "home-0", "--json")
        told = json.loads(capsys.readouterr().out)

        assert "It gets all of the 6.00 kWh asked for." in text
        assert "Thu 15 Jan 18:00 GMT" in text
        assert len(told["periods"]) == run.n_period
        assert told["periods"][0]["starts_at"] == "2026-01-15T12:00:00+00:00"
        assert told["period_minutes"] == 30
        assert told["charging_day"] == "2026-01-15"

    def test_refuses_by_name(self):
        with pytest.raises(CommandError, match="run_9"):
            call_command("explain", "run_9", "x")
