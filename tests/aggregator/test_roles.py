from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
from django.conf import settings
from django.db import ProgrammingError, connection, transaction
from psycopg import sql

from aggregator.models import MeterDay
from aggregator.roles import ensure_app_role, grant_app_role
from tests.factories import make_meter
from tests.walks.small_area import make_batch

pytestmark = pytest.mark.django_db

APPEND_ONLY = (
    "aggregator_event",
    "aggregator_meterday",
    "markets_settlementrun",
    "markets_statement",
    "markets_statementline",
    "markets_statementrelease",
    "markets_instruction",
)
IS_WAITING = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


def ask(statement: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def refuse(statement: str) -> None:
    """The server says that this role may not."""
    with pytest.raises(ProgrammingError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege), refused.value


class TestApplicationRole:
    def test_is_who_the_suite_logs_in_as(self):
        assert ask("SELECT current_user, session_user") == [(settings.DATABASE_APP_ROLE,) * 2]

    def test_has_no_power_beyond_its_rows(self):
        (attributes,) = ask(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles "
            "WHERE rolname = current_user"
        )
        assert attributes == (False,) * 5

    def test_owns_nothing(self):
        owned = ask(
            "SELECT relname FROM pg_class WHERE relowner = current_user::regrole "
            "UNION ALL SELECT proname FROM pg_proc WHERE proowner = current_user::regrole "
            "UNION ALL SELECT nspname FROM pg_namespace WHERE nspowner = current_user::regrole "
            "UNION ALL SELECT datname FROM pg_database WHERE datdba = current_user::regrole"
        )
        assert owned == []

    def test_is_a_member_of_no_other_role(self):
        assert ask("SELECT roleid::regrole FROM pg_auth_members WHERE member = current_user::regrole") == []

    def test_may_read_and_add_to_every_table(self):
        tables = ask(
            "SELECT relname, has_table_privilege(oid, 'SELECT'), has_table_privilege(oid, 'INSERT') FROM pg_class "
            "WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition"
        )
        assert len(tables) > 30
        for name, may_read, may_add in tables:
            assert (may_read, may_add) == (True, name != "django_migrations"), name

    @pytest.mark.parametrize(
        "statement",
        [
            "CREATE TABLE mine (a int)",
            "DROP TABLE aggregator_evse",
            "ALTER TABLE aggregator_evse DISABLE TRIGGER ALL",
            "ALTER TABLE aggregator_enrolment DROP CONSTRAINT enrolment_one_dsrsp_at_a_time",
            "CREATE INDEX mine ON aggregator_evse (pseudonym)",
            "TRUNCATE aggregator_finding",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
            "DELETE FROM django_migrations",
            "CREATE ROLE mine",
            "SET session_replication_role = replica",
        ],
    )
    def test_may_not_change_the_house(self, statement):
        refuse(statement)

    @pytest.mark.parametrize("table", APPEND_ONLY)
    @pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {} = {}", "TRUNCATE {}"])
    def test_may_not_change_or_remove_what_was_published_or_metered(self, table, statement):
        column = {"aggregator_meterday": "received_at", "aggregator_event": "sequence"}.get(table, "id")
        refuse(statement.format(table, column, column))

    def test_may_not_reach_a_month_of_readings_past_its_table(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT aggregator_meterday_partition('2026-01-15'::date)")
            (partition,) = cursor.fetchone()
        for statement in ("SELECT * FROM {}", "DELETE FROM {}", "UPDATE {} SET received_at = now()", "DROP TABLE {}"):
            refuse(statement.format(partition))

    def test_may_make_a_month_of_readings_through_the_function_alone(self):
        make_month = "SELECT aggregator_meterday_partition(%s::date)"
        assert ask(make_month, "2031-05-31") == ask(make_month, "2031-05-01") == [("aggregator_meterday_2031_05",)]
        meter = make_meter()
        batch = make_batch(meter.organisation)
        MeterDay(
            day=date(2031, 5, 31),
            meter=meter,
            batch=batch,
            organisation=meter.organisation,
            received_at=batch.received_at,
            energy_kwh=[None] * 48,
        ).save(force_insert=True)
        assert MeterDay.objects.across_tenants().get().day == date(2031, 5, 31)

    def test_may_not_save_a_meter_day_again(self):
        meter = make_meter()
        batch = make_batch(meter.organisation)
        ask("SELECT aggregator_meterday_partition(%s::date)", "2026-01-15")
        row = MeterDay(
            day=date(2026, 1, 15),
            meter=meter,
            batch=batch,
            organisation=meter.organisation,
            received_at=batch.received_at,
            energy_kwh=[0.5] * 48,
        )
        row.save(force_insert=True)
        for change in (
            lambda: MeterDay.objects.across_tenants().update(energy_kwh=[9.0] * 48),
            lambda: MeterDay.objects.across_tenants().delete(),
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                change()
        assert MeterDay.objects.across_tenants().get().energy_kwh == [0.5] * 48


class _Session:
    """What ``roles`` says to the server, and a server that answers."""

    def __init__(self, known: bool) -> None:
        self.said: list[str] = []
        self.known = known

    def execute(self, query: sql.Composable, params: None = None) -> None:
        self.said.append(query.as_string(None))

    def fetchone(self) -> tuple[int] | None:
        return (1,) if self.known else None


class TestEnsureAppRole:
    def test_makes_a_missing_role_without_any_power(self):
        session = _Session(known=False)
        ensure_app_role(session, 'odd"name', "it's secret")
        assert (
            'CREATE ROLE "odd""name" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS '
            "PASSWORD 'it''s secret';"
        ) in session.said[1]

    def test_makes_it_without_a_password_where_none_is_given(self):
        session = _Session(known=False)
        ensure_app_role(session, "app", "")
        assert "PASSWORD" not in session.said[1]

    def test_sets_a_known_roles_password_anew(self):
        session = _Session(known=True)
        ensure_app_role(session, "app", "new")
        (said,) = session.said[1:]
        assert "ALTER ROLE \"app\" PASSWORD 'new';" in said

    def test_waits_for_who_sets_it_at_the_same_time(self, owner_login):
        """As two databases of one server do that are prepared at once."""
        with (
            psycopg.connect(**owner_login) as first,
            psycopg.connect(**owner_login, autocommit=True) as second,
            psycopg.connect(**owner_login, autocommit=True) as watch,  # sees afresh what a transaction sees once
        ):
            ensure_app_role(first.cursor(), "headroom_raced", "")
            first.commit()
            try:
                ensure_app_role(first.cursor(), "headroom_raced", "one")
                with ThreadPoolExecutor(1) as pool:
                    waiting = pool.submit(ensure_app_role, second.cursor(), "headroom_raced", "two")
                    while not watch.execute(IS_WAITING, [second.info.backend_pid]).fetchone():
                        assert not waiting.done(), "the server let two set one role at once"
                    first.commit()
                    waiting.result(timeout=10)
            finally:
                first.rollback()
                watch.execute("DROP ROLE headroom_raced")

    def test_leaves_a_known_role_without_a_password_alone(self):
        session = _Session(known=True)
        ensure_app_role(session, "app", "")
        assert len(session.said) == 1


class TestGrantAppRole:
    def test_grants_rows_and_never_the_record_of_migrations(self):
        session = _Session(known=True)
        grant_app_role(session, "app")
        assert all('"app"' in statement for statement in session.said)
        assert not any("TRUNCATE" in statement or "ALL PRIVILEGES" in statement for statement in session.said)
        assert session.said.index('REVOKE ALL ON TABLE public.django_migrations FROM "app"') > session.said.index(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "app"'
        )
