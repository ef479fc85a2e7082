"""Every refusal of the API in one form: application/problem+json (RFC 9457)."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.settings import api_settings

MEDIA_TYPE = "application/problem+json"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
NO_TRACE = "0" * 32
MAX_ERRORS = 1_000


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one value.

    Attributes:
        place: where it was found: ``body``, ``query``, ``header`` or ``path``.
        pointer: JSON Pointer (RFC 6901) within that place: ``/rows/3/rated_kw`` or ``/limit``.
        code: stable word for programs; ``detail``: a sentence for people.
    """

    place: str
    pointer: str
    code: str
    detail: str


class InvalidInput(exceptions.ValidationError):
    """Values that do not fit the schema, with the place they were found in."""

    def __init__(self, detail: Any, *, place: str = "body") -> None:
        super().__init__(detail)
        self.place = place


class Refused(exceptions.APIException):
    """A refusal with a status, a stable code and, where values are to blame, their errors."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.problem_code = code
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def broken_rule(code: str, pointer: str, detail: str, *, place: str = "body") -> Refused:
    """A 422 to raise where values fit the schema, but together break a rule."""
    return Refused(422, code, detail, errors=[FieldError(place, pointer, code, detail)])


def trace_id_of(request: HttpRequest) -> str:
    """The caller's trace id (W3C ``traceparent``), else one made for this request; the same each time it is asked."""
    known: str | None = getattr(request, "_trace_id", None)
    if known is None:
        match = TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        known = match[1] if match and match[1] != NO_TRACE else uuid.uuid4().hex
        request._trace_id = known  # type: ignore[attr-defined]  # noqa: SLF001 - ours, on this request only
    return known


def problem(
    request: HttpRequest,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    details: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Answer with a problem.

    Args:
        code: stable word or dotted words; the problem's type is ``/problems/<code>``.
        details: facts a program may act on, beside the members every problem has.
    """
    said = {
        "type": f"/problems/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "errors": [asdict(error) for error in errors[:MAX_ERRORS]],
        "trace_id": trace_id_of(request),
    }
    if details:
        said["details"] = dict(details)
    content = json.dumps(said, ensure_ascii=True, default=str)
    return HttpResponse(content, status=status, content_type=MEDIA_TYPE, headers=dict(headers or {}))


def field_errors(detail: Any, *, place: str) -> list[FieldError]:
    """Flatten what a serializer found into one error a value, each with its pointer."""
    return list(_flat(detail, "", place))


def _flat(detail: Any, pointer: str, place: str) -> Iterator[FieldError]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            is_whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _flat(inner, pointer if is_whole else f"{pointer}/{_escaped(name)}", place)
    elif isinstance(detail, list | tuple):
        is_rows = any(isinstance(inner, Mapping | list) for inner in detail)
        for index, inner in enumerate(detail):
            yield from _flat(inner, f"{pointer}/{index}" if is_rows else pointer, place)
    else:
        yield FieldError(place, pointer, str(getattr(detail, "code", "invalid")), str(detail))


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
