"""The suite's database: made and migrated by its owner, used as the application's own role.

pytest-django reads the settings before it reads this file, so the suite's wishes are put on the settings.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings

from aggregator.models import work_as_platform
from flex import postgres
from tests.walls.world import World, make_world

hypothesis.settings.register_profile("headroom", deadline=None)  # a busy machine is no counterexample
hypothesis.settings.load_profile("headroom")

IN_CI = os.environ.get("CI") == "true"
os.environ.pop("CELERY_BROKER_URL", None)  # nor do processes the tests start see it
settings.CELERY_BROKER_URL = ""
settings.EVENT_ANCHOR_FILE = Path(tempfile.mkdtemp(prefix="headroom-tests-")) / "event-anchors.jsonl"
os.environ["EVENT_ANCHOR_FILE"] = str(settings.EVENT_ANCHOR_FILE)  # a test's log is not this machine's
settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
settings.PASSWORD_HASHERS.insert(0, "django.contrib.auth.hashers.MD5PasswordHasher")  # a slow hash proves nothing

# Copies: Django writes the test database's name into the dictionary it is given, and the suite the role.
OWNER = dict(settings.DATABASE_OWNER)
APP = dict(settings.DATABASE_APP)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Start the embedded server where no DATABASE_URL names one; give each xdist worker a database of its own."""
    if not settings.DATABASE_URL:
        postgres.ensure_running()
    connection.settings_dict.update(OWNER)
    request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """From here on log in as the application: what it may not do, a test may not do."""
    name = connection.settings_dict["NAME"]

    def flush_as_owner(statements: list[str]) -> None:
        # The event log refuses to be emptied, by its owner too; a test that committed events starts the next one clean.
        triggers = "ALTER TABLE aggregator_event {} TRIGGER event_refuse_truncate"
        with psycopg.connect(**_login({**OWNER, "NAME": name})) as session:
            kept = [_without_published(statement) for statement in statements]
            for statement in (triggers.format("DISABLE"), *kept, triggers.format("ENABLE")):
                session.execute(statement)

    connection.close()
    connection.settings_dict.update({**APP, "NAME": name})
    connection.ops.execute_sql_flush = flush_as_owner
    work_as_platform()  # a test is the platform's own work; a request it makes is its viewer's
    yield
    connection.close()
    connection.settings_dict.update({**OWNER, "NAME": name})


def _without_published(statement: str) -> str:
    """A flush that leaves what migrations filled as it is."""
    return statement.replace('"markets_runcode", ', "").replace(', "markets_runcode"', "")


@pytest.fixture(scope="module")
def world_of_module(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """The world's rows in a transaction that ends with the module, each test's own lying within it.

    A test that commits cannot stand in such a module: it would wait for these rows for ever.
    """
    beside = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    assert not [item.name for item in beside if "transactional_db" in getattr(item, "fixturenames", ())]
    assert not [mark for item in beside for mark in item.iter_markers("django_db") if mark.kwargs.get("transaction")]
    outer = ExitStack()
    with django_db_blocker.unblock():
        outer.enter_context(transaction.atomic())
        made = make_world()
    yield made
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        outer.close()


@pytest.fixture
def world(world_of_module: World, db: None) -> World:
    """Two networks, three DSRSPs and everything each owns, made once a module."""
    return deepcopy(world_of_module)


@pytest.fixture
def owner_login(transactional_db: None) -> dict[str, Any]:
    """What psycopg.connect needs to log in to the suite's database as its owner."""
    return _login({**OWNER, "NAME": connection.settings_dict["NAME"]})


def _login(database: dict[str, Any]) -> dict[str, Any]:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    login = {key: str(database[name]) for key, name in names.items() if database[name]}
    return {**database["OPTIONS"], **login}  # a URL may name the server's socket among its options


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data; its absence is a failure in CI and a stated skip elsewhere."""
    if not settings.HEADROOM_DATA.is_dir():
        reason = f"the real data is not at {settings.HEADROOM_DATA}; name its folder in HEADROOM_DATA"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    return settings.HEADROOM_DATA


@pytest.fixture(scope="session")
def collected_static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    with override_settings(STATIC_ROOT=folder):
        call_command("collectstatic", interactive=False, verbosity=0)
    return folder


@pytest.fixture
def site(settings: Any, collected_static: Path) -> None:
    """The site as it is served: static files collected, hashed and compressed."""
    settings.STATIC_ROOT = collected_static
