"""EVSEs to register, as a file or a form states them."""

import re
from dataclasses import dataclass
from datetime import datetime

from aggregator.core.errors import FlexError

DEFAULT_DELAY_MAX_S = 600
DEFAULT_MIN_CURRENT_A = 6.0
KW_PER_AMPERE = 0.23  # one phase at 230 V
SLUG = re.compile(r"[A-Za-z0-9_-]{1,50}")


@dataclass(frozen=True, slots=True)
class Registration:
    """One EVSE and its enrolment; ``line`` is where it was stated.

    Attributes:
        evse_id: its id at its CSMS.
        node, phase: the feeder or phase it hangs on; a phase letter picks the feeder's child.
        meter_id: code of its asset meter; empty means one named after CSMS and EVSE.
        enrolled_from: None means from the time of registering; ``consented_at`` None means then too.
        pseudonym: empty lets one be made.
    """

    line: int
    evse_id: str
    csms: str
    dsrsp: str
    node: str
    rated_kw: float
    phase: str = ""
    phases: int = 1
    min_current_a: float = DEFAULT_MIN_CURRENT_A
    scenario: str = "off_street_residential"
    meter_id: str = ""
    accuracy_class: str = ""
    amsid: str = ""
    boundary_msid: str = ""
    gsp_group: str = ""
    firmware: str = ""
    delay_max_s: int = DEFAULT_DELAY_MAX_S
    enrolled_from: datetime | None = None
    enrolled_to: datetime | None = None
    consented_at: datetime | None = None
    consent_evidence: str = ""
    services: tuple[str, ...] = ("routine",)
    pseudonym: str = ""

    @property
    def meter_code(self) -> str:
        return self.meter_id or f"{self.csms}-{self.evse_id}"[:80]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row, and in which column."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class RegistrationRefused(FlexError):
    """Registrations of which none is taken; ``errors`` names every row that stands in the way."""

    code = "fleet.registration_refused"

    def __init__(self, errors: tuple[RowError, ...]) -> None:
        more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}", line=errors[0].line, column=errors[0].column, n_error=len(errors))
        self.errors = errors


def errors_within(rows: tuple[Registration, ...]) -> list[RowError]:
    """What is wrong with rows by themselves or beside each other."""
    errors = [error for row in rows for error in _errors_of(row)]
    first_line: dict[tuple[str, str, str, datetime | None], int] = {}
    for row in rows:
        key = (row.csms, row.evse_id, row.dsrsp, row.enrolled_from)
        if key in first_line:
            message = f"{row.evse_id} is also on line {first_line[key]} with the same DSRSP and start"
            errors.append(RowError(row.line, "evse_id", message))
        first_line.setdefault(key, row.line)
    named: dict[str, Registration] = {}
    for row in rows:
        other = named.setdefault(row.pseudonym, row) if row.pseudonym else row
        if (other.csms, other.evse_id) != (row.csms, row.evse_id):
            errors.append(RowError(row.line, "pseudonym", f"{row.pseudonym} is also on line {other.line}"))
    return errors


def is_slug(code: str) -> bool:
    """Whether a code may name a new organisation or CSMS: up to 50 letters, digits, hyphens and underscores."""
    return SLUG.fullmatch(code) is not None


def _errors_of(row: Registration) -> list[RowError]:
    errors = []
    if row.enrolled_from and row.enrolled_to and row.enrolled_to <= row.enrolled_from:
        message = f"enrolled until {row.enrolled_to.isoformat()}, which is not after {row.enrolled_from.isoformat()}"
        errors.append(RowError(row.line, "enrolled_to", message))
    if row.enrolled_to and not row.enrolled_from:
        errors.append(RowError(row.line, "enrolled_from", "is needed where enrolled_to is given"))
    if row.enrolled_from and row.consented_at and row.consented_at > row.enrolled_from:
        message = f"consent of {row.consented_at.isoformat()} is later than enrolment"
        errors.append(RowError(row.line, "consented_at", message))
    min_kw = row.min_current_a * KW_PER_AMPERE * row.phases
    if min_kw > row.rated_kw + 1e-9:
        found = f"{row.min_current_a:g} A on {row.phases} phases is {min_kw:.2f} kW"
        message = f"{found}, above the rating of {row.rated_kw:g} kW"
        errors.append(RowError(row.line, "min_current_a", message))
    if row.phase and row.phases == 3:
        errors.append(RowError(row.line, "phase", "a three-phase EVSE hangs on the feeder, on no one phase"))
    return errors
