"""For whom this connection acts: what PostgreSQL's row-level security lets it see, and what the log says who did it.

Nothing said is nobody: a connection that was told nothing sees no tenant's rows. Commands, workers and tests are the
platform's own work, and say so once, where they start (``work_as_platform``). A request is its viewer's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection
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
    """Make the platform's own work what this process does where nothing else is said."""
    global _default  # noqa: PLW0603 - one fact of the process
    _default = WORK
    if connection.connection is not None:
        _apply(_now())


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
        _apply(who)
        yield
    finally:
        _acting.reset(token)
        _go_back(_now())


def _now() -> tuple[str, str]:
    return _acting.get() or _default


def _apply(who: tuple[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SET, who)


def _go_back(who: tuple[str, str]) -> None:
    """Say again for whom the connection acts; in a transaction that failed, its rollback does."""
    if connection.connection is None or connection.needs_rollback:
        return
    try:
        _apply(who)
    except DatabaseError:
        if not connection.in_atomic_block:
            connection.close()  # a new connection is told anew


def _tell(*, connection: Any, **_signal: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SET, _now())


connection_created.connect(_tell, dispatch_uid="headroom acting")
