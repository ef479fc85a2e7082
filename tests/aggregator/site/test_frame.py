from datetime import UTC, datetime

import pytest

from aggregator.models import Membership
from aggregator.site.frame import _frame
from tests.factories import make_dno, make_organisation
from tests.markets.builders import make_person
from tests.markets.site import Page, text_of
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


def menu(page: str) -> dict[str, str | None]:
    """Addresses of the menu with their aria-current."""
    part = page[page.index('aria-label="Main"') : page.index("</nav>")]
    return {attrs["href"]: attrs.get("aria-current") for tag, attrs in Page(part).tags if tag == "a"}


class TestFrame:
    def test_names_person_role_and_organisation(self, client):
        page = text_of(log_in(client, make_person("ada", make_dno(), "control_room_operator")).get("/"))

        assert "<strong>Dno</strong><span>Control-room operator</span>" in page
        assert "ada" in page

    def test_leads_where_the_viewer_may_go_and_nowhere_else(self, client):
        client = log_in(client, make_person("ada", make_organisation("flexco"), "operator"))
        found = menu(text_of(client.get("/")))

        assert "/fleet/" in found
        assert "/network/" not in found
        assert {address: client.get(address).status_code for address in found} == dict.fromkeys(found, 200)

    @pytest.mark.parametrize(
        ("kind", "role"),
        [
            ("dno", Membership.Role.CONTROL_ROOM_SUPERVISOR),
            ("dsrsp", Membership.Role.ADMIN),
            ("market_operator", Membership.Role.MARKET_OPERATOR),
            ("platform", Membership.Role.PLATFORM_ADMIN),
            ("platform", Membership.Role.AUDITOR),
        ],
    )
    def test_leads_nobody_to_a_closed_door(self, client, kind, role):
        client = log_in(client, make_person("ada", make_organisation("one", kind), role))
        found = menu(text_of(client.get("/")))

        assert {address: client.get(address).status_code for address in found} == dict.fromkeys(found, 200)

    def test_marks_the_page_one_is_on(self, client):
        client = log_in(client, make_person("ada", make_dno(), "control_room_operator"))

        assert {address for address, current in menu(text_of(client.get("/network/"))).items() if current} == {
            "/network/"
        }

    def test_shows_local_time_and_utc(self, client):
        summer = datetime(2026, 7, 1, 13, 5, tzinfo=UTC)
        client = log_in(client, make_person("ada", make_dno(), "control_room_operator"))
        shown = _frame(client.get("/").wsgi_request.viewer, path="/", now=summer)

        assert (shown.shown_at.local, shown.shown_utc) == ("1 Jul 2026 14:05 BST", "13:05Z")

    def test_stands_round_errors_too(self, client):
        client = log_in(client, make_person("ada", make_dno(), "control_room_operator"))

        assert "/network/" in menu(text_of(client.get("/nowhere/")))
        assert "/network/" in menu(text_of(client.get("/fleet/")))

    def test_offers_the_other_organisations_of_a_person(self, client):
        user = make_person("ada", make_dno(), "control_room_operator")
        Membership.objects.create(user=user, organisation=make_organisation("flexco"), role="operator")
        client = log_in(client, user)
        assert '<option value="flexco">Flexco</option>' in text_of(client.get("/"))
        client.post("/act-as/", {"code": "flexco"})

        page = text_of(client.get("/"))
        assert "<strong>Flexco</strong>" in page
        assert '<option value="dno">Dno</option>' in page


class TestChooseTheme:
    def test_is_kept_and_taken_back(self, client):
        chosen = client.post("/theme/", {"theme": "dark", "next": "/login/"})
        assert (chosen.status_code, chosen.url) == (302, "/login/")
        assert 'data-theme="dark"' in text_of(client.get("/login/"))

        client.post("/theme/", {"theme": "", "next": "/login/"})
        assert "data-theme" not in text_of(client.get("/login/"))

    @pytest.mark.parametrize("theme", ['"><script>', "green"])
    def test_of_no_such_name_is_none(self, client, theme):
        client.post("/theme/", {"theme": theme})
        client.cookies["theme"] = theme

        assert "data-theme" not in text_of(client.get("/login/"))

    def test_does_not_lead_elsewhere(self, client):
        assert client.post("/theme/", {"theme": "dark", "next": "https://evil.example/"}).url == "/"
        assert client.post("/theme/", {"theme": "dark", "next": "//evil.example/"}).url == "/"

    def test_is_chosen_by_a_form_only(self, client):
        assert client.get("/theme/?theme=dark").status_code == 405


class TestPulse:
    def test_answers_anybody_with_nothing(self, client):
        response = client.get("/pulse/")

        assert (response.status_code, response.content) == (204, b"")
        assert "no-store" in response.headers["Cache-Control"]
