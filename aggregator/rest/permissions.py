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
        action = api.actions.get(method)
        if action != EVERY_VIEWER and not (isinstance(action, Action) and viewer.may(action)):
            raise Refused(403, "permission_denied", "Your role or your token's scopes do not include this operation.")
        if method in api.confirmed:
            _demand_confirmation(viewer)
        return True


def _demand_confirmation(viewer: Viewer) -> None:
    """A control act needs somebody who proved just now who they are."""
    at = viewer.confirmed_at
    if at is None or (timezone.now() - at).total_seconds() > settings.CONFIRMED_FOR_S:
        raise Refused(403, "confirmation_required", CONFIRM)
