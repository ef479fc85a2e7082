# ruff: noqa: S608 - statements are made of the names of our own tables
"""Change released rows behind every trigger and constraint, as the database's owner can, and verify what is left.

Whoever uses it logs in as the owner for a module, makes its rows as the application in one transaction, and does each
change in a savepoint of its own; what is looked at is looked at as the application.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from aggregator.models import ControlAct, as_platform
from markets.models import SettlementRun
from markets.services.releases import do_release_statements
from tests.factories import make_organisation

RELEASED_AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
Change = Callable[..., None]


def asked(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def rows_of(statement: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def release(settlement: SettlementRun, at: datetime = RELEASED_AT) -> None:
    """Release as a control act does."""
    act = ControlAct(
        kind="release_statements",
        organisation=make_organisation("market", "market_operator"),
        subject="x",
        payload={"settlement": settlement.pk},
        figures={},
        exceeded=[],
        reason="figures agreed",
        state="done",
        asked_as="person:somebody",
        asked_at=at,
        expires_at=at + timedelta(days=1),
    )
    act.save()
    do_release_statements(act=act, now=at)


@contextlib.contextmanager
def as_owner() -> Iterator[None]:
    """Log in as the owner, act as the application in one transaction, and take all back at the end."""
    app = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update({name: settings.DATABASE_OWNER[name] for name in ("USER", "PASSWORD")})
    with as_platform(), contextlib.ExitStack() as stack:
        stack.callback(connection.settings_dict.update, app)
        stack.callback(connection.close)
        with transaction.atomic():
            asked(f"GRANT {_role()} TO CURRENT_USER")
            asked(f"SET LOCAL ROLE {_role()}")
            yield
            transaction.set_rollback(True)


@contextlib.contextmanager
def tampering(*, unbound: bool = False) -> Iterator[Change]:
    """Give what changes rows as the owner with every trigger off; all is taken back at the end.

    Args:
        unbound: drop the table's constraints and unique indexes first, too.
    """
    with transaction.atomic():

        def change(statement: str, *values: object) -> None:
            asked("RESET ROLE")
            _silence(statement, unbound=unbound)
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                assert cursor.rowcount >= 1, statement
            asked(f"SET LOCAL ROLE {_role()}")

        yield change
        transaction.set_rollback(True)


def verify(*words: str) -> tuple[int, str]:
    """Exit code and words of the command."""
    said = StringIO()
    try:
        call_command("verify_statement", *words, stdout=said)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def _role() -> str:
    return connection.ops.quote_name(settings.DATABASE_APP_ROLE)


def _silence(statement: str, *, unbound: bool) -> None:
    """Every trigger of the session where the owner may say so, else those of ours on the table it changes."""
    found = re.search(r"(?:UPDATE|INTO|FROM) (\w+)", statement)
    assert found
    table = found[1]
    asked("SET CONSTRAINTS ALL IMMEDIATE")
    asked("SET CONSTRAINTS ALL DEFERRED")
    if unbound:
        _unbind(table)
    ((is_super,),) = rows_of("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if is_super:
        asked("SET LOCAL session_replication_role = replica")
    else:
        asked(f"ALTER TABLE {table} DISABLE TRIGGER USER")


def _unbind(table: str) -> None:
    of_table = "conrelid = %s::regclass AND contype IN ('c', 'u', 'x', 'f', 'p') OR confrelid = %s::regclass"
    bound = f"SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE conparentid = 0 AND ({of_table})"
    for whose, name in rows_of(bound, table, table):
        asked(f'ALTER TABLE {whose} DROP CONSTRAINT IF EXISTS "{name}" CASCADE')
    unique = "indrelid = %s::regclass AND indisunique AND NOT indisprimary"
    for (name,) in rows_of(f"SELECT indexrelid::regclass::text FROM pg_index WHERE {unique}", table):
        asked(f"DROP INDEX IF EXISTS {name}")
