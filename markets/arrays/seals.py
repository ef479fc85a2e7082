"""SHA-256 of stored rows, worked out by the database over each row's binary form, whatever order they stand in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from django.db import connection
from psycopg import sql

from aggregator.core.types import IntArray
from markets.arrays.control_groups import is_compared
from markets.arrays.nominations import nominations_known
from markets.models import Instruction, SettlementRun, SettlementSeal, Statement

DIGEST = """
SELECT {part} AS part, count(*), encode(sha256(coalesce(string_agg(row_sha256, ''::bytea ORDER BY row_sha256),
    ''::bytea)), 'hex')
FROM (
    SELECT {table}.*, sha256(record_send(ROW({columns}))) AS row_sha256 FROM {table} {join} WHERE {where}
) AS found GROUP BY 1
"""
COLUMNS_OF = """
SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s
"""
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


def reading_seals(days: ReadDays, columns: Sequence[str] = ()) -> list[Seal]:
    """A seal a UTC day, also of days without a row.

    Args:
        columns: what to digest of a row; empty for every column.
    """
    table = "aggregator_meterday"
    digested = tuple(columns) or columns_of(table)
    statement = _digest(
        table,
        digested,
        part=sql.SQL("day::text"),
        join=sql.SQL("JOIN unnest({}::bigint[]) AS wanted (id) ON wanted.id = meter_id").format(
            sql.Literal(days.meter_pks.tolist())
        ),
        where=sql.SQL("day BETWEEN {} AND {} AND received_at <= {}").format(
            sql.Literal(days.first_day), sql.Literal(days.last_day), sql.Literal(days.as_of)
        ),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = {part: (n_row, sha256) for part, n_row, sha256 in cursor.fetchall()}
    n_day = (days.last_day - days.first_day).days + 1
    return [
        Seal(SettlementSeal.Kind.READINGS, f"{table} {day}", digested, *found.get(day, (0, NOTHING_SHA256)))
        for day in ((days.first_day + n * ONE_DAY).isoformat() for n in range(n_day))
    ]


def row_seals(settlement: SettlementRun, *, released_at: datetime) -> list[Seal]:
    """A seal for each row, or table of rows of a run, that the settlement stands on."""
    return [
        seal_of(kind, part, columns_of(part.split()[0])) for kind, part in _parts(settlement, released_at=released_at)
    ]


def seal_of(kind: str, part: str, columns: Sequence[str]) -> Seal:
    """Digest what a part names: ``table key value``, all rows of ``table`` whose column ``key`` has that value."""
    table, key, value = part.split()
    statement = _digest(
        table,
        columns,
        part=sql.SQL("''::text"),
        join=sql.SQL(""),
        where=sql.SQL("{} = {}").format(sql.Identifier(key), sql.Literal(int(value))),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchone()
    n_row, sha256 = (found[1], found[2]) if found else (0, NOTHING_SHA256)
    return Seal(kind, part, tuple(columns), n_row, sha256)


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


def load_seals(*, settlement: SettlementRun) -> list[Seal]:
    """The seals of a settlement by kind and part; none before it is released."""
    rows = SettlementSeal.objects.filter(settlement_run=settlement).order_by("kind", "part")
    return [Seal(row.kind, row.part, tuple(row.columns), row.n_row, row.sha256) for row in rows]


@dataclass(frozen=True, slots=True)
class DigestedDays:
    """Days of readings that were digested in one check: settlements of a month rest on the same 60 and more."""

    found: dict[tuple[object, ...], dict[date, Seal]] = field(default_factory=dict)

    def seals(self, days: ReadDays, columns: Sequence[str]) -> list[Seal]:
        """``reading_seals``, of which only days that were not asked for before are worked out."""
        meters = hashlib.sha256(days.meter_pks.tobytes()).hexdigest()
        known = self.found.setdefault((meters, days.as_of, *columns), {})
        n_day = (days.last_day - days.first_day).days + 1
        asked = [days.first_day + n * ONE_DAY for n in range(n_day)]
        if new := [day for day in asked if day not in known]:
            span = replace(days, first_day=new[0], last_day=new[-1])
            known |= zip((new[0] + n * ONE_DAY for n in range(n_day)), reading_seals(span, columns), strict=False)
        return [known[day] for day in asked]


def sealed_again(seals: Sequence[Seal], days: ReadDays, digested: DigestedDays) -> list[Seal]:
    """What the rows of stored seals digest to now, in the order of the seals."""
    of_readings = [seal for seal in seals if seal.kind == SettlementSeal.Kind.READINGS]
    found: dict[str, Seal] = {}
    if of_readings:
        sealed_days = sorted(date.fromisoformat(seal.part.split()[1]) for seal in of_readings)
        again = replace(days, first_day=sealed_days[0], last_day=sealed_days[-1])
        found = {seal.part: seal for seal in digested.seals(again, of_readings[0].columns)}
    return [found[seal.part] if seal.part in found else seal_of(seal.kind, seal.part, seal.columns) for seal in seals]


def columns_of(table: str) -> tuple[str, ...]:
    """The table's columns in their order."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS_OF, [table])
        found = cursor.fetchone()
    return tuple(found[0])


def _parts(settlement: SettlementRun, *, released_at: datetime) -> list[tuple[str, str]]:
    kind, run, event = SettlementSeal.Kind, settlement.dispatch_run, settlement.event
    told = Instruction.objects.across_tenants().filter(event=event).order_by("pk").values_list("pk", flat=True)
    published = Statement.objects.across_tenants().filter(settlement_run=settlement).order_by("pk")
    statements = list(published.values_list("pk", flat=True))
    parts: list[tuple[str, str]] = [
        (kind.PLAN, f"dispatch_dispatchrun id {run.pk}"),
        (kind.PLAN, f"dispatch_runnode run_id {run.pk}"),
        (kind.PLAN, f"dispatch_runrequest run_id {run.pk}"),
        (kind.PLAN, f"dispatch_setpoint run_id {run.pk}"),
        (kind.INSTRUCTIONS, f"dispatch_targetsignal id {event.signal_id}"),
        (kind.INSTRUCTIONS, f"markets_flexevent id {event.pk}"),
        *((kind.INSTRUCTIONS, f"markets_instruction id {pk}") for pk in told),
        *((kind.INSTRUCTIONS, f"markets_instructionstop instruction_id {pk}") for pk in told),
        (kind.PRODUCT, f"markets_product id {event.product_id}"),
        (kind.STATEMENTS, f"markets_settlementrun id {settlement.pk}"),
        (kind.STATEMENTS, f"markets_statement settlement_run_id {settlement.pk}"),
        (kind.STATEMENTS, f"markets_ledgerclaim settlement_id {settlement.pk}"),
        *((kind.STATEMENTS, f"markets_statementline statement_id {pk}") for pk in statements),
        *((kind.STATEMENTS, f"markets_statementreason statement_id {pk}") for pk in statements),
    ]
    owners = published.values_list("organisation_id", flat=True)
    nominated = nominations_known(event=event, organisation_pks=owners, as_of=settlement.as_of)
    parts += [(kind.BASELINE, f"markets_nomination id {pk}") for pk in nominated.values_list("pk", flat=True)]
    if is_compared(event.product):
        parts.append((kind.BASELINE, f"dispatch_sparedevse signal_id {event.signal_id}"))
    # While its day goes on, what a run issues is still written.
    if run.grid.ends_at <= released_at:
        parts.append((kind.PLAN, f"dispatch_issuedsetpoint run_id {run.pk}"))
    return parts


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
