"""People and API clients by the pages: a newcomer is let in, locks the desk, and is removed again."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Person, log_in

ADMIN = "amber.admin"
OWN = ("/account/", "/account/password/", "/account/recovery-codes/", "/account/authenticator/", "/confirm/")
MANAGED = ("/people/", "/people/remove/?username=amber.operator", "/machines/")
PHONE = {"width": 320, "height": 640}


class TestNewcomer:
    def test_is_made_sets_up_an_authenticator_locks_and_is_removed(self, window_of, open_window):
        admin = window_of(ADMIN)
        admin.opened("/people/")
        admin.page.get_by_label("User name").fill("amber.newcomer")
        admin.page.get_by_label("Role", exact=True).select_option(label="Aggregator operator")
        admin.page.get_by_label("This is a new person: make a log-in").check()
        admin.page.get_by_role("button", name="Give the role").click()
        password = admin.page.locator(".secret code").text_content()
        assert admin.violations() == []

        newcomer = open_window()
        log_in(newcomer, Person("amber.newcomer", password or ""))
        expect(newcomer.page.locator(".who")).to_contain_text("Amber Vale Flexibility")
        newcomer.page.get_by_role("button", name="Lock").click()
        expect(newcomer.page.get_by_role("heading", name="Locked")).to_be_visible()
        assert newcomer.violations() == []
        newcomer.goto("/fleet/")
        expect(newcomer.page).to_have_url(re.compile(r"/unlock/\?next=/fleet/$"))
        newcomer.page.get_by_label("Password").fill(password or "")
        newcomer.page.get_by_role("button", name="Unlock").click()
        expect(newcomer.page).to_have_url(re.compile(r"/fleet/$"))

        admin.page.get_by_role("link", name="Back to people").click()
        admin.page.get_by_role("link", name="Remove amber.newcomer").click()
        admin.page.get_by_role("button", name="Remove").click()
        expect(admin.page.get_by_role("heading", name="People of Amber Vale Flexibility")).to_be_visible()
        expect(admin.page.get_by_text("amber.newcomer")).to_have_count(0)

        answer = newcomer.goto("/account/")
        assert answer.status == 200
        expect(newcomer.page.get_by_text("no organisation yet")).to_be_visible()


class TestApiClient:
    def test_is_registered_and_revoked(self, window_of):
        admin = window_of(ADMIN)
        admin.opened("/machines/")
        admin.page.get_by_label("Name").fill("billing")
        admin.page.get_by_label("Read meter readings").check()
        admin.page.get_by_role("button", name="Register").click()
        client_id = admin.page.locator(".secret code").first.text_content() or ""
        assert admin.violations() == []

        admin.page.get_by_role("link", name="Back to API clients").click()
        expect(admin.page.get_by_text(client_id)).to_be_visible()
        admin.follow(admin.page.get_by_role("link", name="Revoke billing"))
        assert admin.violations() == []
        admin.page.get_by_role("button", name="Revoke").click()
        expect(admin.page.get_by_text(client_id)).to_have_count(0)


class TestLogInPages:
    def test_are_for_everybody(self, browser_page, people):
        assert browser_page.opened("/login/").violations() == []
        person = people["second.supervisor"]
        browser_page.page.get_by_label("User name").fill(person.name)
        browser_page.page.get_by_label("Password").fill(person.password)
        browser_page.page.get_by_role("button", name="Log in").click()
        browser_page.page.locator("#id_code").wait_for()
        assert browser_page.violations() == []


class TestPages:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("path", [*OWN, *MANAGED])
    def test_are_for_everybody(self, window_of, path, scheme):
        visit = window_of(ADMIN, color_scheme=scheme).opened(path)

        assert visit.violations() == []

    @pytest.mark.parametrize("path", [*OWN, *MANAGED])
    def test_fit_a_phone(self, window_of, path):
        assert window_of(ADMIN, viewport=PHONE).opened(path).overhang_px() <= 0

    @pytest.mark.parametrize("path", [*OWN, *MANAGED])
    def test_reach_every_control_by_tab_in_its_order(self, window_of, path):
        visit = window_of(ADMIN).opened(path)
        controls = visit.controls()
        reached = visit.reached_by_tab(len(controls))

        begins_at = reached.index(0)  # a field that has the focus from the start is where Tab goes on from
        assert reached[begins_at:] + reached[:begins_at] == list(range(len(controls)))
