"""flex.E013 against addresses as somebody might write them; ``urlpatterns`` below is this module's own urlconf."""

import pytest
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.views import View
from django.views.generic import TemplateView
from rest_framework.response import Response
from rest_framework.views import APIView

from aggregator.core.permissions import Action
from aggregator.rest.views import ApiView
from aggregator.site.views import PUBLIC, VERIFIED, PageView
from flex.view_checks import every_view
from tests.factories import make_organisation
from tests.markets.builders import make_person
from tests.people import log_in


class Forgotten(PageView):
    def get(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse("secret")


class Misspelt(Forgotten):
    action = "see_everything"


class Open(Forgotten):
    action = PUBLIC


class Own(Forgotten):
    action = VERIFIED


class Stated(Forgotten):
    action = Action.SEE_JOBS


class HalfStated(ApiView):
    actions = {"GET": Action.SEE_JOBS}

    def get(self, _request) -> Response:
        return Response({})

    def delete(self, _request) -> Response:
        return Response({})


class Unasked(HalfStated):
    permission_classes = []
    actions = {"GET": Action.SEE_JOBS, "DELETE": Action.SEE_JOBS}


class Foreign(APIView):
    def get(self, _request) -> Response:
        return Response({})


class Complete(HalfStated):
    actions = {"GET": Action.SEE_JOBS, "DELETE": Action.SEE_JOBS}


class Plain(View):
    def get(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse("secret")


def by_function(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("secret")


GOOD = {"open/": Open, "own/": Own, "stated/": Stated, "api/complete/": Complete}
BAD = {
    "forgotten/": Forgotten,
    "misspelt/": Misspelt,
    "plain/": Plain,
    "template/": TemplateView,
    "api/plain/": Plain,
    "api/half/": HalfStated,
    "api/unasked/": Unasked,
    "api/foreign/": Foreign,
}
urlpatterns = [
    path("site/", include("flex.urls")),
    *(path(address, view.as_view()) for address, view in GOOD.items()),
    path("deep/", include([path(address, view.as_view()) for address, view in BAD.items()])),
    path("deep/function/", by_function),
]


@pytest.fixture
def bad_site(settings):
    settings.ROOT_URLCONF = __name__


def faults() -> dict[str, str]:
    found = [message.msg for message in run_checks(tags=["urls"]) if message.id == "flex.E013"]
    return dict(message.split(": ", 1) for message in found)


class TestCheckViews:
    def test_finds_no_fault_in_the_site(self):
        assert faults() == {}

    def test_looks_at_every_address_of_the_site(self):
        addresses = {address for address, _ in every_view()}

        assert {"", "login/", "account/", "statements/<int:pk>.csv", "healthz", "api/v1/schema/"} <= addresses

    @pytest.mark.usefixtures("bad_site")
    def test_names_each_view_that_states_no_action(self):
        found = faults()

        assert found.keys() == {f"/deep/{address}" for address in (*BAD, "function/")}  # not those of GOOD
        assert found["/deep/api/half/"] == "HalfStated states no action for DELETE."
        assert found["/deep/api/unasked/"] == "Unasked does not ask ActionAllowed."
        assert found["/deep/forgotten/"].startswith("Forgotten states no action: nobody is let in.")


@pytest.mark.django_db
@pytest.mark.usefixtures("bad_site", "site")
@pytest.mark.parametrize("address", ["forgotten/", "misspelt/", "plain/", "template/", "api/plain/", "function/"])
class TestWalls:
    def test_are_closed_to_nobody_round_a_page_that_states_no_action(self, address):
        response = Client().get(f"/deep/{address}")

        assert (response.status_code, response.url) == (302, f"/site/login/?next=/deep/{address}")

    def test_are_closed_to_everybody_round_a_page_that_states_no_action(self, address):
        admin = make_person("ada", make_organisation("headroom", "platform"), "platform_admin")

        response = log_in(Client(), admin).get(f"/deep/{address}")

        assert response.status_code == 403
        assert b"secret" not in response.content
