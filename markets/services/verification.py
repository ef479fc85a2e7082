"""Settle published statements again from the readings, and find whatever was changed since they were released."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError, models

from aggregator.core.errors import FlexError
from markets.arrays.seals import DigestedDays
from markets.arrays.settlement import ReadEvent
from markets.arrays.statements import SettledStatement, settled_statements
from markets.core.statement_file import in_format_of
from markets.models import SettlementRun, Statement, StatementLine
from markets.services.invoice_check import verify_invoices
from markets.services.month_read import read_events
from markets.services.settlement import METHOD
from markets.services.settlement_load import LoadedEvent, direction_of, load_event
from markets.services.settlement_pay import settle_again
from markets.services.verified import Difference
from markets.services.verify_files import verify_files
from markets.services.verify_seals import missing_rows, named, other_release, other_rows
from markets.services.verify_settled_days import other_settled_days

SETTLED = ("instructed_kwh", "delivered_kwh", "delivered_share", "performance_factor", "payment_gbp", "n_baseline_days")
OF_LINE = (
    "settlement_date",
    "period",
    "ends_at",
    "instructed_kwh",
    "baseline_kwh",
    "metered_kwh",
    "delivered_kwh",
    "n_meters_missing",
)
CHUNK = 30  # settlements of a month, whose EVSEs are held at once


class UnknownStatement(FlexError):
    code = "statement.unknown"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what of it differs."""

    n_settlement: int
    n_statement: int
    n_invoice: int
    n_file: int
    differences: tuple[Difference, ...]


def verify_statements(*, statement_pks: Iterable[int] | None = None) -> Verified:
    """Settle the settlements of these statements again, of all where none are named; then their invoices are checked.

    Where none are named, so are filed volumes, both chains, and whether anything is gone.

    Raises:
        UnknownStatement: there is no statement of a number.
    """
    wanted = None if statement_pks is None else set(statement_pks)
    runs = SettlementRun.objects.all()  # no joins: one whose event is gone has to be found, too
    if wanted is not None:
        found = Statement.objects.across_tenants().filter(pk__in=wanted)
        if missing := sorted(wanted - set(found.values_list("pk", flat=True))):
            raise UnknownStatement(f"there is no statement {missing[0]}", field="statement", id=missing[0])
        runs = runs.filter(statements__in=found).distinct()
    n_settlement, n_statement, differences = 0, 0, list[Difference]()
    digested, found_runs = DigestedDays(), runs.order_by("pk").iterator(chunk_size=CHUNK)
    while chunk := list(islice(found_runs, CHUNK)):
        n_settlement += len(chunk)
        n_statement += Statement.objects.across_tenants().filter(settlement_run__in=chunk).count()
        reads = _read_together(chunk)
        for settlement in chunk:
            differences += verify_settlement(settlement, read=reads.pop(settlement.pk, None), digested=digested)
    n_invoice, of_invoices = verify_invoices(statement_pks=wanted)
    differences.extend(of_invoices)
    n_file = 0
    if wanted is None:
        n_file, of_files = verify_files()
        differences.extend([*missing_rows(), *of_files])
    return Verified(n_settlement, n_statement, n_invoice, n_file, tuple(differences))


def _read_together(settlements: list[SettlementRun]) -> dict[int, ReadEvent]:
    """What these settlements were settled from, by their keys: of those as of one time each meter is read once.

    One that was settled as of a time of its own is not among them, nor is any that cannot be read: it says why alone.
    """
    as_of = attrgetter("as_of")
    reads: dict[int, ReadEvent] = {}
    for known_at, group in groupby(sorted(settlements, key=as_of), key=as_of):
        together = list(group)
        if len(together) == 1:
            continue
        with suppress(FlexError, ObjectDoesNotExist):
            found = read_events(events=[one.event for one in together], as_of=known_at)
            reads |= {one.pk: read for one, read in zip(together, found, strict=True)}
    return reads


def verify_settlement(
    settlement: SettlementRun, *, read: ReadEvent | None = None, digested: DigestedDays | None = None
) -> list[Difference]:
    """Every difference of one settlement: what its statements say, what it was settled from, what was sealed.

    Args:
        read: what was read of its event beforehand, as known at its time.
        digested: days of readings that were digested in this check, and those that will be.
    """
    loaded, found = _loaded(settlement, read)
    checks: list[Callable[[], Iterable[Difference]]] = [
        lambda: other_rows(settlement, loaded, digested),
        lambda: other_release(settlement),
    ]
    if loaded is not None:
        checks[:0] = [
            lambda: _inputs(settlement, loaded),
            lambda: _settled_anew(settlement, loaded),
            lambda: _settled_days(settlement, loaded),
        ]
    for check in checks:
        found.extend(_guarded(settlement, check))
    return found


def _loaded(settlement: SettlementRun, read: ReadEvent | None) -> tuple[LoadedEvent | None, list[Difference]]:
    """What the settlement is settled from, or why it cannot be read."""
    loaded: list[LoadedEvent] = []

    def load() -> Iterable[Difference]:
        event, run = settlement.event, settlement.dispatch_run
        loaded.append(load_event(event=event, run=run, as_of=settlement.as_of, read=read))
        return ()

    found = _guarded(settlement, load)
    return (loaded[0] if loaded else None), found


def _guarded(settlement: SettlementRun, check: Callable[[], Iterable[Difference]]) -> list[Difference]:
    found: list[Difference] = []
    try:
        found.extend(check())
    except (OperationalError, InterfaceError):
        raise  # a database that is away says nothing of what is stored in it
    # Rows may have been changed into anything: whatever can then not be computed is a difference, never a crash.
    except Exception as error:  # noqa: BLE001
        said = error.message if isinstance(error, FlexError) else repr(error)
        found.append(Difference(named(settlement), "whole", "settlement", "settled", f"cannot be settled: {said}"))
    return found


def _settled_anew(settlement: SettlementRun, loaded: LoadedEvent) -> Iterator[Difference]:
    again = settled_statements(
        settlement=settlement,
        portfolios=loaded.portfolios,
        result=settle_again(settlement=settlement, loaded=loaded),
        n_left_out=loaded.readings.n_left_out,
    )
    yield from _statements(settlement, again)


def _inputs(settlement: SettlementRun, loaded: LoadedEvent) -> Iterator[Difference]:
    """Which kinds of input are no longer those it was settled from."""
    if settlement.method != METHOD:
        yield Difference(named(settlement), "whole", "method", settlement.method, METHOD)
    for kind, sha256 in settlement.input_digests.items():
        now = loaded.input_digests.get(kind, "nothing")
        if now != sha256:
            yield Difference(named(settlement), f"input {kind}", "sha256", sha256, now)
    if loaded.input_sha256 != settlement.input_sha256:
        yield Difference(named(settlement), "input", "sha256", settlement.input_sha256, loaded.input_sha256)


def _settled_days(settlement: SettlementRun, loaded: LoadedEvent) -> Iterator[Difference]:
    """What each EVSE would have drawn and drew, where it is no longer what the readings give."""
    if loaded.readings.evses is None:
        return
    for other in other_settled_days(
        settlement=settlement,
        portfolios=loaded.portfolios,
        evses=loaded.readings.evses,
        direction=direction_of(settlement.event),
    ):
        yield Difference(
            named(settlement), f"settled days of EVSE {other.evse_pk}", other.figure, other.stored, other.recomputed
        )


def _statements(settlement: SettlementRun, again: list[SettledStatement]) -> Iterator[Difference]:
    stored = {
        statement.organisation_id: statement
        for statement in Statement.objects.across_tenants()
        .filter(settlement_run=settlement)
        .select_related("organisation")
    }
    for settled in again:
        found = stored.pop(settled.statement.organisation_id, None)
        if found is None:
            yield Difference(
                named(settlement), "whole", f"statement of {settled.statement.organisation.code}", "nothing", "settled"
            )
            continue
        yield from _statement(found, settled)
    for statement in stored.values():
        yield Difference(_of(statement), "whole", "statement", "published", "nothing")


def _statement(stored: Statement, settled: SettledStatement) -> Iterator[Difference]:
    yield from _figures(_of(stored), "whole", SETTLED, stored, settled.statement)
    yield from _lines(stored, settled.lines)
    content = bytes(stored.content)
    again = in_format_of(content, bytes(settled.statement.content))
    if content != again:
        yield Difference(_of(stored), _first_other(content, again), "file", *_first_texts(content, again))
    sha256 = hashlib.sha256(again).hexdigest()
    if stored.sha256 != sha256:
        yield Difference(_of(stored), "whole", "sha256", stored.sha256, sha256)


def _lines(stored: Statement, settled: list[StatementLine]) -> Iterator[Difference]:
    found = {line.starts_at: line for line in stored.lines.all()}
    for line in settled:
        before = found.pop(line.starts_at, None)
        if before is None:
            yield Difference(_of(stored), _half_hour(line), "line", "nothing", "settled")
        else:
            yield from _figures(_of(stored), _half_hour(line), OF_LINE, before, line)
    for line in found.values():
        yield Difference(_of(stored), _half_hour(line), "line", "published", "nothing")


def _figures(
    statement: str, line: str, names: Iterable[str], stored: models.Model, settled: models.Model
) -> Iterator[Difference]:
    for name in names:
        before, after = getattr(stored, name), getattr(settled, name)
        if before != after:
            yield Difference(statement, line, name, _text(before), _text(after))


def _of(statement: Statement) -> str:
    return f"statement {statement.pk} of {statement.organisation.code}"


def _half_hour(line: StatementLine) -> str:
    return f"{line.settlement_date.isoformat()} period {line.period}"


def _first_other(one: bytes, other: bytes) -> str:
    return f"record {_first_index(one, other) + 1}"


def _first_texts(one: bytes, other: bytes) -> tuple[str, str]:
    at = _first_index(one, other)
    records = (one.splitlines(), other.splitlines())
    stored, recomputed = (lines[at].decode(errors="replace") if at < len(lines) else "nothing" for lines in records)
    return stored, recomputed


def _first_index(one: bytes, other: bytes) -> int:
    """Index of the first record of two files that differs."""
    ours, theirs = one.splitlines(), other.splitlines()
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (stored, again) in pairs if stored != again), min(len(ours), len(theirs)))


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)
