"""The API needs no static files."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from tests.machines import as_machine, with_csrf
from tests.people import log_in


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    cache.clear()


@pytest.fixture
def client_of(world):
    """A machine of an organisation, with every scope its kind may have."""
    return lambda code: as_machine(world.organisations[code])


@pytest.fixture
def person_of(world):
    """A person of the world, logged in and just confirmed, whose requests carry the CSRF token."""

    def client(name: str) -> Client:
        found = log_in(Client(), User.objects.get(username=name))
        found.defaults["HTTP_X_CSRFTOKEN"] = with_csrf(found)["X-CSRFToken"]
        return found

    return client
