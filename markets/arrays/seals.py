"""SHA-256 of stored rows, worked out by the database over each row's binary form, whatever order they stand in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from django.db import connection
from psycopg import sql

from aggregator.core.types import IntArray
from markets.models import Invoice, InvoiceSeal, SettlementRun, SettlementSeal

DIGEST = """
SELECT part, count(*), encode(sha256(coalesce(string_agg(row_sha256, ''::bytea ORDER BY row_sha256),
    ''::bytea)), 'hex')
FROM (
    SELECT {part} AS part, sha256(record_send(ROW({columns}))) AS row_sha256 FROM {table} {join} WHERE {where}
) AS found GROUP BY 1
"""
COLUMNS_OF = """
SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s
"""
# What of a row may change after a release without changing what was settled.
MAY_CHANGE = {
    # A trade moves on by its deadlines when it is read; what it states is never changed.
    **dict.fromkeys(
        ("markets_market", "markets_flexrequest", "markets_flexoffer", "markets_contract", "markets_flexorder"),
        frozenset({"state"}),
    ),
    # Written once its act is done, and the release is part of that.
    "aggregator_controlact": frozenset({"state", "outcome"}),
}
READINGS_TABLE, BATCHES = "aggregator_meterday", "aggregator_batch"
READINGS = SettlementSeal.Kind.READINGS
PART_WORDS, UNREADABLE = 3, "unreadable"
NOTHING_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Seal:
    """What some stored rows digest to; see ``SettlementSeal``."""

    kind: str
    part: str
    columns: tuple[str, ...]
    n_row: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReadDays:
    """The meter-days a settlement could have read: UTC days, both included, received until a time."""

    meter_pks: IntArray
    first_day: date
    last_day: date
    as_of: datetime


def reading_seals(days: ReadDays, columns: Sequence[str] = (), table: str = READINGS_TABLE) -> list[Seal]:
    """A seal a UTC day, also of days without a row.

    Args:
        columns: what to digest of a row; empty for every column.
        table: ``READINGS_TABLE``, or ``BATCHES`` for the batches that brought a day's readings.
    """
    digested = tuple(columns) or columns_of(table)
    of_meters = sql.SQL("JOIN unnest({}::bigint[]) AS wanted (id) ON wanted.id = meter_id").format(
        sql.Literal(days.meter_pks.tolist())
    )
    received = sql.SQL("day BETWEEN {} AND {} AND {}.received_at <= {}").format(
        sql.Literal(days.first_day), sql.Literal(days.last_day), sql.Identifier(READINGS_TABLE), sql.Literal(days.as_of)
    )
    brought = sql.SQL(
        "JOIN (SELECT DISTINCT day, batch_id FROM {readings} {of_meters} WHERE {received}) AS brought "
        "ON brought.batch_id = {batches}.id"
    ).format(
        readings=sql.Identifier(READINGS_TABLE),
        of_meters=of_meters,
        received=received,
        batches=sql.Identifier(BATCHES),
    )
    is_batches = table == BATCHES
    statement = _digest(
        table,
        digested,
        part=sql.SQL("day::text"),
        join=brought if is_batches else of_meters,
        where=sql.SQL("true") if is_batches else received,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = {part: (n_row, sha256) for part, n_row, sha256 in cursor.fetchall()}
    n_day = (days.last_day - days.first_day).days + 1
    return [
        Seal(READINGS, f"{table} {day}", digested, *found.get(day, (0, NOTHING_SHA256)))
        for day in ((days.first_day + n * ONE_DAY).isoformat() for n in range(n_day))
    ]


def rows_seal(kind: str, part: str) -> Seal:
    """A seal of what a part names, over every column that may not change."""
    table = part.split()[0]
    may_change = MAY_CHANGE.get(table, frozenset())
    return seal_of(kind, part, [name for name in columns_of(table) if name not in may_change])


def seal_of(kind: str, part: str, columns: Sequence[str]) -> Seal:
    """Digest what a part names.

    Args:
        part: ``table key value``, all rows of ``table`` whose column ``key`` has that value. A key may be ``column<=``,
            or ``column>parent.key`` for rows whose ``column`` is the id of such a row of ``parent``.
    """
    table, key, value = part.split()
    wanted = sql.Literal(int(value) if value.isdigit() else value)
    if ">" in key:
        column, _, above = key.partition(">")
        parent, _, parent_key = above.partition(".")
        where = sql.SQL("{} IN (SELECT id FROM {} WHERE {} = {})").format(
            sql.Identifier(column), sql.Identifier(parent), sql.Identifier(parent_key), wanted
        )
    elif key.endswith("<="):
        where = sql.SQL("{} <= {}").format(sql.Identifier(key.removesuffix("<=")), wanted)
    else:
        where = sql.SQL("{} = {}").format(sql.Identifier(key), wanted)
    return Seal(kind, part, tuple(columns), *_digested(table, columns, where))


def store_seals(*, settlement: SettlementRun, seals: Sequence[Seal]) -> None:
    SettlementSeal.objects.bulk_create(
        SettlementSeal(
            settlement_run=settlement,
            kind=seal.kind,
            part=seal.part,
            columns=list(seal.columns),
            n_row=seal.n_row,
            sha256=seal.sha256,
        )
        for seal in seals
    )


def load_seals(*, settlement_pk: int) -> list[Seal]:
    """The seals of a settlement by kind and part; none before it is released."""
    rows = SettlementSeal.objects.filter(settlement_run=settlement_pk).order_by("kind", "part")
    return [Seal(row.kind, row.part, tuple(row.columns), row.n_row, row.sha256) for row in rows]


@dataclass(frozen=True, slots=True)
class DigestedDays:
    """Days of readings that were digested in one check: settlements of a month rest on the same 60 and more."""

    found: dict[tuple[object, ...], dict[date, Seal]] = field(default_factory=dict)

    def seals(self, days: ReadDays, columns: Sequence[str], table: str = READINGS_TABLE) -> list[Seal]:
        """``reading_seals``, of which only days that were not asked for before are worked out."""
        meters = hashlib.sha256(days.meter_pks.tobytes()).hexdigest()
        known = self.found.setdefault((table, meters, days.as_of, *columns), {})
        n_day = (days.last_day - days.first_day).days + 1
        asked = [days.first_day + n * ONE_DAY for n in range(n_day)]
        if new := [day for day in asked if day not in known]:
            span = replace(days, first_day=new[0], last_day=new[-1])
            known |= zip(
                (new[0] + n * ONE_DAY for n in range(n_day)), reading_seals(span, columns, table), strict=False
            )
        return [known[day] for day in asked]


def store_invoice_seals(*, invoice: Invoice, seals: Sequence[Seal]) -> None:
    InvoiceSeal.objects.across_tenants().bulk_create(
        InvoiceSeal(invoice=invoice, part=seal.part, columns=list(seal.columns), n_row=seal.n_row, sha256=seal.sha256)
        for seal in seals
    )


def load_invoice_seals(*, invoice_pk: int) -> list[Seal]:
    """The seals of an invoice by part."""
    rows = InvoiceSeal.objects.across_tenants().filter(invoice=invoice_pk).order_by("part")
    return [Seal("", row.part, tuple(row.columns), row.n_row, row.sha256) for row in rows]


def sealed_again(
    seals: Sequence[Seal], days: ReadDays | None = None, digested: DigestedDays | None = None
) -> list[Seal]:
    """What the rows of stored seals digest to now, in the order of the seals; ``days`` where some are of readings."""
    found: dict[str, Seal] = {}
    for table in (READINGS_TABLE, BATCHES):
        by_day = [seal for seal in seals if seal.kind == READINGS and seal.part.split()[0] == table]
        if by_day and days is not None:
            sealed_days = sorted(date.fromisoformat(seal.part.split()[1]) for seal in by_day)
            again = replace(days, first_day=sealed_days[0], last_day=sealed_days[-1])
            known = _known(table, by_day[0].columns)
            found |= {seal.part: seal for seal in (digested or DigestedDays()).seals(again, known, table)}
    return [found[seal.part] if seal.part in found else _again(seal) for seal in seals]


def _known(table: str, columns: Sequence[str]) -> list[str]:
    """Of these columns those the table has: a name that was slipped into a seal changes its digest and no query."""
    return [name for name in columns if name in columns_of(table)]


def _again(seal: Seal) -> Seal:
    """The seal made anew; one that names no rows, since it was itself altered, has the digest ``UNREADABLE``."""
    words = seal.part.split()
    if len(words) != PART_WORDS or not set(seal.columns) <= set(columns_of(words[0])):
        return replace(seal, sha256=UNREADABLE)
    return seal_of(seal.kind, seal.part, seal.columns)


def columns_of(table: str) -> tuple[str, ...]:
    """The table's columns in their order; none where there is no such table."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS_OF, [table])
        found = cursor.fetchone()
    return tuple(found[0] or ())


def _digested(table: str, columns: Sequence[str], where: sql.Composable) -> tuple[int, str]:
    """Number and digest of the rows of a table that a condition is true of."""
    statement = _digest(table, columns, part=sql.SQL("''::text"), join=sql.SQL(""), where=where)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchone()
    return (found[1], found[2]) if found else (0, NOTHING_SHA256)


def _digest(
    table: str, columns: Sequence[str], *, part: sql.Composable, join: sql.Composable, where: sql.Composable
) -> sql.Composed:
    return sql.SQL(DIGEST).format(
        part=part,
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(sql.Identifier(table, column) for column in columns),
        join=join,
        where=where,
    )
