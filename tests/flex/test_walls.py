"""The outer wall, action by action: who is let in is what the table of permissions says, and nobody else."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from aggregator.core.permissions import KIND_MAY, KIND_ROLES, ROLE_MAY, SCOPES, Action, Role
from aggregator.models import Membership, actor
from aggregator.site.views import PageView
from flex.view_checks import every_view
from tests.factories import make_organisation
from tests.machines import make_machine, token_of
from tests.markets.builders import make_person
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


def page_for(stated: Action) -> type[PageView]:
    """A page that asks for one action, and tells who came in."""

    class Page(PageView):
        action = stated

        def get(self, _request: HttpRequest) -> HttpResponse:
            return HttpResponse(f"{actor()} for {self.viewer.organisation.code}")

    return Page


urlpatterns = [
    path("site/", include("flex.urls")),
    *(path(f"{action}/", page_for(action).as_view()) for action in Action),
]
REAL_PAGES = sorted(
    (f"/{address}", view.action)
    for address, view in every_view()
    if "<" not in address and isinstance(getattr(view, "action", None), Action) and hasattr(view, "get")
)


GIVEN = [(kind, role) for kind, roles in KIND_ROLES.items() for role in roles]
NOT_GIVEN = [("dno", Role.OPERATOR), ("dsrsp", Role.PLATFORM_ADMIN), ("market_operator", Role.CONTROL_ROOM_SUPERVISOR)]


@pytest.mark.parametrize(("kind", "role"), GIVEN + NOT_GIVEN)
class TestEveryRole:
    def test_opens_what_its_role_and_its_organisations_kind_allow(self, settings, kind, role):
        settings.ROOT_URLCONF = __name__
        client = log_in(Client(), make_person("ada", make_organisation("org", kind), role))

        answers = {action: client.get(f"/{action}/") for action in Action}
        opened = {action for action, answer in answers.items() if answer.status_code == 200}

        assert opened == ROLE_MAY[role] & KIND_MAY[kind]
        assert {answers[action].status_code for action in set(Action) - opened} == {403}
        assert {answers[action].content for action in opened} == {b"person:ada for org"}


@pytest.mark.parametrize(("kind", "role"), GIVEN)
class TestEveryPageOfTheSite:
    def test_is_open_to_who_may_do_its_action(self, kind, role):
        client = log_in(Client(), make_person("ada", make_organisation("org", kind), role))

        found = {address: client.get(address).status_code for address, _ in REAL_PAGES}

        may = ROLE_MAY[role] & KIND_MAY[kind]
        assert {address for address, status in found.items() if status == 403} == {
            address for address, action in REAL_PAGES if action not in may
        }
        assert max(found.values()) < 500


class TestNobody:
    def test_is_led_to_log_in_from_every_page(self):
        assert len(REAL_PAGES) >= 5
        for address, _ in REAL_PAGES:
            assert Client().get(address).url.startswith("/login/?next=")

    def test_with_a_password_only_is_led_to_the_second_factor(self):
        client = Client()
        client.force_login(make_person("ada", make_organisation(), "admin"))

        assert {client.get(address).url for address, _ in REAL_PAGES} == {"/login/code/"}


class TestMachine:
    def test_with_every_scope_opens_no_page(self, settings):
        settings.ROOT_URLCONF = __name__
        token = token_of(make_machine(make_organisation(), *SCOPES))
        client = Client(headers={"Authorization": f"Bearer {token}"})

        assert {client.get(f"/{action}/").status_code for action in Action} == {302}

    def test_is_who_its_token_says_even_in_the_browser_of_a_person(self):
        ada = make_person("ada", make_organisation("headroom", "platform"), "platform_admin")
        client = log_in(Client(), ada)
        token = token_of(make_machine(make_organisation(), "fleet:read"))
        headers = {"Authorization": f"Bearer {token}"}

        assert client.get("/api/v1/me/", headers=headers).json()["organisation"]["code"] == "flexco"
        assert client.get("/api/v1/me/", headers={"Authorization": "Bearer x"}).status_code == 401
        assert client.get("/api/v1/me/").json()["actor"] == "person:ada"


class TestPersonOfTwoOrganisations:
    def test_has_in_each_the_role_of_that_one(self):
        ada = make_person("ada", make_organisation("aaa"), "admin")
        Membership.objects.create(user=ada, organisation=make_organisation("bbb", "dno"), role="auditor")
        client = log_in(Client(), ada)

        assert [client.get(address).status_code for address in ("/people/", "/network/")] == [200, 403]
        client.post("/act-as/", {"code": "bbb"})
        assert [client.get(address).status_code for address in ("/people/", "/network/")] == [403, 200]


def test_the_walls_leave_nothing_behind():
    before = actor()
    log_in(Client(), make_person("ada", make_organisation(), "admin")).get("/people/")

    assert actor() == before
