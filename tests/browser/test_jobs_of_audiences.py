"""Each audience does its main job in the browser: a fleet from a file, a dispatch by two people, a release."""

import csv
import hashlib
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

HEADER = "evse_id,csms,dsrsp,node,rated_kw,phases"
AGGREGATOR, CONTROL, SUPERVISOR = "amber.operator", "northmoor.control", "northmoor.supervisor"
MARKET, SECOND_MARKET = "moorside.market", "moorside.second"
FIRST_OF = "first of "  # the page that a list's first row leads to
PAGES = {
    AGGREGATOR: (
        *("/fleet/", "first of /fleet/", "/fleet/register/", "/runs/", "first of /runs/", "/statements/"),
        *("/findings/", "/log/"),
    ),
    CONTROL: (
        *("/runs/", "first of /runs/", "/requests/", "first of /requests/", "/requests/new/", "/control-acts/"),
        *("/statements/", "/findings/", "/log/"),
    ),
    MARKET: ("/statements/", "first of /statements/", "/control-acts/", "/log/"),
    "platform.admin": ("/runs/", "/jobs/", "/log/", "/findings/"),
}
EVERY_PAGE = [(name, path) for name, paths in PAGES.items() for path in paths]


def confirm(visit, person) -> None:
    """Prove again who one is, where the site asks for it."""
    if "/confirm/" not in visit.page.url:
        return
    visit.page.get_by_label("Password").fill(person.password)
    visit.page.get_by_role("button", name="Confirm").click()
    visit.page.wait_for_url(lambda url: "/confirm/" not in url)


def first_link(visit, path: str, *, in_row: str = "") -> str:
    """Address of the link that begins the first row of a page's first table, or of the row with this text."""
    visit.opened(path)
    rows = visit.page.locator("tbody tr")
    row = rows.filter(has_text=in_row).first if in_row else rows.first
    address = row.locator("th a").first.get_attribute("href")
    assert address
    return address


def choose_file(visit, name: str, text: str) -> None:
    visit.page.get_by_label("CSV file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})
    visit.page.get_by_role("button", name="Look at the file").click()


class TestAggregator:
    def test_registers_a_fleet_with_an_error_first_and_then_corrected(self, window_of, people):
        visit = window_of(AGGREGATOR)
        page = visit.page
        visit.opened("/fleet/")
        row = [cell.strip() for cell in page.locator("tbody tr").first.locator("th, td").all_inner_texts()]
        csms, node, dsrsp = row[1], row[3], "amber-vale"
        n_before = int(re.search(r"of (\d+) EVSEs", page.locator(".pager").inner_text()).group(1))
        page.get_by_role("link", name="Register EVSEs from a file").click()

        good = f"{HEADER}\nWALK-1,{csms},{dsrsp},{node},7.4,1\nWALK-2,{csms},{dsrsp},{node},22,1\n"
        choose_file(visit, "fleet.csv", good.replace(",22,", ",x,"))
        expect(page.get_by_text("Column rated_kw: 1 error")).to_be_visible()
        expect(page.get_by_role("cell", name="x", exact=True)).to_be_visible()
        assert page.get_by_role("button", name=re.compile("Register")).count() == 0
        assert visit.violations() == []
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the errors as CSV").click()
        assert list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))[1][:3] == ["3", "rated_kw", "x"]

        page.get_by_role("link", name="Choose the corrected file").click()
        choose_file(visit, "fleet.csv", good)
        expect(page.locator("dt:text-is('New EVSEs') + dd")).to_have_text("2")
        assert page.evaluate("document.activeElement.tagName") != "BUTTON"
        page.get_by_role("button", name="Register 2 rows").click()
        if "/confirm/" in page.url:
            confirm(visit, people[AGGREGATOR])
            page.get_by_role("button", name="Register 2 rows").click()

        expect(page.get_by_role("heading", name="fleet.csv is registered")).to_be_visible()
        assert visit.violations() == []
        visit.opened("/fleet/?q=WALK-")
        expect(page.locator("tbody tr")).to_have_count(2)
        visit.opened("/fleet/")
        expect(page.locator(".pager")).to_contain_text(f"of {n_before + 2} EVSEs")

    def test_reads_one_evse_and_its_half_hours(self, window_of):
        visit = window_of(AGGREGATOR)
        visit.opened(first_link(visit, "/fleet/"))

        expect(visit.page.get_by_role("heading", level=1)).to_contain_text("EVSE")
        visit.page.get_by_text("Show as table").first.click()
        expect(visit.page.locator("details table tbody tr")).to_have_count(48)
        assert visit.violations() == []


class TestControlRoom:
    def test_requests_a_dispatch_above_a_threshold_and_a_second_person_approves(self, window_of, people):
        visit = window_of(CONTROL)
        page = visit.page
        visit.opened("/requests/")
        page.get_by_role("link", name="Request a dispatch").click()
        page.get_by_label("Network node").fill("NM")
        page.get_by_label("Target (kW)").fill("0")
        reference = page.get_by_label("Reference").input_value()
        page.get_by_role("button", name="Check").click()
        confirm(visit, people[CONTROL])

        expect(page.get_by_role("heading", level=1)).to_contain_text(reference)
        expect(page.get_by_text("A second person must approve it")).to_be_visible()
        expect(page.get_by_text("EV power at most 0.0 kW")).to_be_visible()
        assert page.evaluate("document.activeElement.tagName") != "BUTTON"
        assert visit.violations() == []
        page.get_by_label("Reason").fill("transformer works")
        page.get_by_role("button", name="Ask for approval").click()
        page.wait_for_url(re.compile(r"/control-acts/\d+/$"))
        expect(page.get_by_text("It waits for a second person; nothing is dispatched before.")).to_be_visible()
        act = page.url.removeprefix(visit.origin)
        assert page.get_by_role("button", name="Approve and do it").count() == 0

        second = window_of(SUPERVISOR)
        second.opened("/")
        second.page.get_by_role("link", name=re.compile("to approve")).click()
        second.follow(second.page.get_by_role("link", name=f"Act {act.split('/')[2]}").first)
        assert second.violations() == []
        second.page.get_by_role("button", name="Approve and do it").click()
        if "/confirm/" in second.page.url:
            confirm(second, people[SUPERVISOR])
            second.page.get_by_role("button", name="Approve and do it").click()
        expect(second.page.get_by_text("It is done.")).to_be_visible()

        visit.opened(f"/requests/{reference}/")
        expect(page.get_by_text("transformer works")).to_be_visible()

    def test_reads_a_run_and_another_node_of_it(self, window_of):
        visit = window_of(CONTROL)
        visit.opened(first_link(visit, "/runs/"))
        expect(visit.page.get_by_text("re-added by the independent check")).to_be_visible()
        assert visit.violations() == []
        visit.page.locator("section[aria-labelledby=nodes] tbody th a").nth(3).click()

        chosen = visit.page.locator("#node").input_value()
        expect(visit.page.get_by_role("heading", name=f"Limit and plan at {chosen}")).to_be_visible()


class TestBuyer:
    def test_makes_a_market_and_a_contract_under_it_that_a_dsrsp_agrees_to(self, window_of, people):
        visit = window_of(SUPERVISOR)
        page = visit.page
        visit.opened("/markets/")
        page.get_by_role("link", name="Make a market").click()
        page.get_by_label("Name").fill("Mornings at Northmoor")
        page.get_by_label("Code").fill("northmoor-mornings")
        page.get_by_label("Product", exact=True).select_option("scheduled-utilisation")
        page.get_by_label("Least power (kW)").fill("10")
        page.get_by_label("Zone").fill("NM")
        page.get_by_role("group", name="Window 1").get_by_label("Saturday").check()
        assert visit.violations() == []
        page.get_by_role("button", name="Publish").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("Mornings at Northmoor")
        expect(page.get_by_text("Mon, Tue, Wed, Thu, Fri, Sat 16:00 to 20:00")).to_be_visible()
        page.get_by_role("link", name="Propose a contract").click()
        confirm(visit, people[SUPERVISOR])
        page.get_by_label("DSRSP").select_option("amber-vale")
        page.get_by_label("At most (kW)").fill("40")
        page.get_by_label("Price (GBP/MWh)").fill("250.00")
        page.get_by_label("Reference").fill("MORNINGS/AMBER")
        assert visit.violations() == []
        page.get_by_role("button", name="Propose").click()
        expect(page.get_by_text("MORNINGS/AMBER is proposed")).to_be_visible()

        seller = window_of(AGGREGATOR).opened("/markets/northmoor-mornings/")
        seller.page.get_by_label("Reason to agree to MORNINGS/AMBER").fill("fits our fleet")
        seller.page.get_by_role("button", name="Agree to").click()
        expect(seller.page.get_by_role("cell", name="in force")).to_be_visible()

    def test_looks_at_a_call_under_a_contract_before_it_is_ordered(self, window_of, people):
        visit = window_of(CONTROL)
        page = visit.page
        visit.opened("/markets/northmoor-evenings/")
        page.get_by_role("link", name="Instruct under a contract").click()
        confirm(visit, people[CONTROL])
        page.get_by_label("Power (kW)", exact=True).fill("12")
        page.get_by_label("Target (kW)").fill("30")
        page.get_by_label("Reason").fill("transformer works")
        page.get_by_role("button", name="Check").click()

        expect(page.get_by_text("EV power at most 30.0 kW")).to_be_visible()
        expect(page.get_by_text("3.42 GBP delivered in full, 285.00 GBP/MWh")).to_be_visible()
        assert page.evaluate("document.activeElement.tagName") != "BUTTON"
        assert visit.violations() == []
        page.get_by_role("button", name="Change it").click()
        expect(page.get_by_label("Power (kW)", exact=True)).to_have_value("12")

    def test_states_a_product_as_the_catalogue_has_it_but_for_its_price(self, window_of, people):
        visit = window_of(SUPERVISOR)
        page = visit.page
        visit.opened("/products/")
        page.get_by_role("link", name="State a product").click()
        confirm(visit, people[SUPERVISOR])
        page.get_by_label("Begin with", exact=True).select_option("nged-dynamic")
        page.get_by_role("button", name="Fill in").click()
        page.get_by_label("Code", exact=True).fill("northmoor-dynamic")
        page.get_by_label("Utilisation (GBP/MWh)", exact=True).fill("333.00")
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_text("Utilisation: 300 → 333.00 GBP/MWh")).to_be_visible()
        assert visit.violations() == []
        page.get_by_label("Reason").fill("tender of the winter")
        page.get_by_role("button", name="State northmoor-dynamic v1").click()
        expect(page.get_by_text("northmoor-dynamic v1 is stated.")).to_be_visible()


COUNT_CLICKS = "addEventListener('click', () => { sessionStorage.n = Number(sessionStorage.n ?? 0) + 1 }, true)"


class TestMarketOperator:
    def test_finds_a_months_statement_in_three_clicks(self, window_of):
        visit = window_of(MARKET)
        page = visit.page
        page.add_init_script(COUNT_CLICKS)
        visit.opened("/")
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Statements").click()
        page.get_by_role("navigation", name="Months").get_by_role("link").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Statements of ")
        assert visit.violations() == []
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("Download statement of .* as CSV")).first.click()

        assert Path(download.value.path()).read_bytes().startswith(b"HDR,2,")
        assert page.evaluate("sessionStorage.n") == "3"

    def test_looks_at_a_months_invoices_before_any_is_issued(self, window_of, people):
        visit = window_of(MARKET)
        page = visit.page
        visit.opened("/invoices/")
        page.get_by_role("link", name="Issue a month’s invoices").click()
        confirm(visit, people[MARKET])
        page.get_by_label("Product", exact=True).select_option("scheduled-utilisation")
        page.get_by_label("Month", exact=True).fill("2026-01")
        page.get_by_label("State it again", exact=True).check()
        page.get_by_role("button", name="Check").click()

        expect(page.get_by_role("heading", name="January 2026, scheduled-utilisation")).to_be_visible()
        expect(page.get_by_text("there is nothing to confirm")).to_be_visible()
        assert page.get_by_label("Reason").count() == 0
        assert visit.violations() == []

    def test_downloads_a_statement_and_releases_it_with_a_second_person(self, window_of, people):
        visit = window_of(MARKET)
        page = visit.page
        visit.opened(first_link(visit, "/statements/", in_row="NM-"))
        stated = page.locator("dt:text-is('SHA-256 of the CSV') + dd").inner_text()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        assert hashlib.sha256(Path(download.value.path()).read_bytes()).hexdigest() == stated
        assert visit.violations() == []

        page.get_by_role("link", name=re.compile("Settlement of NM-")).click()
        page.get_by_role("link", name="Release these statements").click()
        confirm(visit, people[MARKET])
        expect(page.get_by_text("A second person must approve it")).to_be_visible()
        page.get_by_label("Reason").fill("month end")
        page.get_by_role("button", name="Ask for approval").click()
        page.wait_for_url(re.compile(r"/control-acts/\d+/$"))
        act = page.url.removeprefix(visit.origin)

        second = window_of(SECOND_MARKET)
        second.opened(act)
        second.page.get_by_role("button", name="Approve and do it").click()
        if "/confirm/" in second.page.url:
            confirm(second, people[SECOND_MARKET])
            second.page.get_by_role("button", name="Approve and do it").click()
        expect(second.page.get_by_text("It is done.")).to_be_visible()
        visit.opened("/statements/?state=released")
        expect(page.locator("tbody tr")).to_have_count(2)


class TestReach:
    """WCAG 2.2 A and AA by machine in both themes, a narrow screen, and no JavaScript."""

    @pytest.mark.parametrize(("name", "path"), EVERY_PAGE)
    def test_axe_finds_nothing_and_only_tables_scroll_sideways(self, window_of, name, path):
        visit = window_of(name)
        visit.opened(first_link(visit, path.removeprefix(FIRST_OF)) if path.startswith(FIRST_OF) else path)

        assert visit.violations() == []
        visit.page.emulate_media(color_scheme="dark")
        assert visit.violations() == []
        visit.page.set_viewport_size({"width": 320, "height": 640})
        assert visit.overhang_px() <= 0

    @pytest.mark.parametrize(("name", "path"), EVERY_PAGE)
    def test_is_readable_without_javascript(self, window_of, name, path):
        visit = window_of(name, java_script_enabled=False)
        visit.opened(first_link(visit, path.removeprefix(FIRST_OF)) if path.startswith(FIRST_OF) else path)

        expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
