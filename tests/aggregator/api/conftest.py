"""The API over two networks and three DSRSPs; static files are not needed."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests.machines import as_machine


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    cache.clear()


@pytest.fixture
def machines(world) -> dict[str, Client]:
    """A client of each organisation with every scope."""
    return {code: as_machine(organisation) for code, organisation in world.organisations.items()}


@pytest.fixture
def alpha(machines) -> Client:
    return machines["alpha"]


@pytest.fixture
def north(machines) -> Client:
    return machines["north"]


def found(client: Client, path: str, **query: Any) -> Any:
    """What a good answer holds."""
    response = client.get(f"/api/v1/{path}", query)
    assert response.status_code == 200, response.content
    return response.json()


def status(client: Client, path: str, **query: Any) -> int:
    response = client.get(f"/api/v1/{path}", query)
    if response.status_code >= 400:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert json.loads(response.content)["status"] == response.status_code
    return response.status_code
