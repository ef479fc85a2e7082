"""The suite's database: made and migrated by its owner, used as the application's own role."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["HEADROOM_DB_ROLE"] = "owner"  # before the settings are read: the owner makes and migrates the test database
os.environ["PLAIN_HTTP"] = "1"
os.environ.setdefault("SECRET_KEY", "the-suite-is-no-secret-but-long-enough-to-pass")
os.environ.pop("CELERY_BROKER_URL", None)

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from flex import postgres

IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Start the embedded server where no DATABASE_URL names one; give each xdist worker a database of its own."""
    if not settings.DATABASE_URL:
        postgres.ensure_running()
    request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """From here on log in as the application: what it may not do, a test may not do."""
    owner = dict(connection.settings_dict)

    def flush_as_owner(statements: list[str]) -> None:
        with psycopg.connect(**_login(owner), autocommit=True) as session:
            for statement in statements:
                session.execute(statement)

    connection.close()
    connection.settings_dict.update(USER=settings.DATABASE_APP["USER"], PASSWORD=settings.DATABASE_APP["PASSWORD"])
    connection.ops.execute_sql_flush = flush_as_owner
    yield
    connection.close()
    connection.settings_dict.update(USER=owner["USER"], PASSWORD=owner["PASSWORD"])


def _login(database: dict[str, str]) -> dict[str, str]:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {key: str(database[name]) for key, name in names.items() if database[name]}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data; its absence is a failure in CI and a stated skip elsewhere."""
    if not settings.HEADROOM_DATA.is_dir():
        reason = f"the real data is not at {settings.HEADROOM_DATA}; name its folder in HEADROOM_DATA"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    return settings.HEADROOM_DATA
