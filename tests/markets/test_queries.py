import pytest

from aggregator.models import EVSE, Organisation
from aggregator.queries import findings_by_code, worst_severity_by_code
from dispatch.queries import fleet_plan
from markets.models import SettlementRun
from markets.queries import cycles_seen_by, statement_rows, statements_seen_by
from tests.factories import make_dno, make_organisation
from tests.markets.builders import make_cycle, make_own_plan, make_statement, settle_again

pytestmark = pytest.mark.django_db


@pytest.fixture
def cycle():
    return make_cycle()


class TestFleetPlan:
    def test_adds_up_own_setpoints_only(self, cycle):
        plan = fleet_plan(cycle.row.run, cycle.dsrsps["flexco"])

        assert plan.planned_kw == [5.0, 5.0] + [0.0] * 46
        assert plan.ceiling_kw == [7.5, 7.5, 7.5] + [0.0] * 45
        assert plan.meter_pks == sorted(EVSE.objects.for_tenant(cycle.dsrsps["flexco"]).values_list("meter", flat=True))
        assert (plan.n_evse, plan.energy_kwh, plan.unserved_kwh) == (2, 5.0, 0.5)

    def test_counts_equal_setpoints_each(self, cycle):
        twins = make_organisation("twins")
        make_own_plan(cycle.row.run, twins, cycle.nodes["F1"], cycle.row.delivery_batch, cycle.grid, kw=[4.0, 4.0, 4.0])

        assert fleet_plan(cycle.row.run, twins).planned_kw[0] == 12.0

    def test_is_nothing_for_whoever_has_no_setpoint(self, cycle):
        plan = fleet_plan(cycle.row.run, make_organisation("idle"))

        assert (plan.n_evse, plan.energy_kwh, set(plan.planned_kw)) == (0, 0.0, {0.0})


class TestFindings:
    def test_count_own_findings_only(self, cycle):
        sources = [f"run:{cycle.row.run_id}"]

        assert findings_by_code(cycle.dsrsps["flexco"], sources) == {"session.reversed": 2}
        assert findings_by_code(cycle.dsrsps["voltway"], sources) == {}

    def test_tell_the_worst_severity_of_each_code(self, cycle):
        assert worst_severity_by_code([f"run:{cycle.row.run_id}"]) == {
            "session.reversed": "warning",
            "settle.few_days": "alarm",
        }
        assert worst_severity_by_code(["run:0"]) == {}


class TestCyclesSeenBy:
    def test_shows_a_dno_its_own_areas_only(self, cycle):
        assert list(cycles_seen_by(cycle.dno)) == [cycle.row]
        assert list(cycles_seen_by(make_dno("other-dno"))) == []

    def test_shows_a_dsrsp_the_cycles_that_planned_its_evses(self, cycle):
        assert list(cycles_seen_by(cycle.dsrsps["voltway"])) == [cycle.row]
        assert list(cycles_seen_by(make_organisation("idle"))) == []

    def test_shows_market_operator_and_platform_all(self, cycle):
        for kind in ("market_operator", "platform"):
            assert list(cycles_seen_by(make_organisation(kind, kind))) == [cycle.row]

    def test_shows_nothing_to_a_kind_it_does_not_know(self, cycle):
        stranger = Organisation(pk=10_000, code="stranger", kind="supplier")

        assert list(cycles_seen_by(stranger)) == []
        assert list(statements_seen_by(stranger)) == []


class TestStatementRows:
    def test_put_the_newest_version_first_and_mark_the_old(self, cycle):
        first = SettlementRun.objects.get()
        second = settle_again(first.event, cycle.row.run, cycle.grid, version=2, supersedes=first)
        make_statement(second, cycle.dsrsps["flexco"])

        rows = statement_rows(cycle.row, cycle.dno)

        assert [(row.dsrsp_code, row.version, row.is_superseded) for row in rows] == [
            ("flexco", 2, False),
            ("flexco", 1, True),
            ("voltway", 1, True),
        ]

    def test_leave_out_other_events(self, cycle):
        row = cycle.row
        row.settlement_runs.clear()

        assert statement_rows(row, cycle.dno) == []

    def test_read_no_content(self, cycle, django_assert_num_queries):
        with django_assert_num_queries(2):
            rows = statement_rows(cycle.row, cycle.dno)
        assert [row.sha256 for row in rows] == [cycle.statements[code].sha256 for code in ("flexco", "voltway")]
