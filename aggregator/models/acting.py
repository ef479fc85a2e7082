"""For whom this connection acts: what PostgreSQL's row-level security lets it see, and what the log says who did it.

Nothing said is nobody: a connection that was told nothing sees no tenant's rows. Commands, workers and tests are the
platform's own work, and say so where they start (``work_as_platform``, ``as_platform``). A request is its viewer's.

The connection is told by two settings of its session, which PostgreSQL takes back with whatever is rolled back. So a
block and a transaction may stand in one another but not overlap; then what counts after a rollback is what counted
before it. A connection that is not open is told when it opens, and one that cannot be told is closed: nobody's work is
done under what was said for somebody else. A pool between us and the server must keep sessions apart.

It is a wall against a scope that was forgotten, not against SQL made by a stranger, who could say these words too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import Error, connection
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from aggregator.models.organisations import Organisation

NOBODY = ("", "")
WORK = ("work", "")
SET = "SELECT set_config('headroom.kind', %s, false), set_config('headroom.organisation', %s, false)"
SYSTEM = "system"

_default = NOBODY
_acting: ContextVar[tuple[str, str] | None] = ContextVar("acting", default=None)
_actor: ContextVar[str] = ContextVar("actor", default=SYSTEM)


def work_as_platform() -> None:
    """Make the platform's own work what this process does where nothing else is said, in every thread."""
    global _default  # noqa: PLW0603 - one fact of the process
    if _default != WORK:
        _default = WORK
        _tell(_now())


@contextmanager
def as_platform() -> Iterator[None]:
    """Do the platform's own work: every tenant's rows are there. Each use is a decision to be reviewed."""
    with _acting_as(WORK):
        yield


@contextmanager
def acting_for(organisation: "Organisation") -> Iterator[None]:
    """Act for one organisation: the database shows its rows, and those it may see of others."""
    with _acting_as((organisation.kind, str(organisation.pk))):
        yield


@contextmanager
def as_nobody() -> Iterator[None]:
    with _acting_as(NOBODY):
        yield


@contextmanager
def known_as(actor: str) -> Iterator[None]:
    """Name who acts, for the event log: ``person:amber.operator``, ``machine:…``, ``command:run_cycle``, ``job:12``."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str:
    return _actor.get()


@contextmanager
def _acting_as(who: tuple[str, str]) -> Iterator[None]:
    token = _acting.set(who)
    try:
        _tell(who)
        yield
    finally:
        _acting.reset(token)
        _tell_again(_now())


def _now() -> tuple[str, str]:
    return _acting.get() or _default


def _tell(who: tuple[str, str]) -> None:
    """Tell this thread's connection, if it is open. One that broke is closed, so that the next one is told anew."""
    if connection.connection is None:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(SET, who)
    except Error:
        if connection.in_atomic_block:
            raise
        connection.close()


def _tell_again(who: tuple[str, str]) -> None:
    """Go back to what counted before a block; in a transaction that failed, its rollback does."""
    try:
        _tell(who)
    except Error:
        connection.needs_rollback = True  # whoever swallows the failure must not go on under the block's name


def _tell_new(*, connection: Any, **_signal: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SET, _now())


connection_created.connect(_tell_new, dispatch_uid="headroom acting")
