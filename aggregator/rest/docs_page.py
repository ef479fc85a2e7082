"""The schema as a page: what a template needs to show every operation, as plain values.

Our own page, because the usual ones were tried under the site's content policy: Swagger UI draws, but shows nothing
without JavaScript and has 161 failures of contrast; Redoc does not draw at all.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.generic import RedirectView

from aggregator.core.permissions import SCOPES
from aggregator.rest.schema_whole import whole_schema
from aggregator.site.views import PUBLIC, PageView

Schema = dict[str, Any]
LIMITS_SAID = {"reads": "reads (GET)", "commands": "everything else", "rows": "rows of readings sent"}


class DocsPage(PageView):
    """Every operation of the API, readable without JavaScript and without log-in."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        schema = whole_schema()
        context = {
            "tags": tags_of(schema),
            "scopes": [(name, said) for name, (said, _) in SCOPES.items()],
            "limits": [
                {"said": LIMITS_SAID[name], "quota": quota, "window_s": window_s}
                for name, (quota, window_s) in settings.API_LIMITS.items()
            ],
        }
        return self.page("rest/docs.html", context)


class ProblemType(RedirectView):
    """What the type of a problem leads to: what refusals are."""

    action = PUBLIC
    url = "/docs/#refusals"


def tags_of(schema: Schema) -> list[dict[str, Any]]:
    """Operations by tag, each as the page shows it."""
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append(_operation(schema, path, method, operation))
    return [{"name": name, "operations": shown} for name, shown in sorted(tags.items())]


def _operation(schema: Schema, path: str, method: str, operation: Schema) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "paragraphs": operation.get("description", "").replace("`", "").split("\n\n"),
        "parameters": [
            {
                "name": one["name"],
                "place": one["in"],
                "type": type_of(one["schema"]),
                "is_required": one.get("required", False),
                "said": one.get("description", ""),
            }
            for one in operation.get("parameters", [])
        ],
        "bodies": [_content(schema, media_type, content) for media_type, content in body.items()],
        "answers": [_answer(schema, status, answer) for status, answer in sorted(operation["responses"].items())],
    }


def _answer(schema: Schema, status: str, answer: Schema) -> dict[str, Any]:
    answer = resolved(schema, answer)
    is_good = status.startswith("2")
    contents = [_content(schema, *one) for one in answer.get("content", {}).items()] if is_good else []
    return {"status": status, "said": answer["description"].replace("`", ""), "contents": contents}


def _content(schema: Schema, media_type: str, content: Schema) -> dict[str, Any]:
    examples = [example["value"] for example in content.get("examples", {}).values()]
    examples += [content["example"]] if "example" in content else []
    return {
        "media_type": media_type,
        "fields": list(fields_of(schema, content["schema"])),
        "examples": [one if isinstance(one, str) else json.dumps(one, indent=2) for one in examples],
    }


def resolved(schema: Schema, node: Schema) -> Schema:
    """What a reference refers to; anything else is itself."""
    while "$ref" in node:
        target: Any = schema
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def fields_of(schema: Schema, node: Schema, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Fields of an object by their paths: ``results[].code``."""
    node = _object_in(schema, node)
    for name, field in node.get("properties", {}).items():
        inner = _object_in(schema, field)
        path = f"{prefix}{name}"
        yield {
            "name": path,
            "type": type_of(field if "$ref" not in field else inner),
            "is_required": name in node.get("required", []),
            "said": field.get("description", inner.get("description", "")),
        }
        items = inner.get("items", {})
        if inner.get("properties"):
            yield from fields_of(schema, inner, f"{path}.")
        elif items:
            yield from fields_of(schema, items, f"{path}[].")


def _object_in(schema: Schema, node: Schema) -> Schema:
    """An object behind references, and behind being null or one of several."""
    node = resolved(schema, node)
    for way in ("oneOf", "allOf", "anyOf"):
        for one in node.get(way, []):
            if one.get("type") != "null":
                return _object_in(schema, one)
    return node


def type_of(node: Schema) -> str:
    """A type in words: ``integer 1 to 1000``, ``string or null``, ``newest, oldest``."""
    if "enum" in node:
        return ", ".join("null" if one is None else str(one) or '""' for one in node["enum"])
    kind = node.get("type", "object")
    said = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "format" in node:
        said = f"{said} ({node['format']})"
    if "minimum" in node and "maximum" in node:
        said = f"{said}, {node['minimum']:g} to {node['maximum']:g}"
    return f"{said}, at most {node['maxLength']} characters" if "maxLength" in node else said
