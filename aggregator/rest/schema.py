"""The schema of one operation, read off its view: parameters, bodies, answers, every refusal, scopes and examples."""

import re
from http import HTTPStatus
from typing import Any

import uritemplate
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from aggregator.core.permissions import PEOPLE_ONLY, SAID, SCOPES, Action
from aggregator.rest import schema_fields
from aggregator.rest.fields import CODE
from aggregator.rest.problems import MEDIA_TYPE
from aggregator.rest.serializers import Query, Row, StrictSerializer
from aggregator.rest.views import ApiView, DetailView, ListView

CHANGES = frozenset({"PUT", "PATCH", "DELETE"})
SAID_OF_STATUS = {
    304: "Not changed since the version in If-None-Match.",
    400: "The request does not fit this schema; `errors` says where.",
    401: "No credentials, or none that are good.",
    403: "The role or the token's scopes do not include this operation.",
    404: "Nothing is there for this viewer; another organisation's thing is not there either.",
    406: "The API answers in JSON only.",
    409: "The first request with this Idempotency-Key is still at work, or the state of things does not allow it.",
    412: "It has changed since the version in If-Match.",
    413: "The body is larger than this operation takes, or the answer than it makes.",
    415: "The body is of a media type this operation does not take.",
    422: "Well-formed, but it breaks a rule; `type` names it.",
    428: "If-Match is missing.",
    429: "More than this client may ask; Retry-After says when to ask again.",
}


class FieldErrorRow(Row):
    place = serializers.ChoiceField(choices=["body", "query", "header", "path"], help_text="where the value stands")
    pointer = serializers.CharField(help_text="JSON Pointer to the value within that place")
    code = serializers.CharField(help_text="stable word for programs")
    detail = serializers.CharField(help_text="sentence for people")


class ProblemRow(Row):
    """Why a request was refused (RFC 9457)."""

    type = serializers.CharField(help_text="/problems/<code>: stable, for programs")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField(help_text="the address asked for")
    errors = FieldErrorRow(many=True)  # type: ignore[assignment]
    trace_id = serializers.CharField(help_text="name this when you ask about it")
    details = serializers.DictField(child=serializers.JSONField(allow_null=True), required=False)


class Operation(AutoSchema):
    """What drf-spectacular asks of a view, answered from ``ApiView``'s attributes."""

    view: ApiView  # type: ignore[override]

    def get_operation_id(self) -> str:
        verb = {"GET": "list" if isinstance(self.view, ListView) else "get", "POST": "post"}.get(self.method)
        parts = re.sub(r"^/api/v\d+/", "", self.path).replace(":", "_").replace("-", "_").split("/")
        return "_".join([verb or self.method.lower(), *(part.strip("{}") for part in parts if part)])

    def get_tags(self) -> list[str]:
        return [re.sub(r"^/api/v\d+/", "", self.path).replace(":", "/").split("/")[0]]

    def get_summary(self) -> str:
        return self._doc().split("\n")[0].rstrip(".")

    def get_description(self) -> str:  # type: ignore[override]
        rest = "\n".join(self._doc().split("\n")[1:]).strip()
        return f"{rest}\n\n{self._access()}".strip()

    def _access(self) -> str:
        actions = self._actions()
        if not actions:
            return "For everybody with credentials."
        said = "; or ".join(SAID[action] for action in sorted(actions))
        scopes = ", ".join(f"`{scope}`" for scope in self._scopes()) or "none, a person's session only"
        fresh = " Confirm who you are first (log-in, /confirm/ or token of the last minutes)."
        return f"Action: {said}. Scopes: {scopes}.{fresh if self.method in self.view.confirmed else ''}"

    def _scopes(self) -> list[str]:
        return [] if self.method in self.view.people_only else scopes_of(self._actions())

    def _actions(self) -> frozenset[Action]:
        """Any of these; empty for every viewer."""
        stated = self.view.actions[self.method]
        if isinstance(stated, frozenset):
            return stated
        return frozenset({stated}) if isinstance(stated, Action) else frozenset()

    def _doc(self) -> str:
        told = self.view.summaries.get(self.method)
        handler = getattr(self.view, self.method.lower())
        own = handler.__doc__ if self.method.lower() in vars(type(self.view)) else None
        text: str = told or own or type(self.view).__doc__ or self.method
        return "\n".join(line.strip() for line in text.strip().split("\n"))

    def get_auth(self) -> list[dict[str, list[str]]]:
        if not self._actions():
            return [{"oauth2": []}, {"session": []}]
        return [*({"oauth2": [scope]} for scope in self._scopes()), {"session": []}]

    def get_request_serializer(self) -> Any:
        return self.view.bodies.get(self.method) or getattr(self.view, "media_types", None)

    def get_response_serializers(self) -> Any:
        status, row = self._answer()
        answers: dict[Any, Any] = {
            status: OpenApiResponse(row, description="Done." if self.method != "GET" else "Found.")
        }
        if self.method == "GET" and isinstance(self.view, DetailView):
            answers[304] = OpenApiResponse(None, description=SAID_OF_STATUS[304])
        for refusal in self.refusals():
            answers[(str(refusal), MEDIA_TYPE)] = OpenApiResponse(ProblemRow, description=SAID_OF_STATUS[refusal])
        return answers

    def _answer(self) -> tuple[int, Any]:
        if self.method in self.view.answers:
            return self.view.answers[self.method]
        if self.method == "GET" and isinstance(self.view, ListView):
            return 200, page_of(self.view.row)
        if isinstance(self.view, DetailView):
            return 200, self.view.row
        raise TypeError(f"{type(self.view).__name__} does not say what it answers to {self.method}")

    def refusals(self) -> list[int]:
        """Statuses other than the good ones that this operation may answer with."""
        found = {400, 401, 403, 406, 429}
        if uritemplate.variables(self.path):
            found.add(404)
        if self.method != "GET":
            found |= {404, 409, 422}
        if self._takes_body():
            found |= {413, 415}
        if self.method == "GET" and "from" in self.view.queries.get("GET", Query)().fields:
            found.add(422)
        if self.method in CHANGES:
            found |= {412, 428}
        return sorted(found | self.view.refusals.get(self.method, frozenset()))

    def _takes_body(self) -> bool:
        return self.method in self.view.bodies or hasattr(self.view, "media_types")

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = [self._path_parameter(name) for name in sorted(uritemplate.variables(self.path))]
        query = self.view.queries.get(self.method)
        if query is not None:
            found.append(query)
        found += self._header_parameters()
        every: Any = True
        found.append(_answer_header("RateLimit", "what is left of the limit, and when it is full again", every))
        found.append(_answer_header("RateLimit-Policy", "the limit: quota and window in seconds", every))
        found.append(_answer_header("Retry-After", "seconds to wait", [409, 429]))
        return found

    def _path_parameter(self, name: str) -> OpenApiParameter:
        schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80, "pattern": CODE}
        example = "example"
        if name == "id" and self.view.id_prefix:
            schema = {"type": "string", "pattern": f"^{self.view.id_prefix}_{schema_fields.DIGITS}$"}
            example = f"{self.view.id_prefix}_1"
        shown = [OpenApiExample("example", value=example)]
        return OpenApiParameter(name, schema, OpenApiParameter.PATH, required=True, examples=shown)

    def _header_parameters(self) -> list[OpenApiParameter]:
        found = []
        if getattr(getattr(self.view, self.method.lower()), "needs_key", False):
            schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"}
            said = "a key of your own; the same request with the same key is done once, for 30 days"
            found.append(OpenApiParameter("Idempotency-Key", schema, OpenApiParameter.HEADER, True, said))
            found.append(_answer_header("Idempotency-Replayed", "true where the first answer is given again", [202]))
        if self.method in CHANGES:
            said = "ETag of the version this change was decided on"
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, True, said))
        if isinstance(self.view, DetailView):
            found.append(_answer_header("ETag", "names this version", [200]))
            if self.method == "GET":
                said = "ETag of the version you have: 304 if it still stands"
                found.append(OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, False, said))
        return found

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        return type(serializer).__name__.removesuffix("Row")

    def get_examples(self) -> list[OpenApiExample]:
        found = []
        body = self.view.bodies.get(self.method)
        if body is not None:
            found.append(OpenApiExample("body", value=body.example, request_only=True))
        for media_type, value in getattr(self.view, "media_examples", {}).items():
            found.append(OpenApiExample("batch", value=value, request_only=True, media_type=media_type))
        status, row = self._answer()
        if row is not None:
            found.append(OpenApiExample("answer", value=row.example, response_only=True, status_codes=[str(status)]))
        return found + [_problem_example(refusal) for refusal in self.refusals()]

    def _map_serializer(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> dict[str, Any]:
        mapped = super()._map_serializer
        schema: dict[str, Any] = mapped(serializer, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if isinstance(serializer, StrictSerializer) and "properties" in schema:
            schema["additionalProperties"] = False
        return schema

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> dict[str, Any]:
        mapped = super()._map_serializer_field
        schema: dict[str, Any] = mapped(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if isinstance(field, serializers.ListSerializer) and schema.get("type") == "array":
            rows: Any = field
            fewest = rows.min_length or (0 if rows.allow_empty else 1)
            bounds = {"minItems": fewest or None, "maxItems": rows.max_length}
            schema |= {name: bound for name, bound in bounds.items() if bound is not None}
        return schema


def scopes_of(wanted: frozenset[Action]) -> list[str]:
    """OAuth scopes that include any of these actions; none for what only people do."""
    return [scope for scope, (_, actions) in SCOPES.items() if (wanted - PEOPLE_ONLY) & actions]


def page_of(row: type[Row]) -> type[Row]:
    """The shape of one page of a list."""
    name = f"{row.__name__.removesuffix('Row')}Page"
    if name not in _pages:
        link: dict[str, Any] = {"allow_null": True, "help_text": "relative address, null where there is none"}
        members = {
            "results": row(many=True),
            "next": serializers.CharField(**link),
            "previous": serializers.CharField(**link),
            "example": {"results": [row.example], "next": None, "previous": None},
            "__doc__": f"A page of {row.__name__.removesuffix('Row')} rows.",
        }
        _pages[name] = type(name, (Row,), members)
    return _pages[name]


_pages: dict[str, type[Row]] = {}


def _answer_header(name: str, said: str, statuses: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=said, response=statuses)


def _problem_example(status: int) -> OpenApiExample:
    code = {400: "invalid", 401: "not_authenticated", 403: "permission_denied", 404: "not_found"}.get(status, "refused")
    value = {
        "type": f"/problems/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": SAID_OF_STATUS[status],
        "instance": "/api/v1/evses/",
        "errors": [],
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return OpenApiExample("problem", value=value, response_only=True, status_codes=[str(status)], media_type=MEDIA_TYPE)
