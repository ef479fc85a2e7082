"""May the viewer do this: each operation names one action, and one that names none is closed."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.rest.problems import Refused
from aggregator.viewer import Viewer

if TYPE_CHECKING:
    from rest_framework.views import APIView

    from aggregator.rest.views import ApiView

EVERY_VIEWER = "every_viewer"  # for what says no more than the viewer knows: stated, so that it is no omission
CONFIRM = "Confirm who you are first: log in again at /confirm/, or ask for a new token."


class ActionAllowed(BasePermission):
    """Let in a viewer who may do the method's action; a method the view does not have is refused later, with 405."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        api: ApiView = view  # type: ignore[assignment]
        viewer: Viewer | None = request.auth  # type: ignore[assignment]
        if viewer is None:
            return False  # without credentials: DRF answers 401
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or not hasattr(api, method.lower()):
            return True
        is_person_needed = method in api.people_only and viewer.is_machine
        if is_person_needed or not is_allowed(viewer, api.actions.get(method)):
            raise Refused(403, "permission_denied", "Your role or your token's scopes do not include this operation.")
        if method in api.confirmed:
            _demand_confirmation(viewer)
        return True


def is_stated(stated: object) -> bool:
    """Whether an operation says for whom it is."""
    if isinstance(stated, frozenset):
        return bool(stated) and all(isinstance(one, Action) for one in stated)
    return isinstance(stated, Action) or stated == EVERY_VIEWER


def is_allowed(viewer: Viewer, stated: Action | frozenset[Action] | str | None) -> bool:
    """Whether a viewer may do what an operation states: one action, any of several, or ``EVERY_VIEWER``."""
    if isinstance(stated, Action):
        return viewer.may(stated)
    if isinstance(stated, frozenset):
        return bool(stated & viewer.actions)
    return stated == EVERY_VIEWER


def _demand_confirmation(viewer: Viewer) -> None:
    """A control act needs somebody who proved just now who they are."""
    at = viewer.confirmed_at
    if at is None or (timezone.now() - at).total_seconds() > settings.CONFIRMED_FOR_S:
        raise Refused(403, "confirmation_required", CONFIRM)
