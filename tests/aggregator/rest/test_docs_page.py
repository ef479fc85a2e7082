import re

import pytest
from django.test import Client

from aggregator.core.permissions import SCOPES
from aggregator.rest.docs_page import fields_of, type_of
from aggregator.rest.schema_whole import whole_schema

SCHEMA = {"components": {"schemas": {"Leaf": {"type": "object", "properties": {"n": {"type": "integer"}}}}}}
LEAF = {"$ref": "#/components/schemas/Leaf"}


@pytest.mark.django_db
@pytest.mark.usefixtures("collected")
class TestDocsPage:
    @pytest.fixture
    def collected(self, settings) -> None:
        settings.STORAGES = {
            **settings.STORAGES,
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        }

    def test_shows_every_operation_to_anybody(self):
        response = Client().get("/docs/")
        assert response.status_code == 200
        page = response.content.decode()
        for path, methods in whole_schema()["paths"].items():
            for method, operation in methods.items():
                assert f'id="{operation["operationId"]}"' in page
                assert f"<strong>{method.upper()}</strong> <code>{path}</code>" in page
        assert all(scope in page for scope in SCOPES)
        assert "600 in 60 s" in page

    def test_names_each_place_in_it_once_and_needs_no_inline_script_or_style(self):
        page = Client().get("/docs/").content.decode()
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert not re.search(r"<script(?![^>]* src=)| style=| on\w+=", page)

    def test_is_where_the_types_of_problems_lead(self):
        response = Client().get("/problems/idempotency.other_request")
        assert (response.status_code, response.headers["Location"]) == (302, "/docs/#refusals")


class TestFieldsOf:
    def test_names_fields_by_their_paths(self):
        node = {
            "required": ["rows"],
            "properties": {
                "rows": {"type": "array", "items": LEAF},
                "one": {"oneOf": [LEAF, {"type": "null"}]},
                "plain": LEAF,
            },
        }
        found = [(field["name"], field["is_required"]) for field in fields_of(SCHEMA, node)]
        assert found == [
            ("rows", True),
            ("rows[].n", False),
            ("one", False),
            ("one.n", False),
            ("plain", False),
            ("plain.n", False),
        ]


class TestTypeOf:
    @pytest.mark.parametrize(
        ("node", "said"),
        [
            ({"type": "integer", "minimum": 1, "maximum": 1000}, "integer, 1 to 1000"),
            ({"type": ["string", "null"], "format": "date-time"}, "string or null (date-time)"),
            ({"type": "string", "enum": ["a", None, ""]}, 'a, null, ""'),
            ({"type": "string", "maxLength": 80}, "string, at most 80 characters"),
        ],
    )
    def test_says_a_type_in_words(self, node, said):
        assert type_of(node) == said
