# ruff: noqa: S608 - statements are made of the names of our own tables
"""The second wall, row by row: each audience sees exactly its own, and every policy is needed for that.

The module logs in as the owner, makes its rows in one transaction and asks as the application's role, so that a policy
can be dropped, loosened or replaced within a savepoint. Rows are read without any scope, as if the first wall had been
forgotten everywhere.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from itertools import chain

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.db import Error, ProgrammingError, connection, models, transaction

from aggregator import policies as ground
from aggregator.models import acting_for, as_nobody, as_platform
from aggregator.row_security import KeysOf, Policy
from dispatch import part_policies as parts
from dispatch import policies as middle
from dispatch import spared_policies
from markets import cause_policies as causes
from markets import control_group_policies, invoice_policies, run_evidence_policies, settlement_policies
from markets import ledger_policies as ledger
from markets import nomination_policies as nominations
from markets import policies as top
from markets import settled_policies as settled
from markets import trading_policies as trading
from markets import volume_policies as volumes
from tests.walls.rows import KINDS, Rows, make_rows

pytestmark = [
    pytest.mark.django_db,  # each test's own transaction stands within the module's
    pytest.mark.xdist_group("row security"),  # who may be the application's role is the whole server's to know
]

POLICIES = (
    *ground.POLICIES,
    *middle.POLICIES,
    *parts.POLICIES,
    *spared_policies.POLICIES,
    *top.POLICIES,
    *trading.POLICIES,
    *ledger.POLICIES,
    *settled.POLICIES,
    *settlement_policies.POLICIES,
    *volumes.POLICIES,
    *causes.POLICIES,
    *nominations.POLICIES,
    *control_group_policies.POLICIES,
    *invoice_policies.POLICIES,
    *run_evidence_policies.POLICIES,
)
FUNCTIONS = (
    *ground.FUNCTIONS,
    *middle.FUNCTIONS,
    *top.FUNCTIONS,
    *trading.FUNCTIONS,
    *ledger.FUNCTIONS,
    *nominations.FUNCTIONS,
    *invoice_policies.FUNCTIONS,
)
BOUND = tuple(dict.fromkeys(policy.table for policy in POLICIES))
AUDIENCES = (*KINDS, "nobody", "work")
READERS = (*KINDS, "nobody")
# Tables of ours that no policy binds, each for its reason.
FREE = {
    "aggregator_organisation": "who takes part is no secret between those who do",
    "aggregator_membership": "read to learn for whom a person asks",
    "aggregator_machineclient": "read to learn for whom a token asks",
    "aggregator_csms": "a catalogue to register EVSEs at",
    "aggregator_tariff": "published",
    "aggregator_tariffday": "published",
    "aggregator_carbonday": "published",
    "markets_market": "published",
    "markets_product": "published",
    "markets_primacyrule": "published",
    "markets_stackingrule": "published",
    "markets_runcode": "published",
}
# Rows of the platform's work, all read alike: by the platform, or by nobody.
OF_THE_WORK = ("aggregator_job", *dict.fromkeys(policy.table for policy in parts.POLICIES))
OTHERS = ("auth_", "django_", "otp_", "axes_", "oauth2_provider_")


def our_models() -> list[type[models.Model]]:
    ours = [apps.get_app_config(name) for name in ("aggregator", "dispatch", "markets")]
    return list(chain.from_iterable(app.get_models(include_auto_created=True) for app in ours))


MODELS = {model._meta.db_table: model for model in our_models()}


def asked(statement: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def as_app() -> None:
    asked(f"SET LOCAL ROLE {connection.ops.quote_name(settings.DATABASE_APP_ROLE)}")


def as_owner() -> None:
    asked("RESET ROLE")


@pytest.fixture(scope="module")
def rows(django_db_setup: None, django_db_blocker) -> Iterator[Rows]:
    """The rows, asked for as the application; all is taken back at the module's end."""
    app = dict(connection.settings_dict)
    login = {name: settings.DATABASE_OWNER[name] for name in ("USER", "PASSWORD")}
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(login)
        with as_platform(), contextlib.ExitStack() as stack:
            stack.callback(connection.settings_dict.update, app)
            stack.callback(connection.close)
            with transaction.atomic():
                asked(f"GRANT {connection.ops.quote_name(settings.DATABASE_APP_ROLE)} TO CURRENT_USER")
                made = make_rows()
                as_app()
                yield made
                transaction.set_rollback(True)


@pytest.fixture
def tampered(rows: Rows) -> Iterator[Callable[[str], None]]:
    """Change the schema as the owner for one test, and look as the application."""
    with transaction.atomic():

        def tamper(statement: str) -> None:
            as_owner()
            asked(statement)
            as_app()

        yield tamper
        transaction.set_rollback(True)


@contextlib.contextmanager
def acting_as(rows: Rows, name: str) -> Iterator[None]:
    ways = {"work": as_platform, "nobody": as_nobody}
    with ways[name]() if name in ways else acting_for(rows.organisations[name]):
        yield


def seen(rows: Rows, model: type[models.Model], name: str) -> set[object]:
    """Keys of all rows the database shows; the managers' own wall is passed by."""
    with acting_as(rows, name):
        return set(models.QuerySet(model).values_list("pk", flat=True))


def differences(rows: Rows, tables: tuple[str, ...], audiences: tuple[str, ...] = AUDIENCES) -> list[str]:
    """Which audiences see something else than they are to see, and where."""
    return [
        f"{name} at {table}"
        for table in tables
        for name in audiences
        if seen(rows, MODELS[table], name) != rows.seen_by(MODELS[table], name)
    ]


class TestEveryTable:
    def test_is_bound_or_free_for_a_reason(self):
        assert set(MODELS) == {*BOUND, *FREE}
        assert not set(BOUND) & set(FREE)

    def test_is_bound_in_the_database(self, rows):
        found = asked(
            "SELECT relname, relrowsecurity FROM pg_class "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
        )
        ours = {table: is_bound for table, is_bound in found if not table.startswith(OTHERS)}
        assert {table for table, is_bound in ours.items() if is_bound} == set(BOUND)
        assert {table for table, is_bound in ours.items() if not is_bound} == set(FREE)

    def test_has_the_policies_of_its_page_and_no_other(self, rows):
        found = asked("SELECT tablename, policyname, cmd FROM pg_policies WHERE schemaname = 'public'")
        assert set(found) == {(one.table, one.name, "ALL" if one.may_write else "SELECT") for one in POLICIES}

    def test_has_the_expressions_of_its_page(self, rows, tampered):
        """Made anew from the page, every policy reads as it does in the database."""
        text = "SELECT tablename, policyname, qual, with_check FROM pg_policies ORDER BY 1, 2"
        before = asked(text)
        for policy in POLICIES:
            tampered(f"DROP POLICY {policy.name} ON {policy.table}")
            tampered(policy.sql())
        assert asked(text) == before

    def test_has_the_functions_of_its_page(self, rows, tampered):
        text = (
            "SELECT proname, prosrc, prosecdef, proconfig, provolatile FROM pg_proc WHERE proname = ANY(%s) ORDER BY 1"
        )
        names = [function.name for function in FUNCTIONS]
        before = asked(text, names)
        assert len(before) == len(names)
        for function in FUNCTIONS:
            tampered(function.sql())
        assert asked(text, names) == before

    def test_looks_its_settings_up_once_a_statement(self):
        for policy in POLICIES:
            assert not re.search(r"(?<!\(SELECT )headroom_", policy.using), policy
            assert not re.search(r"(?<!\(SELECT )(aggregator|dispatch|markets)_\w+\(\)", policy.using), policy

    def test_has_every_row_stated_here_and_readers_that_differ(self, rows):
        """Else what is below would prove little."""
        for table in BOUND:
            stated = rows.readers[MODELS[table]]
            assert seen(rows, MODELS[table], "work") == set(stated), table
            assert len(set(stated.values())) > 1 or table in OF_THE_WORK, table


@pytest.mark.parametrize("name", AUDIENCES)
@pytest.mark.parametrize("table", BOUND)
class TestAudience:
    def test_sees_exactly_its_own(self, rows, table, name):
        assert seen(rows, MODELS[table], name) == rows.seen_by(MODELS[table], name)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.table}-{policy.name}")
class TestPolicy:
    def test_is_needed(self, rows, tampered, policy: Policy):
        tampered(f"DROP POLICY {policy.name} ON {policy.table}")
        assert differences(rows, (policy.table,))

    def test_is_needed_as_narrow_as_it_is(self, rows, tampered, policy: Policy):
        tampered(f"ALTER POLICY {policy.name} ON {policy.table} USING (true)")
        assert differences(rows, (policy.table,))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
class TestFunction:
    def test_says_no_key_too_few(self, rows, tampered, function: KeysOf):
        tampered(KeysOf(function.name, "SELECT 1::bigint WHERE false").sql())
        assert differences(rows, tables_asking(function))

    def test_says_no_key_too_many(self, rows, tampered, function: KeysOf):
        largest = max(pk for keys in rows.readers.values() for pk in keys if isinstance(pk, int))
        tampered(KeysOf(function.name, f"SELECT generate_series(1, {largest})::bigint").sql())
        assert differences(rows, tables_asking(function))


def tables_asking(function: KeysOf) -> tuple[str, ...]:
    """Tables with a policy that asks the function, or another one that does."""
    askers = {function.name}
    for _ in FUNCTIONS:
        askers |= {one.name for one in FUNCTIONS if any(f"{name}()" in one.query for name in askers)}
    found = [policy.table for policy in POLICIES if any(f"{name}()" in policy.using for name in askers)]
    return tuple(dict.fromkeys(found))


def written(rows: Rows, name: str, statement: str) -> int:
    """How many rows an audience's statement writes; one that is refused writes none."""
    try:
        with acting_as(rows, name), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            count = cursor.rowcount
            transaction.set_rollback(True)
    except ProgrammingError as refusal:
        if isinstance(refusal.__cause__, psycopg.errors.InsufficientPrivilege):
            return 0
        raise
    return count


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("table", BOUND)
class TestReader:
    """Whoever reads does not write, but for the two tables a request writes for its own organisation."""

    def test_changes_and_removes_nothing_but_its_own(self, rows, table, name):
        own = len(rows.seen_by(MODELS[table], name)) if table in ground.OWNER_WRITES else 0
        column = columns_of(table)[0]
        assert written(rows, name, f"UPDATE {table} SET {column} = {column}") == own
        assert written(rows, name, f"DELETE FROM {table}") == own

    def test_adds_nothing_that_is_not_its_own(self, rows, tampered, table, name):
        """Each row there is, brought once more: refused by the wall, or, where it is open, by its unique key."""
        role = connection.ops.quote_name(settings.DATABASE_APP_ROLE)
        tampered(f"CREATE TEMP TABLE again AS SELECT row_number() OVER () AS n, it.* FROM {table} AS it")
        tampered(f"GRANT SELECT ON again TO {role}")
        columns = ", ".join(columns_of(table))
        for (n,) in asked("SELECT n FROM again"):
            owner = "no one"
            if table in ground.OWNER_WRITES:
                ((owner,),) = asked(
                    "SELECT code FROM again JOIN aggregator_organisation AS o ON o.id = organisation_id WHERE n = %s", n
                )
            refusal = refused(rows, name, f"INSERT INTO {table} ({columns}) SELECT {columns} FROM again WHERE n = {n}")
            if table == "aggregator_event":  # its trigger is asked first
                assert "does not follow the last event" in refusal
            else:
                assert ("duplicate key" if owner == name else "row-level security") in refusal


def columns_of(table: str) -> list[str]:
    fields = MODELS[table]._meta.local_fields
    return [connection.ops.quote_name(field.column) for field in fields if field.column]


def refused(rows: Rows, name: str, statement: str) -> str:
    """What the server says to a statement of this audience; empty where it does it."""
    try:
        with acting_as(rows, name), transaction.atomic():
            asked(statement)
            transaction.set_rollback(True)
    except Error as error:
        return str(error)
    return ""


class TestOwner:
    @pytest.mark.parametrize("table", ground.OWNER_WRITES)
    def test_gives_nothing_of_its_own_to_another(self, rows, table):
        blue = rows.organisations["blue"].pk
        assert "row-level security" in refused(rows, "amber", f"UPDATE {table} SET organisation_id = {blue}")


class TestPartition:
    """A month of readings, come upon past its table."""

    @pytest.fixture
    def partitions(self, rows, tampered) -> list[str]:
        asked("SELECT aggregator_meterday_partition('2031-05-01')")
        children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'aggregator_meterday'::regclass"
        return [name for (name,) in asked(children)]

    def test_is_bound_from_its_making(self, partitions):
        assert len(partitions) >= 3
        bound = "SELECT bool_and(relrowsecurity) FROM pg_class WHERE oid::regclass::text = ANY(%s)"
        assert asked(bound, partitions) == [(True,)]

    def test_may_not_be_asked(self, rows, partitions):
        for partition in partitions:
            assert "permission denied" in refused(rows, "work", f"SELECT * FROM {partition}")

    def test_shows_nothing_to_anybody_who_was_let_in(self, rows, partitions, tampered):
        role = connection.ops.quote_name(settings.DATABASE_APP_ROLE)
        for partition in partitions:
            tampered(f"GRANT SELECT ON {partition} TO {role}")
            for name in AUDIENCES:
                with acting_as(rows, name):
                    assert asked(f"SELECT count(*) FROM {partition}") == [(0,)]
        assert len(asked("SELECT 1 FROM aggregator_meterday")) == len(rows.readers[MODELS["aggregator_meterday"]])
