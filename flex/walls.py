"""The outer wall: no view runs for anybody it does not name, and each request sees its viewer's rows only.

A page states ``action`` (an ``Action``, or ``PUBLIC``); one that states nothing is closed. The API's views state
``actions`` by method and answer for themselves (``aggregator.rest.permissions``), with the viewer found here.
"""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from oauth2_provider.models import get_access_token_model

from aggregator.models import MachineClient, acting_for, as_nobody, known_as
from aggregator.site.views import PUBLIC
from aggregator.viewer import ACTS_FOR, CONFIRMED_AT, Viewer, machine_viewer, person_viewer

NO_MEMBERSHIP = "You are logged in, but act for no organisation yet. Ask your administrator for a membership."
NOT_ALLOWED = "Your role does not include what you asked for."
API = "/api/"
BEARER = "bearer "


class Walls:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        viewer = find_viewer(request)
        request.viewer = viewer  # type: ignore[attr-defined]
        with ExitStack() as walls:
            walls.enter_context(acting_for(viewer.organisation) if viewer else as_nobody())
            walls.enter_context(known_as(viewer.actor if viewer else "nobody"))
            response = self.get_response(request)
            if response.streaming:  # its content is made outside these walls
                raise AssertionError("a streamed answer would be read by nobody: make it whole")
            return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        if request.path.startswith(API):
            return None
        action = getattr(getattr(view, "view_class", view), "action", None)
        if action == PUBLIC:
            return None
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_verified():  # type: ignore[union-attr]
            return redirect("second_factor")
        viewer: Viewer | None = request.viewer  # type: ignore[attr-defined]
        if viewer is None:
            raise PermissionDenied(NO_MEMBERSHIP)
        if action is None or not viewer.may(action):
            raise PermissionDenied(NOT_ALLOWED)
        return None


def find_viewer(request: HttpRequest) -> Viewer | None:
    """A machine by its token, on the API only; a person by a session with a second factor; else nobody."""
    header = request.headers.get("Authorization", "")
    if request.path.startswith(API) and header:
        return _machine(header)
    user = request.user
    if not (user.is_authenticated and user.is_verified()):  # type: ignore[union-attr]
        return None
    confirmed = request.session.get(CONFIRMED_AT)
    return person_viewer(
        user,
        acts_for=request.session.get(ACTS_FOR, ""),
        confirmed_at=datetime.fromisoformat(confirmed) if confirmed else None,
    )


def _machine(header: str) -> Viewer | None:
    """The client a bearer token was issued to; None for anything else than a valid token."""
    if not header.lower().startswith(BEARER):
        return None
    tokens = get_access_token_model().objects.select_related("application")
    token = tokens.filter(token=header[len(BEARER) :].strip()).first()
    if token is None or not token.is_valid() or token.application is None:
        return None
    machine = MachineClient.objects.select_related("organisation").filter(application=token.application).first()
    if machine is None:
        return None
    return machine_viewer(
        machine,
        client_id=token.application.client_id,
        scopes=frozenset(token.scope.split()),
        issued_at=token.created,
    )
