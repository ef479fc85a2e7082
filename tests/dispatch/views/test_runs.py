"""Run pages: plan and bound for those whose network it is, own EVSEs for a DSRSP, and nobody else's anything."""

import csv
import io
import re

import pytest
from django.test import Client

from aggregator.models import EVSE, Finding
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_cycle, make_own_plan
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    """A run of S1; five EVSEs at F1, so that its EV figures may be shown to its DNO."""
    made = make_cycle()
    batch = made.row.delivery_batch
    make_own_plan(made.row.run, make_organisation("third"), made.nodes["F1"], batch, made.grid, kw=[1.0] * 4)
    DispatchRun.objects.filter(pk=made.row.run.pk).update(
        cost_gbp=1234.5,
        cost_energy_gbp=1000,
        cost_unserved_gbp=200,
        cost_shortfall_gbp=30,
        cost_ramp_gbp=4.5,
        unavoidable_gbp=7,
        lower_bound_gbp=1234.19,
        gap=0.00025,
        parameters={"tariff": PAYLOADS[0]},
    )
    return made


@pytest.fixture
def run(cycle) -> DispatchRun:
    return cycle.row.run


@pytest.fixture
def dno(cycle) -> Client:
    return client_of(cycle.dno, "control_room_operator")


@pytest.fixture
def flexco(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator")


def page_of(client: Client, run: DispatchRun, query: str = "") -> str:
    return text_of(client.get(f"/runs/{run.pk}/{query}"))


def add_request(cycle: Cycle, run: DispatchRun, shortfall_kw: float) -> None:
    signal = cycle.statements["flexco"].settlement_run.event.signal
    RunRequest.objects.create(
        run=run, signal=signal, start_period=12, end_period=14, planned_kw=[18.0, 21.0], shortfall_kw=[0, shortfall_kw]
    )


class TestWhoSeesIt:
    def test_is_all_but_market_operators(self):
        seen = {role for role, status in statuses("/runs/").items() if status == 200}

        assert "market_operator" not in seen
        assert len(seen) == 8

    def test_is_404_for_another_network_and_for_who_has_no_evse_in_it(self, run):
        strangers = [
            client_of(make_dno("far"), "control_room_supervisor"),
            client_of(make_organisation("idle"), "admin"),
        ]

        for client in strangers:
            for address in (f"/runs/{run.pk}/", f"/runs/{run.pk}/setpoints.csv"):
                assert client.get(address).status_code == 404
            assert f"Run {run.pk}" not in text_of(client.get("/runs/"))

    def test_is_404_for_a_run_that_is_not_there(self, dno):
        assert [dno.get(f"/runs/{pk}/").status_code for pk in ("999999", "9" * 30)] == [404, 404]


class TestRuns:
    def test_lists_figures_and_what_is_in_force(self, dno, cycle, run):
        add_request(cycle, run, 2.0)
        old = DispatchRun.objects.get(pk=run.pk)
        old.pk, old.input_sha256, old.method = None, "f" * 64, "older"
        old.save()
        DispatchRun.objects.filter(pk=old.pk).update(created_at="2020-01-01T00:00:00Z")

        rows = [row for row in Page(text_of(dno.get("/runs/"))).rows if row and row[0].startswith("Run ")]

        assert [row[0] for row in rows] == [f"Run {run.pk}", f"Run {old.pk}"]
        assert [row[3] for row in rows] == ["in force", "superseded"]
        assert rows[0][1:3] == ["S1", "2026-01-14"]
        assert rows[0][6:] == ["reference, certified", "0.025", "1,234.50", "1", "▲1.0"]

    def test_tells_a_dsrsp_no_cost_of_others(self, flexco):
        page = text_of(flexco.get("/runs/"))

        assert "1,234.50" not in page
        assert "Shortfall" not in page

    @pytest.mark.parametrize(
        ("query", "n"),
        [("?area=S1", 1), ("?area=nope", 1), ("?day=2026-01-14", 1), ("?day=2026-01-15", 0), ("?page=1", 1)],
    )
    def test_filters(self, dno, query, n):
        assert text_of(dno.get(f"/runs/{query}")).count(">in force<") == n

    def test_is_404_for_a_day_that_is_none(self, dno):
        assert [dno.get(f"/runs/?day={day}").status_code for day in ("2026-13-01", "x", "0001-01-01")] == [404] * 3

    def test_asks_the_database_no_more_for_many_than_for_few(self, dno, run, django_assert_max_num_queries):
        for index in range(19):
            copy = DispatchRun.objects.get(pk=run.pk)
            copy.pk, copy.input_sha256 = None, f"{index:064d}"
            copy.save()

        with django_assert_max_num_queries(25):
            dno.get("/runs/")


class TestRunForItsNetwork:
    def test_shows_objective_parts_bound_and_proof_in_words(self, dno, run):
        page = page_of(dno, run)

        for label, amount in (("Energy", "1,000.00"), ("Unserved", "200.00"), ("Shortfall", "30.00"), ("Ramp", "4.50")):
            assert f'<th scope="row">{label}</th><td class="num">{amount}</td>' in page
        assert '<th scope="row">Objective</th><td class="num">1,234.50</td>' in page
        assert '<th scope="row">Unavoidable</th><td class="num">7.00</td>' in page
        assert "no plan costs less than 1,234.19 GBP; this one costs 1,234.50 GBP" in page
        assert "at most 0.025 % above the best there can be" in page
        assert "exceeded by at most 0.000000 kW anywhere: re-added by the independent check" in page

    def test_shows_requests_with_planned_power_and_shortfall(self, dno, cycle, run):
        add_request(cycle, run, 2.0)

        row = next(row for row in Page(page_of(dno, run)).rows if row and row[0].startswith("EVENING/"))

        assert row[1] == "S1"
        assert row[3:] == ["Turn down, Routine DSR", "20.0", "18.0 to 21.0", "1.0", "▲not met"]

    def test_hides_ev_figures_of_fewer_than_five_and_shows_limits(self, dno, run):
        rows = {row[0]: row for row in Page(page_of(dno, run)).rows if len(row) == 8}
        planned = {node.node.code: node for node in RunNode.objects.filter(run=run).select_related("node")}

        assert rows["F1"][4] == f"{max(planned['F1'].planned_kw):.1f}"
        assert rows["F1"][3] == f"{min(planned['F1'].limit_kw):.1f}"
        make_fewer(run)
        rows = {row[0]: row for row in Page(page_of(dno, run)).rows if len(row) == 8}
        assert rows["F1"][3] == f"{min(planned['F1'].limit_kw):.1f}"
        assert rows["F1"][4:] == ["—"] * 4
        assert "fewer than five EVSEs" in page_of(dno, run)
        assert "1,234.50" not in page_of(dno, run)

    def test_draws_the_node_asked_for_against_its_limit(self, dno, run):
        page = page_of(dno, run, "?node=F1")

        assert '<option value="F1" selected>' in page
        assert re.search(r'class="series series-limit" d="M', page)
        assert re.search(r'class="series series-planned" d="M', page)
        assert "Show as table" in page
        assert "is not a node of this run" in page_of(dno, run, "?node=%3Cscript%3Ealert(1)")

    def test_names_evses_by_pseudonym_and_tells_nothing_else_of_them(self, dno, cycle, run):
        setpoint = Setpoint.objects.for_tenant(cycle.dsrsps["flexco"]).first()

        page = page_of(dno, run)

        assert setpoint.evse.pseudonym in page
        assert "At its CSMS" not in page
        assert "/fleet/" not in page
        rows = [row for row in Page(page).rows if row and row[0] == setpoint.evse.pseudonym]
        assert rows == [[setpoint.evse.pseudonym, "3.00", "—", "Why"]]

    def test_escapes_what_stands_in_parameters(self, dno, run):
        assert "<script>alert" not in page_of(dno, run)

    def test_shows_own_findings_the_worst_first(self, dno, cycle, run):
        for severity in ("info", "alarm", "warning"):
            Finding(
                code=f"x.{severity}",
                severity=severity,
                subject=PAYLOADS[0],
                message="odd",
                source=f"run:{run.pk}",
                noticed_at=run.as_of,
                organisation=cycle.dno,
            ).save()

        page = page_of(dno, run)

        assert re.findall(r"<code>x\.(\w+)</code>", page) == ["alarm", "warning", "info"]
        assert "session.reversed" not in page  # flexco's

    def test_asks_the_database_no_more_for_many_evses_than_for_few(
        self, dno, cycle, run, django_assert_max_num_queries
    ):
        batch = cycle.row.delivery_batch
        make_own_plan(run, make_organisation("large"), cycle.nodes["F1"], batch, cycle.grid, kw=[1.0] * 30)

        with django_assert_max_num_queries(40):
            page_of(dno, run)


class TestRunForADsrsp:
    def test_shows_own_evses_by_their_names_and_no_network(self, flexco, cycle, run):
        page = page_of(flexco, run)

        for shown in ("flexco-0", "flexco-1", "Your EVSEs in this run", "<dt>EVSEs expected to charge</dt><dd>2</dd>"):
            assert shown in page
        for hidden in ("voltway-0", "third-0", "1,234.50", "Least left for EVs", "Requests</h2>", "EVENING"):
            assert hidden not in page

    def test_shows_what_was_told_in_the_end(self, flexco, cycle, run):
        evse = EVSE.objects.for_tenant(cycle.dsrsps["flexco"]).get(pseudonym="evse_flexco-0")
        told = [6] + [0] * (run.n_period - 1)
        IssuedSetpoint(run=run, evse=evse, organisation=cycle.dsrsps["flexco"], ampere_kw=0.25, setpoint_a=told).save()

        row = next(row for row in Page(page_of(flexco, run)).rows if row and row[0] == "evse_flexco-0")

        assert row[1:] == ["flexco-0", "3.00", "1.50", "2.00", "2.0", "0.2", "Why"]


class TestRunSetpoints:
    def test_holds_each_half_hour_of_own_evses(self, flexco, run):
        response = flexco.get(f"/runs/{run.pk}/setpoints.csv")
        rows = list(csv.reader(io.StringIO(text_of(response))))

        assert rows[0][:3] == ["pseudonym", "what", "2026-01-14T12:00Z"]
        assert {(row[0], row[1]) for row in rows[1:]} == {
            (f"evse_flexco-{index}", what) for index in (0, 1) for what in ("setpoint_kw", "planned_kw")
        }
        assert [len(row) for row in rows] == [50] * 5

    def test_tells_a_dno_setpoints_and_no_plan_of_an_evse(self, dno, run):
        rows = list(csv.reader(io.StringIO(text_of(dno.get(f"/runs/{run.pk}/setpoints.csv")))))

        assert {row[1] for row in rows[1:]} == {"setpoint_kw"}
        assert len(rows) == 1 + 7


def make_fewer(run: DispatchRun) -> None:
    Setpoint.objects.across_tenants().filter(run=run, evse__pseudonym__startswith="evse_third").delete()
