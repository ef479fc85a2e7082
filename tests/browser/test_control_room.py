"""The control room's main job: log in, find the feeder nearest its rating, read its day, log out."""

import gzip
import re

import pytest
from playwright.sync_api import expect

from tests.browser.harness import log_in

PAGES = ("/", "/network/", "/network/?open=", "/network/?q=feeder")
DNO = "northmoor.control"


def worst_feeder(visit) -> str:
    """Address of the first feeder in the list of the worst."""
    visit.opened("/network/")
    address = visit.page.locator("section[aria-labelledby=worst] tbody th a").first.get_attribute("href")
    assert address
    return address


def on_the_wire(answer) -> int:
    return answer.request.sizes()["responseBodySize"]


class TestWalk:
    def test_from_log_in_to_the_worst_feeder_in_two_clicks_and_out(self, browser_page, people):
        page = browser_page.page
        browser_page.goto("/")
        expect(page).to_have_url(re.compile(r"/login/\?next=/$"))
        log_in(browser_page, people["fresh.control"])
        expect(page).to_have_url(f"{browser_page.origin}/")
        expect(page.locator(".who")).to_contain_text("Northmoor Networks")

        page.get_by_role("navigation", name="Main").get_by_role("link", name="Network").click()
        page.locator("section[aria-labelledby=worst] tbody th a").first.click()

        expect(page.get_by_role("heading", level=1)).to_contain_text("Feeder")
        expect(page.locator(".plotted canvas")).to_be_visible()
        page.get_by_text("Show as table").click()
        expect(page.locator("details table tbody tr")).to_have_count(48)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert browser_page.goto("/network/").url.endswith("/login/?next=/network/")

    def test_opens_the_tree_without_loading_the_page_again(self, window_of):
        visit = window_of(DNO)
        visit.opened("/network/")
        visit.page.evaluate("() => { window.stayed = true; }")
        opener = visit.page.locator("#tree a.opener[aria-expanded=false]").first
        label = opener.get_attribute("aria-label")
        n_row = visit.page.locator("#tree tbody tr").count()
        opener.click()

        expect(visit.page.locator(f"#tree a.opener[aria-label='{label}']")).to_have_attribute("aria-expanded", "true")
        assert visit.page.locator("#tree tbody tr").count() > n_row
        assert visit.page.evaluate("() => window.stayed") is True

    def test_reads_the_chart_by_arrow_keys(self, window_of):
        visit = window_of(DNO)
        visit.opened(worst_feeder(visit))
        visit.page.locator(".plotted").focus()
        visit.page.keyboard.press("ArrowRight")
        expect(visit.page.locator(".legend .cursor .value")).to_have_text("12:00 to 12:30")
        visit.page.keyboard.press("ArrowRight")
        expect(visit.page.locator(".legend .cursor .value")).to_have_text("12:30 to 13:00")
        expect(visit.page.locator(".legend [data-key=rating] .value")).to_have_text(re.compile(r"^[\d.]+ kW$"))


class TestWithoutJavaScript:
    @pytest.mark.parametrize("path", PAGES)
    def test_each_page_is_readable(self, window_of, path):
        visit = window_of(DNO, java_script_enabled=False)
        visit.opened(path)

        expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
        expect(visit.page.locator(".age time")).to_be_visible()

    def test_the_tree_opens_by_links(self, window_of):
        visit = window_of(DNO, java_script_enabled=False)
        visit.opened("/network/")
        n_row = visit.page.locator("#tree tbody tr").count()
        visit.page.locator("#tree a.opener[aria-expanded=false]").first.click()

        expect(visit.page).to_have_url(re.compile(r"open="))
        assert visit.page.locator("#tree tbody tr").count() > n_row

    def test_the_chart_is_drawn_and_its_table_opens(self, window_of):
        visit = window_of(DNO, java_script_enabled=False)
        visit.opened(worst_feeder(visit))

        expect(visit.page.locator(".drawn svg")).to_be_visible()
        visit.page.get_by_text("Show as table").click()
        expect(visit.page.locator("details table tbody tr").first).to_be_visible()

    def test_the_theme_is_changed_by_a_button(self, window_of):
        visit = window_of(DNO, java_script_enabled=False)
        visit.opened("/network/")
        visit.page.get_by_role("button", name="Dark").click()

        expect(visit.page).to_have_url(f"{visit.origin}/network/")
        expect(visit.page.locator("html")).to_have_attribute("data-theme", "dark")
        visit.page.get_by_role("button", name="System’s").click()
        assert visit.page.locator("html").get_attribute("data-theme") is None


class TestReach:
    """WCAG 2.2 A and AA, by machine, where ``test_every_page.py`` does not come."""

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("path", ["/login/", "/network/?q=feeder", "worst feeder"])
    def test_axe_finds_nothing(self, window_of, path, theme):
        visit = window_of(DNO, color_scheme=theme)
        visit.opened(worst_feeder(visit) if path == "worst feeder" else path)

        assert visit.violations() == []

    @pytest.mark.parametrize("path", ["/login/", "worst feeder"])
    def test_tab_reaches_every_control_in_order(self, window_of, path):
        visit = window_of(DNO)
        visit.opened(worst_feeder(visit) if path == "worst feeder" else path)
        names = visit.controls()
        reached = visit.reached_by_tab(len(names))

        assert [names[at] for at in range(len(names)) if at not in reached] == []
        assert reached == sorted(reached)

    @pytest.mark.parametrize(
        "window",
        [
            pytest.param({"viewport": {"width": 320, "height": 640}}, id="320 px"),
            pytest.param({"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2}, id="200 %"),
        ],
    )
    @pytest.mark.parametrize("path", ["/login/", "/network/?q=feeder", "worst feeder"])
    def test_nothing_but_tables_scrolls_sideways(self, window_of, path, window):
        visit = window_of(DNO, **window)
        visit.opened(worst_feeder(visit) if path == "worst feeder" else path)

        assert visit.overhang_px() <= 0


class TestWeight:
    @pytest.mark.parametrize("path", ["/", "/network/", "worst feeder"])
    def test_of_a_page_is_at_most_120_kb_compressed(self, window_of, path):
        visit = window_of(DNO)
        address = worst_feeder(visit) if path == "worst feeder" else path
        answers = []

        def keep(answer):
            answers.append(answer)

        visit.context.on("response", keep)
        visit.opened(address)
        visit.page.wait_for_load_state("networkidle")
        n_byte = [
            len(gzip.compress(answer.body())) if "text/html" in answer.headers["content-type"] else on_the_wire(answer)
            for answer in answers
            if answer.status == 200
        ]

        assert len(n_byte) >= 4
        assert sum(n_byte) <= 120_000


class TestClocks:
    def test_the_doubled_hour_is_told_apart(self, window_of):
        visit = window_of("autumn.control")
        visit.opened("/network/S1/")
        visit.page.get_by_text("Show as table").click()
        times = visit.page.locator("details table tbody th").all_text_contents()

        assert len(times) == 50
        assert [one for one in times if one.startswith("01:")] == ["01:00 BST", "01:30 BST", "01:00 GMT", "01:30 GMT"]
        visit.page.locator(".plotted").focus()
        for _ in range(28):
            visit.page.keyboard.press("ArrowRight")
        expect(visit.page.locator(".legend .cursor .value")).to_have_text("01:30 BST to 01:00 GMT")

    def test_every_stamp_is_londons_wherever_the_browser_is(self, window_of):
        visit = window_of(DNO)
        visit.opened("/network/")

        expect(visit.page.locator(".age")).to_contain_text(re.compile(r"\d\d:\d\d (GMT|BST) · \d\d:\d\dZ"))


class TestPulse:
    def test_a_site_that_falls_silent_is_told(self, window_of):
        visit = window_of(DNO)
        visit.opened("/network/")
        visit.context.route("**/pulse/", lambda route: route.abort())
        expect(visit.page.locator("#silent")).to_be_visible(timeout=20_000)
        expect(visit.page.locator("#silent")).to_contain_text("has not answered since")
        visit.context.unroute("**/pulse/")
        expect(visit.page.locator("#silent")).to_be_hidden(timeout=20_000)
        visit.problems.clear()  # the requests that were cut off
