"""A DNO's published calendar of flexibility dispatches, read from its lines; what is odd in it is kept and told.

Columns as in UK Power Networks' open data. Volumes there are requested, not delivered.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote

HALF_HOUR = timedelta(minutes=30)
DIRECTIONS = {"demand_turn_down": "turn_down", "demand_turn_up": "turn_up"}
TEXTS = ("company_name", "fu_id", "zone", "product", "dispatch_type")
NUMBERS = (
    "availability_mw_req",
    "utilisation_mw_req",
    "availability_price",
    "utilisation_price",
    "utilisation_mwh_req",
)
TIMES = ("start_time_utc", "end_time_utc")
COLUMNS = (*TEXTS, *NUMBERS, *TIMES)
# The publisher rounds to 0.01 or 0.1 MWh: half a step of the coarser is no contradiction.
ROUNDING_MWH = Decimal("0.05")
LARGEST = Decimal(100_000)


class CalendarRefused(FlexError):
    code = "dispatches.file_refused"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One dispatch of one flexible unit.

    Attributes:
        line: of the file, the header being line 1.
        requested_kw: power asked over the window; 0 where only availability was bought.
        utilisation_gbp_per_mwh: what a MWh is paid.
        available_kw, availability_gbp_per_mwh: what is held ready, and its price as the file has it.
    """

    line: int
    company: str
    unit: str
    zone: str
    product: str
    direction: str
    starts_at: datetime
    ends_at: datetime
    requested_kw: Decimal
    utilisation_gbp_per_mwh: Decimal
    requested_kwh: Decimal
    available_kw: Decimal
    availability_gbp_per_mwh: Decimal

    @property
    def reference(self) -> str:
        """Names it, the same whatever file it comes in."""
        return f"{self.unit}/{self.starts_at:%Y%m%dT%H%M}/{self.ends_at:%d%H%M}"


@dataclass(frozen=True, slots=True)
class DispatchCalendar:
    """What a file says, once each; duplicates are only among the findings.

    Attributes:
        calls: dispatches that ask for energy, by start; windows of one unit may overlap.
        availability: those that only hold power ready.
        findings: duplicates, overlaps and volumes that contradict their power.
        n_row: rows of the file.
    """

    calls: tuple[Dispatch, ...]
    availability: tuple[Dispatch, ...]
    findings: tuple[FindingNote, ...]
    n_row: int


def parse_calendar(lines: Iterable[str], *, name: str = "dispatches") -> DispatchCalendar:
    """Read a calendar whole, or refuse it whole.

    Args:
        lines: of the CSV file, header first.
        name: begins each message.

    Raises:
        CalendarRefused: no CSV, a column missing, or a value that can't be meant, with line, column and value.

    Source: docs/methods/ledger.md
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise CalendarRefused(f"{name}: column {missing[0]} is missing", column=missing[0])
        rows = [_dispatch(_Row(name, reader.line_num, cells)) for cells in reader]
    except csv.Error as error:
        raise CalendarRefused(f"{name}: line {reader.line_num} is no CSV ({error})", line=reader.line_num) from error
    once, duplicates = _once(rows)
    ordered = sorted(once, key=lambda one: (one.starts_at, one.reference))
    return DispatchCalendar(
        calls=tuple(one for one in ordered if one.requested_kw > 0),
        availability=tuple(one for one in ordered if one.requested_kw == 0),
        findings=(*duplicates, *_overlaps(ordered), *_contradictions(ordered)),
        n_row=len(rows),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    line: int
    cells: Mapping[str | None, str | None]

    def text(self, column: str) -> str:
        found = (self.cells[column] or "").strip()
        if not found or len(found) > 80:
            self.refuse(column, "1 to 80 characters")
        return found

    def number(self, column: str) -> Decimal:
        try:
            found = Decimal(self.cells[column] or "")
        except InvalidOperation:
            self.refuse(column, "a number")
        if not (found.is_finite() and 0 <= found <= LARGEST):
            self.refuse(column, f"a number of 0 to {LARGEST}")
        return found

    def time(self, column: str) -> datetime:
        try:
            found = datetime.fromisoformat(self.cells[column] or "")
        except ValueError:
            self.refuse(column, "a time as 2024-05-17T07:00:00Z")
        if found.tzinfo is None or found.minute % 30 or found.second or found.microsecond:
            self.refuse(column, "a half-hour's start with its offset")
        return found.astimezone(UTC)

    def refuse(self, column: str, expected: str) -> NoReturn:
        raise CalendarRefused(
            f"{self.name}: line {self.line}, {column} is {self.cells[column]!r}, expected {expected}",
            line=self.line,
            column=column,
        )


def _dispatch(row: _Row) -> Dispatch:
    if None in row.cells or None in row.cells.values():
        raise CalendarRefused(f"{row.name}: line {row.line} has not as many cells as the header", line=row.line)
    starts_at, ends_at = row.time("start_time_utc"), row.time("end_time_utc")
    if ends_at <= starts_at:
        row.refuse("end_time_utc", f"a time after {starts_at.isoformat()}")
    kind = row.text("dispatch_type")
    if kind not in DIRECTIONS:
        row.refuse("dispatch_type", f"one of {', '.join(DIRECTIONS)}")
    return Dispatch(
        line=row.line,
        company=row.text("company_name"),
        unit=row.text("fu_id"),
        zone=row.text("zone"),
        product=row.text("product"),
        direction=DIRECTIONS[kind],
        starts_at=starts_at,
        ends_at=ends_at,
        requested_kw=row.number("utilisation_mw_req") * 1000,
        utilisation_gbp_per_mwh=row.number("utilisation_price"),
        requested_kwh=row.number("utilisation_mwh_req") * 1000,
        available_kw=row.number("availability_mw_req") * 1000,
        availability_gbp_per_mwh=row.number("availability_price"),
    )


def _once(rows: Sequence[Dispatch]) -> tuple[list[Dispatch], list[FindingNote]]:
    """The first row of each unit, product and window; the others with what they say differently."""
    first: dict[tuple[object, ...], Dispatch] = {}
    notes = []
    for row in rows:
        key = (row.unit, row.product, row.direction, row.starts_at, row.ends_at)
        kept = first.setdefault(key, row)
        if kept is row:
            continue
        differs = [column for column in COMPARED if getattr(kept, column) != getattr(row, column)]
        said = ", ".join(f"{column} {getattr(row, column)} for {getattr(kept, column)}" for column in differs)
        notes.append(
            FindingNote(
                "dispatches.duplicate",
                row.reference,
                f"line {row.line} repeats line {kept.line}" + (f" with {said}" if said else "") + ": the first is kept",
                details={"line": row.line, "first_line": kept.line, "differs": ",".join(differs)},
            )
        )
    return list(first.values()), notes


COMPARED = (
    "zone",
    "requested_kw",
    "utilisation_gbp_per_mwh",
    "requested_kwh",
    "available_kw",
    "availability_gbp_per_mwh",
)


def _overlaps(ordered: Sequence[Dispatch]) -> list[FindingNote]:
    """Windows of one unit and product that begin before an earlier one has ended; both stay."""
    latest: dict[tuple[str, str, str], Dispatch] = {}
    notes = []
    for one in ordered:
        key = (one.unit, one.product, one.direction)
        before = latest.get(key)
        if before is not None and one.starts_at < before.ends_at:
            minutes = int((min(one.ends_at, before.ends_at) - one.starts_at) / timedelta(minutes=1))
            notes.append(
                FindingNote(
                    "dispatches.overlap",
                    one.reference,
                    f"line {one.line} overlaps line {before.line} for {minutes} min: the ledger pays no kWh twice",
                    details={"line": one.line, "other_line": before.line, "overlap_min": minutes},
                )
            )
        if before is None or one.ends_at > before.ends_at:
            latest[key] = one
    return notes


def _contradictions(ordered: Sequence[Dispatch]) -> list[FindingNote]:
    """Volumes that are not power by time, beyond what rounding explains; the power counts."""
    notes = []
    for one in ordered:
        hours = Decimal(int((one.ends_at - one.starts_at) / HALF_HOUR)) / 2
        off_mwh = abs(one.requested_kw * hours - one.requested_kwh) / 1000
        if off_mwh > ROUNDING_MWH:
            notes.append(
                FindingNote(
                    "dispatches.volume",
                    one.reference,
                    f"line {one.line}: {one.requested_kwh} kWh for {one.requested_kw} kW over {hours} h",
                    "info",
                    {"line": one.line, "off_mwh": float(off_mwh)},
                )
            )
    return notes
