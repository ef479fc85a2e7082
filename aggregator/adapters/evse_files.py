"""Files of EVSEs to register."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from aggregator.adapters.bounded import CellError, FileRefused, Limits
from aggregator.adapters.cells import Column, Instant, Number, Text
from aggregator.adapters.files import Progress, Table, read_table
from aggregator.core.registration import DEFAULT_DELAY_MAX_S, DEFAULT_MIN_CURRENT_A, Registration

SCENARIOS = frozenset({"off_street_residential", "destination", "on_street"})
ACCURACY_CLASSES = frozenset({"2", "1", "0.5", "10%"})
SERVICES = frozenset({"routine", "response"})


def _optional(name: str, max_length: int, choices: frozenset[str] | None = None) -> Text:
    blank = frozenset({""})
    return Text(name, False, True, max_length, None if choices is None else choices | blank)


COLUMNS: Sequence[Column] = (
    Text("evse_id"),
    Text("csms", max_length=50),
    Text("dsrsp", max_length=50),
    Text("node"),
    Number("rated_kw", "kW", 0.1, 500),
    Number("phases", "phases", 1, 3, required=False, may_be_empty=True, whole=True),
    _optional("phase", 1, frozenset("ABC")),
    Number("min_current_a", "amperes", 6, 80, required=False, may_be_empty=True),
    _optional("scenario", 30, SCENARIOS),
    _optional("meter_id", 80),
    _optional("accuracy_class", 5, ACCURACY_CLASSES),
    _optional("amsid", 13),
    _optional("boundary_msid", 13),
    _optional("gsp_group", 2),
    _optional("firmware", 80),
    Number("delay_max_s", "seconds", 0, 1800, required=False, may_be_empty=True, whole=True),
    Instant("enrolled_from", required=False, may_be_empty=True),
    Instant("enrolled_to", required=False, may_be_empty=True),
    Instant("consented_at", required=False, may_be_empty=True),
    _optional("consent_evidence", 200),
    _optional("services", 30),
    _optional("pseudonym", 60),
)


def read_registrations(
    source: Path | BinaryIO, *, name: str = "", limits: Limits | None = None, progress: Progress | None = None
) -> tuple[Table, tuple[Registration, ...]]:
    """Read a file of EVSEs.

    Raises:
        FileRefused: the file or any of its values can't be taken; ``errors`` names all of these.
    """
    table = read_table(source, COLUMNS, name=name, limits=limits, progress=progress)
    services = [_services(table, row) for row in range(len(table))]
    errors = sorted([*_two_phases(table), *_unknown_services(table, services)], key=lambda error: error.line)
    if errors:
        raise FileRefused(
            f"{table.name}: {errors[0]}", errors=tuple(errors), line=errors[0].line, column=errors[0].column
        )
    return table, tuple(_registration(table, row, services[row]) for row in range(len(table)))


def _two_phases(table: Table) -> Iterator[CellError]:
    for row in np.flatnonzero(table.numbers("phases") == 2):
        yield CellError(int(table.lines[row]), "phases", "2", "1 or 3")


def _unknown_services(table: Table, services: Sequence[tuple[str, ...]]) -> Iterator[CellError]:
    for row, found in enumerate(services):
        if not SERVICES.issuperset(found) or len(set(found)) < len(found):
            expected = "routine, response or routine;response"
            yield CellError(int(table.lines[row]), "services", ";".join(found), expected)


def _services(table: Table, row: int) -> tuple[str, ...]:
    """``routine;response`` as a tuple; routine where empty."""
    cell = str(table.columns["services"][row])
    return tuple(cell.split(";")) if cell else ("routine",)


def _registration(table: Table, row: int, services: tuple[str, ...]) -> Registration:
    def text(name: str) -> str:
        return str(table.columns[name][row])

    def number(name: str, default: float) -> float:
        value = float(table.columns[name][row])
        return default if np.isnan(value) else value

    return Registration(
        line=int(table.lines[row]),
        evse_id=text("evse_id"),
        csms=text("csms"),
        dsrsp=text("dsrsp"),
        node=text("node"),
        rated_kw=number("rated_kw", np.nan),
        phase=text("phase"),
        phases=int(number("phases", 1)),
        min_current_a=number("min_current_a", DEFAULT_MIN_CURRENT_A),
        scenario=text("scenario") or "off_street_residential",
        meter_id=text("meter_id"),
        accuracy_class=text("accuracy_class"),
        amsid=text("amsid"),
        boundary_msid=text("boundary_msid"),
        gsp_group=text("gsp_group"),
        firmware=text("firmware"),
        delay_max_s=int(number("delay_max_s", DEFAULT_DELAY_MAX_S)),
        enrolled_from=_aware(table.columns["enrolled_from"][row]),
        enrolled_to=_aware(table.columns["enrolled_to"][row]),
        consented_at=_aware(table.columns["consented_at"][row]),
        consent_evidence=text("consent_evidence"),
        services=services,
        pseudonym=text("pseudonym"),
    )


def _aware(at: np.datetime64) -> datetime | None:
    return None if np.isnat(at) else at.astype(datetime).replace(tzinfo=UTC)
