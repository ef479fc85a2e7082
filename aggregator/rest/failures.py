"""What an exception becomes: the API's exception handler."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions

from aggregator.core.errors import FlexError
from aggregator.rest.problems import FieldError, InvalidInput, Refused, field_errors, problem

log = logging.getLogger(__name__)
UNPROCESSABLE = 422
NOT_THERE = "Nothing is there for you under this address."
DOWN = "The database does not answer. Ask again in a moment."
RETRY_AFTER_S = "5"


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Turn an anticipated failure into a problem; None for a bug, which Django's own handler answers with 500."""
    request: HttpRequest = context["request"]._request  # noqa: SLF001 - the walls and traces live on Django's request
    return answer(request, error)


def answer(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The problem an exception stands for, None for a bug."""
    if isinstance(error, Http404):
        return problem(request, 404, "not_found", NOT_THERE)
    if isinstance(error, PermissionDenied):
        return problem(request, 403, "permission_denied", str(error) or "You may not do this.")
    if isinstance(error, RequestDataTooBig):
        return problem(request, 413, "too_large", "The body is larger than this operation takes.")
    if isinstance(error, SuspiciousOperation | MultiPartParserError | UnreadablePostError):
        return problem(request, 400, "bad_request", "The request is malformed.")
    if isinstance(error, OperationalError | InterfaceError):
        log.error("the database failed: %s", error)
        return problem(request, 503, "database_unavailable", DOWN, headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, FlexError):
        return problem(request, status_of(error.code), error.code, error.message, details=error.details)
    if isinstance(error, exceptions.APIException):
        return _answer_api(request, error)
    return None


def status_of(code: str) -> int:
    """HTTP status of a failure by its code: the longest of settings.PROBLEM_STATUSES that it starts with, else 422.

    Well-formed, but what was asked cannot be done: that is what an anticipated failure means.
    """
    parts = code.split(".")
    for n_part in range(len(parts), 0, -1):
        status: int | None = settings.PROBLEM_STATUSES.get(".".join(parts[:n_part]))
        if status is not None:
            return status
    return UNPROCESSABLE


def _answer_api(request: HttpRequest, error: exceptions.APIException) -> HttpResponse:
    if isinstance(error, exceptions.ValidationError):
        place = error.place if isinstance(error, InvalidInput) else "body"
        found = field_errors(error.detail, place=place)
        return problem(request, 400, "invalid", _said(found), errors=found)
    code = error.problem_code if isinstance(error, Refused) else error.default_code
    detail = NOT_THERE if isinstance(error, exceptions.NotFound) else str(error.detail)
    errors = error.errors if isinstance(error, Refused) else ()
    return problem(request, error.status_code, code, detail, errors=errors, headers=_headers(error))


def _said(found: Sequence[FieldError]) -> str:
    if len(found) == 1:
        return f"{found[0].place} {found[0].pointer or '/'}: {found[0].detail}"
    return f"{len(found)} values are wrong: see errors."


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers: dict[str, str] = dict(error.headers) if isinstance(error, Refused) else {}
    challenge: str | None = getattr(error, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    wait: float | None = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, int(wait + 0.999)))
    return headers
