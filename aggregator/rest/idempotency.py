"""Asking twice is doing once: an answer is kept with the key it was asked under.

The work and its answer are stored in one transaction, so that a crash leaves either both or none. While it runs, the
transaction holds the key; nobody waits for it. What is kept is every answer the service gave, a refusal too; what
failed before it was asked (a malformed body, 400) and what crashed (5xx) is not, and may be asked again.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.models import IdempotentRequest, Organisation
from aggregator.rest.parsers import MAX_BYTES, read_bounded
from aggregator.rest.problems import FieldError, Refused

if TYPE_CHECKING:
    from aggregator.rest.views import ApiView

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
KEPT_FOR = timedelta(days=30)
KEPT_HEADERS = ("ETag", "Location", "Retry-After")
NOT_ANSWERS = frozenset({400, 406, 413, 415, 429})
MISSING = "Give this request a key of your own in Idempotency-Key (1 to 255 visible ASCII characters)."
OTHER = "This Idempotency-Key was used for another request."
AT_WORK = "The first request with this Idempotency-Key is still at work."

Handler = Callable[..., HttpResponse]


def idempotent(handler: Handler) -> Callable[..., HttpResponse]:
    """Make a view's method need an Idempotency-Key, and answer a repeat with what was answered the first time."""

    @functools.wraps(handler)
    def once(view: "ApiView", request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key, sha256 = _key_of(request), _sha256_of(request)
        organisation = view.viewer.organisation
        with transaction.atomic():
            _hold(organisation, key)
            known = IdempotentRequest.objects.for_tenant(organisation).filter(key=key).first()
            if known is not None and known.asked_at > timezone.now() - KEPT_FOR:
                return _replay(known, sha256)
            answer = _work(view, handler, request, *args, **kwargs)
            if answer.status_code < 500 and answer.status_code not in NOT_ANSWERS:
                _keep(organisation, key, sha256, answer)
        return answer

    once.needs_key = True  # type: ignore[attr-defined]  # the schema says so
    return once


def _key_of(request: Request) -> str:
    key: str = request.headers.get(HEADER, "")
    if not KEY.fullmatch(key):
        error = FieldError("header", f"/{HEADER}", "required" if not key else "invalid", MISSING)
        raise Refused(400, "idempotency.key_missing", MISSING, errors=[error])
    return key


def _sha256_of(request: Request) -> str:
    """Hash of what is asked: method, address and body."""
    asked: Any = request._request  # noqa: SLF001 - DRF parses the body it reads from here
    asked._body = read_bounded(asked, MAX_BYTES)  # noqa: SLF001 - as HttpRequest.body keeps it, under our own cap
    asked._read_started = True  # noqa: SLF001
    digest = hashlib.sha256()
    for part in (str(request.method), asked.get_full_path(), asked.content_type or ""):
        digest.update(part.encode() + b"\n")
    digest.update(asked.body)
    return digest.hexdigest()


def _hold(organisation: Organisation, key: str) -> None:
    """Hold the key to the end of the transaction, or say that another request does."""
    name = hashlib.sha256(f"idempotency|{organisation.pk}|{key}".encode()).digest()[:8]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name, "big", signed=True)])
        (is_held,) = cursor.fetchone()
    if not is_held:
        raise Refused(409, "idempotency.at_work", AT_WORK, headers={"Retry-After": "1"})


def _replay(known: IdempotentRequest, sha256: str) -> HttpResponse:
    if known.request_sha256 != sha256:
        raise Refused(422, "idempotency.other_request", OTHER)
    headers = {**known.headers, "Idempotency-Replayed": "true"}
    return HttpResponse(
        bytes(known.content), status=known.status, content_type=known.content_type or None, headers=headers
    )


def _work(view: "ApiView", handler: Handler, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
    """Do it; a refusal is an answer too. What a service wrote before it refused is its own to take back or to keep."""
    try:
        response: HttpResponse = handler(view, request, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a bug is raised again by the view's own handler
        return view.handle_exception(error)
    if isinstance(response, Response):
        headers = {name: value for name, value in response.headers.items() if name != "Content-Type"}
        content = JSONRenderer().render(response.data)
        response = HttpResponse(content, status=response.status_code, content_type="application/json", headers=headers)
    return response


def _keep(organisation: Organisation, key: str, sha256: str, answer: HttpResponse) -> None:
    now = timezone.now()
    kept = IdempotentRequest.objects.for_tenant(organisation)
    kept.filter(asked_at__lte=now - KEPT_FOR).delete()
    IdempotentRequest(
        organisation=organisation,
        key=key,
        request_sha256=sha256,
        status=answer.status_code,
        content_type=answer.headers.get("Content-Type", ""),
        headers={name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
        content=answer.content,
        asked_at=now,
    ).save()
