"""EVSEs a DSRSP registers itself: what the platform checks of anybody's rows, and what one of several may not do."""

from datetime import datetime
from typing import Literal

from django.db import transaction

from aggregator.core.registration import Registration, RegistrationRefused, RowError
from aggregator.models import Enrolment, Organisation, as_platform
from aggregator.services.batches import IngestResult
from aggregator.services.fleet_checks import FOREVER, KnownFleet, check_registrations, load_known
from aggregator.services.register_fleet import changes_of, register_fleet, same_enrolment
from aggregator.services.turns import take_turn

RowKind = Literal["new", "switching", "changed", "unchanged"]
NOT_TOLD = frozenset({"meter_id", "pseudonym"})


def register_own_fleet(
    *, organisation: Organisation, rows: tuple[Registration, ...], source: str, sha256: str, now: datetime
) -> IngestResult:
    """Register EVSEs for the DSRSP that states them, all or none; CSMSs and nodes must be known.

    An EVSE that is another DSRSP's today stays as it is registered until the switch takes effect.

    Raises:
        RegistrationRefused: with every error of every row.
    """
    with as_platform(), transaction.atomic():
        take_turn("own fleet")
        known = load_known(rows)
        errors = check_own_registrations(organisation=organisation, rows=rows, now=now, known=known)
        if errors:
            raise RegistrationRefused(errors)
        return register_fleet(
            organisation=organisation,
            rows=rows,
            source=source,
            sha256=sha256,
            now=now,
            enrol_only=frozenset(row.line for row in _held(rows, known, organisation, now)),
        )


def check_own_registrations(
    *, organisation: Organisation, rows: tuple[Registration, ...], now: datetime, known: KnownFleet | None = None
) -> tuple[RowError, ...]:
    """Everything that stands in the way of a DSRSP's registering these rows, by line.

    Beyond ``check_registrations``: a DSRSP speaks for nobody else, and of an EVSE that is another's today it may
    state the consumer's switch to itself and nothing more.

    Args:
        known: what ``load_known`` found for these rows, where it was loaded already.
    """
    with as_platform():
        known = known or load_known(rows)
        held = _held(rows, known, organisation, now)
        errors = [*check_registrations(rows=rows, now=now, known=known), *_speaks_for_others(organisation, rows)]
    lines = {row.line for row in held}
    errors = [_untold(error) if error.line in lines else error for error in errors]
    errors += [error for row in held for error in _switch_errors(row, now)]
    return tuple(sorted(errors, key=lambda error: error.line))


def row_kinds(
    *, organisation: Organisation, rows: tuple[Registration, ...], now: datetime, known: KnownFleet | None = None
) -> dict[int, RowKind]:
    """What registering would do with each row, by line."""
    with as_platform():
        known = known or load_known(rows)
    made: set[tuple[str, str]] = set()
    kinds: dict[int, RowKind] = {}
    for row in rows:
        kinds[row.line] = _kind(row, known, organisation, now, made)
        made.add((row.csms, row.evse_id))
    return kinds


def _held(
    rows: tuple[Registration, ...], known: KnownFleet, organisation: Organisation, now: datetime
) -> list[Registration]:
    """Rows about EVSEs that are another DSRSP's now, or were where the row would start."""
    return [row for row in rows if _holders(row, known, organisation, now)]


def _holders(row: Registration, known: KnownFleet, organisation: Organisation, now: datetime) -> list[Enrolment]:
    """Others' enrolments of a row's EVSE at any time between now and the row's start."""
    identity = known.identities.get((row.csms, row.evse_id))
    held = known.enrolments.get(identity.evse_id, []) if identity else []
    first, last = sorted((row.enrolled_from or now, now))
    others = [one for one in held if one.dsrsp_id != organisation.pk]
    return [one for one in others if one.starts_at <= last and (one.ends_at or FOREVER) > first]


def _speaks_for_others(organisation: Organisation, rows: tuple[Registration, ...]) -> list[RowError]:
    message = f"you act for {organisation.code} and can register EVSEs for it only"
    return [RowError(row.line, "dsrsp", message) for row in rows if row.dsrsp != organisation.code]


def _untold(error: RowError) -> RowError:
    """An error about another's EVSE that says nothing of what is stored of it."""
    if error.column not in NOT_TOLD:
        return error
    return RowError(error.line, error.column, "leave it empty: the EVSE is with another DSRSP today")


def _switch_errors(row: Registration, now: datetime) -> list[RowError]:
    """A switch is the consumer's wish: it needs evidence, and it does not change the past."""
    errors = []
    if row.enrolled_from is None or row.enrolled_from < now:
        message = f"{row.evse_id} is with another DSRSP: state when the switch takes effect, not before now"
        errors.append(RowError(row.line, "enrolled_from", message))
    if not row.consent_evidence:
        message = f"{row.evse_id} is with another DSRSP: a switch needs a reference to the consumer's consent"
        errors.append(RowError(row.line, "consent_evidence", message))
    return errors


def _kind(
    row: Registration, known: KnownFleet, organisation: Organisation, now: datetime, made: set[tuple[str, str]]
) -> RowKind:
    key = (row.csms, row.evse_id)
    identity = known.identities.get(key)
    if identity is None:
        return "changed" if key in made else "new"
    if _holders(row, known, organisation, now):
        return "switching"
    same = same_enrolment(row, organisation, known.enrolments.get(identity.evse_id, []), now)
    ends_it = same is not None and same.ends_at is None and row.enrolled_to is not None
    return "changed" if same is None or ends_it or changes_of(row, known) else "unchanged"
