"""Where an API client gets a token: OAuth 2 client credentials (RFC 6749, 4.4), and no other grant."""

import binascii
from base64 import b64decode
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from oauth2_provider.models import get_access_token_model
from oauth2_provider.views import TokenView

from aggregator.rest.problems import problem
from aggregator.site.views import PUBLIC

FORM = "application/x-www-form-urlencoded"
GRANT = "client_credentials"
CHALLENGE = 'Basic realm="headroom", charset="UTF-8"'


@method_decorator(sensitive_post_parameters("client_secret"), name="dispatch")
class Token(TokenView):  # type: ignore[misc]
    """A token of a quarter of an hour, for a client that names itself by HTTP Basic or in the form."""

    action = PUBLIC
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        response = _refusal(request) or self.authorization_flow_token_response(request)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = CHALLENGE
        response.headers["Cache-Control"] = "no-store"
        return response

    def authorization_flow_token_response(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().authorization_flow_token_response(request, *args, **kwargs)
        if response.status_code == 200:
            get_access_token_model().objects.filter(expires__lt=timezone.now()).delete()
        return response

    def http_method_not_allowed(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        return problem(request, 405, "method_not_allowed", "A token is asked for with POST.", headers={"Allow": "POST"})


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """What the standard refuses before any client is looked for (RFC 6749, 3.2 and 5.2)."""
    if request.content_type != FORM:
        return _error("invalid_request", f"the body is {FORM}")
    if request.GET:
        return _error("invalid_request", "parameters stand in the body, none in the address")
    repeated = [name for name, values in request.POST.lists() if len(values) > 1]
    if repeated:
        return _error("invalid_request", "a parameter stands in the body more than once")
    if not request.POST.get("grant_type"):
        return _error("invalid_request", "grant_type is missing")
    if request.POST["grant_type"] != GRANT:
        return _error("unsupported_grant_type", f"the one grant is {GRANT}")
    if any("\x00" in value for value in request.POST.values()):
        return _error("invalid_request", "a parameter holds a character that no text has")
    if not _is_readable(request.headers.get("Authorization", "")):
        return JsonResponse({"error": "invalid_client"}, status=401)
    return None


def _is_readable(header: str) -> bool:
    """Whether a client's name in the header can be looked for at all; the toolkit looks without asking."""
    if not header.isascii():
        return False
    try:
        named = unquote_to_bytes(b64decode(header.partition(" ")[2]))
    except binascii.Error:
        return True  # the toolkit refuses it
    return b"\x00" not in named


def _error(error: str, description: str) -> HttpResponse:
    return JsonResponse({"error": error, "error_description": description}, status=400)
