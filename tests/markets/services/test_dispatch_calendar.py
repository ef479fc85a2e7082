from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from aggregator.core.network_area import UnknownNode
from aggregator.models import Finding, Organisation
from dispatch.models import TargetSignal
from markets.arrays.settlement import load_portfolios
from markets.core.dispatch_calendar import parse_calendar
from markets.models import FlexEvent, Product
from markets.services.dispatch_calendar import CalendarPlan, TakenCalendar, import_dispatches
from markets.services.events import UnknownProduct
from tests.factories import make_dno, make_node, make_organisation
from tests.markets.core.test_dispatch_calendar import file_of
from tests.walks.small_area import SmallArea, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
NOW = datetime(2026, 2, 1, tzinfo=UTC)
PLAN = CalendarPlan(nodes={"Hilltop": "street"}, products={"Day-Ahead": "su"})
# 17:00 to 19:00, for whose four half-hours the street expects 25.76, 41.44, 25.92 and 8.88 kW
EVENING = {
    "start_time_utc": "2026-01-15T17:00:00Z",
    "end_time_utc": "2026-01-15T19:00:00Z",
    "utilisation_mw_req": "0.02",
    "utilisation_mwh_req": "0.04",
}
LATER = {**EVENING, "start_time_utc": "2026-01-15T18:30:00Z", "end_time_utc": "2026-01-15T20:30:00Z"}
EXPECTED_KW = (25.76 + 41.44 + 25.92 + 8.88) / 4


@pytest.fixture
def area() -> SmallArea:
    return make_small_area(DAY)


def take(*rows: dict[str, str], plan: CalendarPlan = PLAN) -> TakenCalendar:
    return import_dispatches(
        calendar=parse_calendar(file_of(*rows)), plan=plan, source="dispatches:test", organisation=make_dno(), now=NOW
    )


class TestImportDispatches:
    def test_asks_for_what_is_left_of_the_power_expected(self, area):
        assert take(EVENING).n_made == 1
        event = FlexEvent.objects.select_related("signal").get()
        assert event.signal.target_kw == pytest.approx(EXPECTED_KW - 20, abs=1e-3)
        assert (event.price_gbp_per_mwh, event.signal.direction, event.product.code) == (742, "turn_down", "su")
        assert event.signal.received_at == datetime(2026, 1, 14, 17, tzinfo=UTC)

    def test_changes_nothing_when_it_is_taken_again(self, area):
        take(EVENING, LATER)
        before = list(TargetSignal.objects.order_by("pk").values())
        again = take(EVENING, LATER)
        assert (again.n_made, again.n_known) == (0, 2)
        assert list(TargetSignal.objects.order_by("pk").values()) == before
        assert Finding.objects.across_tenants().filter(source="dispatches:test").count() == 2

    def test_keeps_duplicates_and_overlaps_as_findings_of_the_dno(self, area):
        found = take(EVENING, {**EVENING, "availability_price": "9"}, LATER)
        assert found.n_made == 2
        rows = Finding.objects.for_tenant(area.dno).filter(source="dispatches:test").order_by("code")
        assert [row.code for row in rows] == [
            "dispatches.duplicate",
            "dispatches.overlap",
            "dispatches.unknown_company",
        ]

    def test_keeps_the_price_a_call_was_received_with(self, area):
        take(EVENING)
        found = take({**EVENING, "utilisation_price": "1.0"})
        assert [note.code for note in found.findings] == ["dispatches.unknown_company", "dispatches.changed"]
        assert FlexEvent.objects.get().price_gbp_per_mwh == 742

    @pytest.mark.parametrize("company", ["Amber", " AMBER ", "amber"])
    def test_calls_the_dsrsp_that_is_called_so_alone(self, area, company):
        found = take({**EVENING, "company_name": company})
        assert found.findings == ()
        event = FlexEvent.objects.get()
        assert event.dsrsp == area.dsrsps[0]
        assert event.signal.target_kw == pytest.approx(EXPECTED_KW - 20, abs=1e-3)  # of the zone, whoever is called
        assert load_portfolios(event=event).unit_ids == ("amber",)
        assert load_portfolios(event=event, of_zone=True).unit_ids == ("amber", "blue")

    def test_says_once_of_a_company_that_it_is_no_dsrsp_here(self, area):
        found = take(EVENING, LATER, {**LATER, "fu_id": "unit-2", "company_name": "Other"})
        told = [(note.subject, note.details) for note in found.findings if note.code == "dispatches.unknown_company"]
        assert told == [("A Company", {"n_dispatch": 2, "line": 2}), ("Other", {"n_dispatch": 1, "line": 4})]
        assert set(FlexEvent.objects.values_list("dsrsp", flat=True)) == {None}

    def test_takes_a_name_that_two_have_for_nobodys(self, area):
        for code in ("twin-1", "twin-2"):
            Organisation.objects.create(code=code, name="Twin", kind="dsrsp")
        found = take({**EVENING, "company_name": "Twin"})
        assert [note.code for note in found.findings] == ["dispatches.unknown_company"]

    def test_leaves_out_other_zones_products_and_days(self, area):
        rows = ({**EVENING, "fu_id": "unit-2", "zone": "Elsewhere"}, {**LATER, "product": "Long-Term"}, EVENING)
        assert take(*rows, plan=CalendarPlan(PLAN.nodes, PLAN.products, first=date(2026, 1, 16))).n_left_out == 3
        found = take(*rows)
        assert (found.n_made, found.n_left_out) == (1, 2)

    def test_asks_for_nothing_to_be_left_where_nobody_is(self, area):
        make_node("empty", dno=area.dno)
        take(EVENING, plan=CalendarPlan({"Hilltop": "empty"}, PLAN.products))
        assert TargetSignal.objects.get().target_kw == 0

    def test_prices_a_missed_kwh_as_its_product_takes_it_off(self, area):
        """Pay as delivered has no slope: what is missed is not paid, and a penalty comes on top."""
        Product.objects.create(
            code="as-delivered",
            name="SU",
            buyer=area.dno,
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            grace=0.0,
            slope=0.0,
            cutoff=None,
            pays_on="delivered",
            penalty_gbp_per_mwh=58,
        )
        take(EVENING, plan=CalendarPlan(PLAN.nodes, {"Day-Ahead": "as-delivered"}))
        assert TargetSignal.objects.get().shortfall_gbp_per_kwh == pytest.approx(0.8)

    def test_takes_the_version_that_was_valid_when_the_call_was_received(self, area):
        first = Product.objects.get(code="su")
        changed = {"version": 2, "slope": 9.0, "valid_from": datetime(2026, 1, 14, 18, tzinfo=UTC)}
        Product.objects.create(code="su", name="SU", buyer=area.dno, supersedes=first, **changed)
        take(EVENING)
        assert FlexEvent.objects.get().product == first
        assert TargetSignal.objects.get().shortfall_gbp_per_kwh == pytest.approx(3 * 0.742)

    def test_keeps_what_is_odd_in_rows_of_availability_alone(self, area):
        """They make no request, and every duplicate of the real calendar is among them."""
        ready = {**EVENING, "utilisation_mw_req": "0.0", "utilisation_mwh_req": "0.0", "availability_mw_req": "0.1"}
        found = take(ready, ready, {**ready, "zone": "Elsewhere", "fu_id": "unit-2"})
        assert (found.n_made, found.n_availability) == (0, 2)
        assert [note.code for note in found.findings] == ["dispatches.duplicate"]

    def test_refuses_a_node_or_product_that_is_not_there_and_changes_nothing(self, area):
        with pytest.raises(UnknownNode):
            take(EVENING, plan=CalendarPlan({"Hilltop": "nowhere"}, PLAN.products))
        with pytest.raises(UnknownProduct):
            take(EVENING, plan=CalendarPlan(PLAN.nodes, {"Day-Ahead": "none"}))
        other = make_organisation("other", "dno")
        Product.objects.create(code="theirs", name="SU", buyer=other, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        with pytest.raises(UnknownProduct, match="buys no product"):
            take(EVENING, plan=CalendarPlan(PLAN.nodes, {"Day-Ahead": "theirs"}))
        assert not TargetSignal.objects.exists()


class TestTheCommand:
    def test_takes_a_zone_of_the_real_calendar_once(self, real_data: Path):
        dno = make_dno()
        make_node("steel-cross", dno=dno)
        Product.objects.create(code="pr", name="PR", buyer=dno, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        arguments = [
            str(real_data / "flex_ukpn_dispatches_to_2025-03.csv.gz"),
            *("--zone", "Steel Cross=steel-cross", "--product", "Peak Reduction=pr"),
            *("--from", "2024-05-17", "--to", "2024-05-24"),
        ]
        said = [StringIO(), StringIO()]
        for one in said:
            call_command("import_dispatches", *arguments, stdout=one)
        n_made = FlexEvent.objects.count()
        assert n_made > 0
        assert f"5,586 rows; requests: {n_made:,} made, 0 known" in said[0].getvalue()
        assert f"requests: 0 made, {n_made:,} known" in said[1].getvalue()
