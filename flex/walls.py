"""The outer wall: no view runs for anybody it does not name, and each request sees its viewer's rows only.

A page states ``action`` (an ``Action``, or ``PUBLIC``); one that states nothing is closed. The API's views state
``actions`` by method and answer for themselves (``aggregator.rest.permissions``), with the viewer found here.
"""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from oauth2_provider.models import get_access_token_model
from rest_framework.views import APIView

from aggregator.core.permissions import Action
from aggregator.models import MachineClient, acting_for, as_nobody, known_as
from aggregator.site.session import confirmed_at, is_locked, note_presence, verified_person, way_back
from aggregator.site.views import PUBLIC, VERIFIED
from aggregator.viewer import ACTS_FOR, Viewer, machine_viewer, person_viewer

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
        viewer: Viewer | None = request.viewer  # type: ignore[attr-defined]
        view_class = getattr(view, "view_class", view)
        action = getattr(view_class, "action", None)
        if action == PUBLIC:
            return None
        if viewer and not viewer.is_machine:
            note_presence(request, now=timezone.now())
        if isinstance(view_class, type) and issubclass(view_class, APIView):
            return None
        return _let_in(request, viewer, action, can_get=hasattr(view_class, "get"))


def _let_in(
    request: HttpRequest, viewer: Viewer | None, action: Action | str | None, *, can_get: bool
) -> HttpResponse | None:
    """None for who may see a page; else where they are led first.

    Raises:
        PermissionDenied: no membership, or a role without the action, or a page that states none.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(way_back(request, can_get=can_get))
    if verified_person(request) is None:
        return redirect("second_factor")
    if is_locked(request, now=timezone.now()):
        return redirect_to_login(way_back(request, can_get=can_get), login_url="unlock")
    if action == VERIFIED:
        return None
    if viewer is None:
        raise PermissionDenied(NO_MEMBERSHIP)
    if not isinstance(action, Action) or not viewer.may(action):
        raise PermissionDenied(NOT_ALLOWED)
    return None


def find_viewer(request: HttpRequest) -> Viewer | None:
    """A machine by its token, on the API only; a person by an open session with a second factor; else nobody."""
    header = request.headers.get("Authorization", "")
    if request.path.startswith(API) and header:
        return _machine(header)
    user = verified_person(request)
    if user is None or is_locked(request, now=timezone.now()):
        return None
    return person_viewer(user, acts_for=request.session.get(ACTS_FOR, ""), confirmed_at=confirmed_at(request))


def _machine(header: str) -> Viewer | None:
    """The client a bearer token was issued to; None for anything else than a valid token."""
    if not header.lower().startswith(BEARER):
        return None
    tokens = get_access_token_model().objects.select_related("application")
    checksum = hashlib.sha256(header[len(BEARER) :].strip().encode()).hexdigest()  # tokens are not kept as issued
    token = tokens.filter(token_checksum=checksum).first()
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
