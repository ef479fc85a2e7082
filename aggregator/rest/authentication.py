"""Who asks, as the walls found it: a machine by its token, or a person by a session with a second factor."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from aggregator.rest.problems import Refused
from aggregator.viewer import Viewer

CHALLENGE = 'Bearer realm="headroom"'


class ViewerAuthentication(BaseAuthentication):
    """Take the viewer ``flex.walls`` found; a person's unsafe request must carry the CSRF token too."""

    def authenticate(self, request: Request) -> tuple[Any, Viewer] | None:
        asked: HttpRequest = request._request  # noqa: SLF001 - DRF offers no other way to what middleware set
        viewer: Viewer | None = getattr(asked, "viewer", None)
        if viewer is None:
            return None
        if not viewer.is_machine and request.method not in SAFE_METHODS:
            _enforce_csrf(asked)
        return asked.user, viewer

    def authenticate_header(self, _request: Request) -> str:
        return CHALLENGE


def _enforce_csrf(request: HttpRequest) -> None:
    """Refuse a session's unsafe request without the token in its header: the body is not looked at yet."""
    if getattr(request, "_dont_enforce_csrf_checks", False):  # as Django's own check: a test client says so
        return
    if settings.CSRF_HEADER_NAME not in request.META:
        raise Refused(403, "csrf_failed", "A session's request carries its CSRF token in the header X-CSRFToken.")
    check = CSRFCheck(lambda _request: None)  # type: ignore[arg-type]
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
    if reason:
        raise Refused(403, "csrf_failed", f"The CSRF token was refused: {reason}")
