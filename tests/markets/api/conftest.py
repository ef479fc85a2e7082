"""The API needs no static files."""

import pytest
from django.core.cache import cache
from django.test import Client

from tests.machines import as_machine
from tests.people import log_in
from tests.walls.world import World, make_world


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    cache.clear()


@pytest.fixture
def world(db) -> World:
    return make_world()


@pytest.fixture
def client_of(world):
    """A machine of an organisation, with every scope its kind may have."""
    return lambda code: as_machine(world.organisations[code])


@pytest.fixture
def person_of(world):
    """A person of the world, logged in and just confirmed."""
    from django.contrib.auth.models import User

    return lambda name: log_in(Client(), User.objects.get(username=name))
