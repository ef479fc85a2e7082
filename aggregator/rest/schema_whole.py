"""The schema as a whole: what no single view says."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views import View
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

from aggregator.core.permissions import SCOPES
from aggregator.rest.problems import FieldError, problem
from aggregator.site.views import PUBLIC

TOKEN_PATH = "/api/v1/token/"  # noqa: S105 - an address
SCHEMA_PATH = "/api/v1/schema/"
FORMATS = {"yaml": "application/yaml", "json": "application/json"}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def complete_schema(result: dict[str, Any], **_hook: Any) -> dict[str, Any]:
    """Add the two operations anybody may ask, and how to be somebody; drf-spectacular's postprocessing hook."""
    _drop_enum_marks(result)
    _share_problems(result)
    result["paths"][SCHEMA_PATH] = {"get": _schema_operation()}
    try:
        resolve(TOKEN_PATH)
        is_token = resolve(TOKEN_PATH).url_name != "api_not_found"
    except Resolver404:
        is_token = False
    if is_token:
        result["paths"][TOKEN_PATH] = {"post": _token_operation()}
    result["paths"] = dict(sorted(result["paths"].items()))
    result["components"]["securitySchemes"] = _security()
    return result


def _share_problems(schema: dict[str, Any]) -> None:
    """State each status's problem once, and refer to it."""
    shared: dict[str, Any] = {}
    for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
        for status, answer in operation["responses"].items():
            if "application/problem+json" in answer.get("content", {}):
                shared.setdefault(f"Problem{status}", answer)
                operation["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}
    schema["components"]["responses"] = dict(sorted(shared.items()))


def _drop_enum_marks(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("x-spec-enum-id", None)
        for inner in node.values():
            _drop_enum_marks(inner)
    elif isinstance(node, list):
        for inner in node:
            _drop_enum_marks(inner)


def _security() -> dict[str, Any]:
    scopes = {name: said for name, (said, _) in SCOPES.items()}
    return {
        "oauth2": {
            "type": "oauth2",
            "description": "A machine: client credentials, a token lives 15 minutes.",
            "flows": {"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": scopes}},
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A person logged in with a second factor; unsafe methods carry X-CSRFToken too.",
        },
    }


def _schema_operation() -> dict[str, Any]:
    parameter = {
        "in": "query",
        "name": "format",
        "schema": {"type": "string", "enum": sorted(FORMATS), "default": "yaml"},
        "description": "form of the answer",
    }
    text = {"schema": {"type": "object"}, "example": {"openapi": "3.1.1"}}
    return {
        "operationId": "get_schema",
        "summary": "This schema",
        "description": "OpenAPI 3.1, readable without credentials.",
        "tags": ["schema"],
        "parameters": [parameter],
        "security": [{}],
        "responses": {
            "200": {"description": "Found.", "content": dict.fromkeys(FORMATS.values(), text)},
            "400": {"description": "No such form.", "content": PROBLEM},
        },
    }


def _token_operation() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "scope": {"type": "string", "description": "scopes with spaces between; left out, all the client has"},
            "client_id": {"type": "string", "description": "where HTTP Basic is not used"},
            "client_secret": {"type": "string"},
        },
    }
    token = {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope"],
        "properties": {
            "access_token": {"type": "string"},
            "token_type": {"type": "string"},
            "expires_in": {"type": "integer", "description": "seconds"},
            "scope": {"type": "string"},
        },
    }
    refusal = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    }
    good = {"access_token": "an opaque token", "token_type": "Bearer", "expires_in": 900, "scope": "fleet:read"}
    refused = {"description": "Refused (RFC 6749, 5.2).", "content": {"application/json": {"schema": refusal}}}
    return {
        "operationId": "post_token",
        "summary": "A token for an API client",
        "description": "OAuth 2 client credentials; the client names itself by HTTP Basic or in the form.",
        "tags": ["token"],
        "security": [{}],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": form,
                    "example": {"grant_type": "client_credentials", "scope": "fleet:read"},
                }
            },
        },
        "responses": {
            "200": {
                "description": "Issued.",
                "content": {"application/json": {"schema": token, "example": good}},
            },
            "400": refused,
            "401": refused,
        },
    }


@cache
def whole_schema() -> dict[str, Any]:
    """The schema of every operation there is."""
    generator: Any = SchemaGenerator
    schema: dict[str, Any] = generator().get_schema(request=None, public=True)
    return schema


@cache
def schema_text(form: str) -> str:
    """The schema as ``yaml`` or ``json`` text."""
    renderer = OpenApiYamlRenderer() if form == "yaml" else OpenApiJsonRenderer()
    return bytes(renderer.render(whole_schema(), renderer_context={})).decode()


class SchemaView(View):
    """The schema, for anybody."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        form = request.GET.get("format", "yaml")
        unknown = sorted(set(request.GET) - {"format"})
        if unknown or form not in FORMATS or len(request.GET.getlist("format")) > 1:
            name = unknown[0] if unknown else "format"
            error = FieldError("query", f"/{name}", "invalid", "The one parameter is format: yaml or json.")
            return problem(request, 400, "invalid", error.detail, errors=[error])
        return HttpResponse(schema_text(form), content_type=f"{FORMATS[form]}; charset=utf-8")

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        allow = {"Allow": "GET, HEAD, OPTIONS"}
        return problem(request, 405, "method_not_allowed", "The schema is read with GET.", headers=allow)
