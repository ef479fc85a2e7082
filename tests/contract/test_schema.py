"""The schema: published as a file, complete, and true to its own examples."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from django.test import Client
from drf_spectacular.validation import validate_schema

from aggregator.core.permissions import SCOPES
from aggregator.rest.schema_whole import SCHEMA_PATH, TOKEN_PATH, schema_text, whole_schema

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
OPEN = {SCHEMA_PATH, TOKEN_PATH}


def operations():
    for path, methods in whole_schema()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


CLOSED = [(path, method, operation) for path, method, operation in operations() if path not in OPEN]
NAMES = [f"{method} {path}" for path, method, _ in CLOSED]


def resolved(node):
    while "$ref" in node:
        target = whole_schema()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def contents(operation):
    """(what, media type, its schema and examples) of bodies and answers."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "body", media_type, content
    for status, answer in operation["responses"].items():
        for media_type, content in resolved(answer).get("content", {}).items():
            yield status, media_type, content


class TestSchema:
    def test_is_openapi_3_1(self):
        assert whole_schema()["openapi"].startswith("3.1")
        validate_schema(whole_schema())

    def test_is_the_published_file(self):
        assert PUBLISHED.read_text() == schema_text("yaml"), "run make schema"

    def test_is_made_of_json_schemas(self):
        for name, shape in whole_schema()["components"]["schemas"].items():
            with_name = {"title": name, **shape}
            jsonschema.Draft202012Validator.check_schema(with_name)

    def test_names_each_operation_once(self):
        names = [operation["operationId"] for _, _, operation in operations()]
        assert len(names) == len(set(names))

    def test_names_scopes_there_are(self):
        flow = whole_schema()["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
        assert flow["scopes"].keys() == SCOPES.keys()
        for _, _, operation in CLOSED:
            for way in operation["security"]:
                assert set(way.get("oauth2", [])) <= SCOPES.keys()

    @pytest.mark.parametrize(("path", "method", "operation"), CLOSED, ids=NAMES)
    def test_says_all_of_an_operation(self, path, method, operation):
        assert operation["summary"]
        assert operation["security"]
        refusals = {400, 401, 403, 406, 429} | ({404} if "{" in path else set())
        refusals |= {412, 415, 428} if method in ("put", "patch", "delete") else set()
        refusals |= {413, 415} if "requestBody" in operation else set()
        assert refusals <= {int(status) for status in operation["responses"]}
        for status in refusals:
            assert "application/problem+json" in resolved(operation["responses"][str(status)])["content"]

    @pytest.mark.parametrize(("path", "method", "operation"), CLOSED, ids=NAMES)
    def test_shows_examples_that_fit(self, path, method, operation):
        for what, media_type, content in contents(operation):
            if content["schema"].get("format") == "binary":
                continue  # a workbook or an archive: bytes are no example of anything
            examples = [example["value"] for example in content.get("examples", {}).values()]
            assert examples, f"{what} {media_type}"
            checker = jsonschema.Draft202012Validator({**content["schema"], "components": whole_schema()["components"]})
            for example in examples:
                checker.validate(example)

    def test_refuses_unknown_fields_in_every_body(self):
        for path, method, operation in CLOSED:
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content and content["schema"]:
                assert resolved(content["schema"])["additionalProperties"] is False, (method, path)


@pytest.mark.django_db
class TestSchemaView:
    def test_is_readable_by_anybody(self, client: Client):
        as_yaml, as_json = client.get(SCHEMA_PATH), client.get(f"{SCHEMA_PATH}?format=json")
        assert as_yaml.headers["Content-Type"].startswith("application/yaml")
        assert as_json.headers["Content-Type"].startswith("application/json")
        assert yaml.safe_load(as_yaml.content) == json.loads(as_json.content)

    @pytest.mark.parametrize("query", ["format=xml", "format=json&format=json", "lang=en", "format="])
    def test_refuses_other_forms(self, client: Client, query):
        response = client.get(f"{SCHEMA_PATH}?{query}")
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"

    def test_is_only_read(self, client: Client):
        response = client.post(SCHEMA_PATH)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert response.headers["Content-Type"] == "application/problem+json"
