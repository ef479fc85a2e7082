from collections.abc import Callable

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from psycopg import sql

SITE = {
    "ALLOWED_HOSTS": ["flex.example"],
    "DEBUG": False,
    "PLAIN_HTTP": False,
    "SECRET_KEY": "7vXq2mZk9LrT4bWc8NdP1sFh6JgY3aUe5oRi",
    "SECRET_KEY_IS_GENERATED": False,
    "SIGNING_KEY_IS_GENERATED": False,
    "DATABASE_URL": "postgres://owner:secret@db.example/flex",
    "DATABASE_APP_URL": "postgresql://app:secret@db.example/flex",
    "CELERY_BROKER_URL": "rediss://broker.example/0",
    "HEADROOM_DB_ROLE": "app",
    "JOB_LEASE_S": 60,
    "JOB_SWEEP_S": 15,
}
TRIAL = SITE | {
    "ALLOWED_HOSTS": ["127.0.0.1", "localhost", "[::1]"],
    "SECRET_KEY_IS_GENERATED": True,
    "SIGNING_KEY_IS_GENERATED": True,
    "DATABASE_URL": "",
    "DATABASE_APP_URL": "",
    "CELERY_BROKER_URL": "",
}


@pytest.fixture
def found_with(settings) -> Callable[..., set[str]]:
    """Say which of our checks complain of these settings."""

    def check(values: dict[str, object], *, is_deployment: bool = False, **changes: object) -> set[str]:
        for name, value in (values | changes).items():
            setattr(settings, name, value)
        messages = run_checks(include_deployment_checks=is_deployment)
        return {message.id for message in messages if message.id.startswith("flex.")}

    return check


class TestCheckSettings:
    def test_accepts_a_trial_on_one_machine(self, found_with):
        assert found_with(TRIAL) == set()

    def test_accepts_plain_http_and_debug_on_loopback(self, found_with):
        assert found_with(TRIAL, PLAIN_HTTP=True, DEBUG=True) == set()

    def test_accepts_a_site_that_names_everything(self, found_with):
        assert found_with(SITE, is_deployment=True) == set()

    @pytest.mark.parametrize(
        ("unsafe", "code"),
        [
            ({"DEBUG": True}, "flex.E003"),
            ({"PLAIN_HTTP": True}, "flex.E004"),
            ({"SECRET_KEY_IS_GENERATED": True}, "flex.E005"),
            ({"ALLOWED_HOSTS": ["*"]}, "flex.E006"),
            ({"ALLOWED_HOSTS": ["127.0.0.1", "*"]}, "flex.E006"),
            ({"DATABASE_URL": ""}, "flex.E007"),
            ({"SIGNING_KEY_IS_GENERATED": True}, "flex.E014"),
        ],
    )
    def test_refuses_beyond_loopback(self, found_with, unsafe, code):
        assert found_with(SITE, **unsafe) == {code}

    def test_counts_one_host_beyond_loopback_among_others(self, found_with):
        hosts = [*TRIAL["ALLOWED_HOSTS"], "10.1.2.3"]
        assert found_with(TRIAL, ALLOWED_HOSTS=hosts, DEBUG=True, PLAIN_HTTP=True) == {
            "flex.E003",
            "flex.E004",
            "flex.E005",
            "flex.E014",
            "flex.E007",
        }

    @pytest.mark.parametrize("values", [TRIAL, SITE], ids=["trial", "site"])
    @pytest.mark.parametrize(
        ("nonsense", "code"),
        [
            ({"SECRET_KEY": "7vXq2mZk9LrT4bWc8NdP1sFh6JgY3aU"}, "flex.E001"),
            ({"SECRET_KEY": "ab" * 32}, "flex.E001"),
            ({"HEADROOM_DB_ROLE": "root"}, "flex.E002"),
            ({"JOB_LEASE_S": 0}, "flex.E009"),
            ({"JOB_SWEEP_S": -1}, "flex.E009"),
            ({"SESSION_LOCK_S": 0}, "flex.E009"),
            ({"CONFIRMED_FOR_S": 0}, "flex.E009"),
            ({"CONTROL_ACT_EXPIRES_S": 0}, "flex.E009"),
            ({"CELERY_TASK_DEFAULT_QUEUE": ""}, "flex.E010"),
            ({"CELERY_BROKER_URL": "filesystem://"}, "flex.E010"),
            ({"CELERY_BROKER_URL": "127.0.0.1:6379"}, "flex.E010"),
            ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "flex.E010"),
            ({"DATABASE_APP_URL": "mysql://app@db.example/flex"}, "flex.E010"),
        ],
    )
    def test_refuses_anywhere(self, found_with, values, nonsense, code):
        assert code in found_with(values, **nonsense)

    def test_shows_no_password(self, settings):
        settings.DATABASE_URL = "mysql://owner:hunter2@db.example/flex"
        assert "hunter2" not in " ".join(message.msg for message in run_checks())

    def test_stops_a_command(self, settings):
        for name, value in (SITE | {"DEBUG": True}).items():
            setattr(settings, name, value)
        with pytest.raises(SystemCheckError, match=r"flex\.E003"):
            call_command("run_jobs", "--once", skip_checks=False)


class TestCheckCap:
    @pytest.mark.parametrize(
        ("cap_mw", "found"), [(270, set()), (299.9, set()), (300, {"flex.W001"}), (303, {"flex.W001"})]
    )
    def test_warns_of_an_essential_service(self, found_with, cap_mw, found):
        assert found_with(SITE, CONTROLLABLE_CAP_MW=cap_mw) == found


class TestCheckDeployedRole:
    def test_refuses_a_deployment_that_logs_in_as_the_owner(self, found_with):
        assert found_with(SITE, is_deployment=True, HEADROOM_DB_ROLE="owner") == {"flex.E011"}

    def test_lets_the_owner_migrate(self, found_with):
        assert found_with(SITE, HEADROOM_DB_ROLE="owner") == set()


def messages_of_the_role() -> list[str]:
    return [message.msg for message in run_checks(databases=["default"]) if message.id == "flex.E008"]


@pytest.mark.django_db(transaction=True)
class TestCheckDatabaseRole:
    @pytest.fixture(autouse=True)
    def as_app(self, settings) -> None:
        settings.HEADROOM_DB_ROLE = "app"

    @pytest.fixture
    def as_owner(self, owner_login, monkeypatch):
        """Log in as the owner, as a site does whose DATABASE_APP_URL names the wrong role."""
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "USER", owner_login["user"])
        monkeypatch.setitem(connection.settings_dict, "PASSWORD", owner_login.get("password", ""))
        yield
        connection.close()

    def test_accepts_the_role_the_migrations_made(self):
        assert messages_of_the_role() == []

    def test_refuses_the_owner(self, as_owner):
        assert len(messages_of_the_role()) == 1
        assert "owns things" in messages_of_the_role()[0]
        with pytest.raises(SystemCheckError, match=r"flex\.E008"):
            call_command("check", databases=["default"])

    def test_lets_the_owner_be_the_owner(self, as_owner, settings):
        settings.HEADROOM_DB_ROLE = "owner"
        assert messages_of_the_role() == []

    def test_asks_no_database_unless_told_to(self, as_owner):
        assert [message.id for message in run_checks() if message.id == "flex.E008"] == []

    def test_refuses_a_role_that_may_create_tables(self, owner_login):
        grant = sql.SQL("{} CREATE ON SCHEMA public {} {}")
        role = sql.Identifier(connection.settings_dict["USER"])
        with psycopg.connect(**owner_login, autocommit=True) as owner:
            owner.execute(grant.format(sql.SQL("GRANT"), sql.SQL("TO"), role))
            try:
                assert messages_of_the_role() == ["The database role the application logs in as may create tables."]
            finally:
                owner.execute(grant.format(sql.SQL("REVOKE"), sql.SQL("FROM"), role))

    def test_refuses_a_role_that_can_become_the_owner(self, owner_login):
        """Membership is enough: SET ROLE does the rest."""
        role = sql.Identifier(f"{connection.settings_dict['NAME']}_check")  # roles are the whole server's
        app = sql.Identifier(connection.settings_dict["USER"])
        with psycopg.connect(**owner_login, autocommit=True) as owner:

            def execute(*statements: str) -> None:
                for statement in statements:
                    owner.execute(sql.SQL(statement).format(role=role, app=app))

            execute("CREATE ROLE {role} NOLOGIN", "GRANT {role} TO CURRENT_USER")
            try:
                execute("CREATE SCHEMA {role} AUTHORIZATION {role}")
                assert messages_of_the_role() == []
                execute("GRANT {role} TO {app}")
                assert messages_of_the_role() == ["The database role the application logs in as owns things."]
            finally:
                execute("DROP SCHEMA IF EXISTS {role}", "DROP ROLE {role}")
