"""The API's page: readable by anybody, with and without JavaScript, from this site alone."""

from collections.abc import Callable

from tests.browser.harness import Visit


class TestDocs:
    def test_are_accessible_with_every_operation_opened(self, browser_page: Visit):
        browser_page.opened("/docs/")
        browser_page.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert browser_page.violations() == []
        assert browser_page.overhang_px() == 0

    def test_are_readable_without_javascript(self, open_window: Callable[..., Visit]):
        visit = open_window(java_script_enabled=False)
        visit.opened("/docs/")
        operation = visit.page.locator("#list_evses")
        operation.locator("summary").click()
        assert operation.get_by_text("scenario", exact=True).first.is_visible()
