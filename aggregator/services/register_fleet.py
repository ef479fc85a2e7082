"""Register EVSEs: what they are, who they are, and which DSRSP they are enrolled with from when."""

from datetime import datetime

from django.db import transaction

from aggregator.core.registration import Registration, RegistrationRefused
from aggregator.models import CSMS, EVSE, Batch, Enrolment, EvseIdentity, Meter, Organisation
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch
from aggregator.services.caps import committed_kw, lock_cap, refuse_above_cap, standings
from aggregator.services.fleet_checks import FOREVER, Key, KnownFleet, by_start, check_registrations, load_known
from aggregator.services.registration_events import record_enrolments

ROWS_A_STATEMENT = 2_000
DESCRIBED = ("phases", "rated_kw", "min_current_a", "scenario", "firmware", "delay_max_s")
IDENTIFIED = ("amsid", "boundary_msid", "gsp_group")


def register_fleet(
    *,
    organisation: Organisation,
    rows: tuple[Registration, ...],
    source: str,
    sha256: str,
    now: datetime,
    register_new: bool = False,
    enrol_only: frozenset[int] = frozenset(),
) -> IngestResult:
    """Register EVSEs, all of them or none.

    An EVSE is known by its CSMS and its id there: a row about a known one brings it up to date, and a row with
    another DSRSP that starts later ends the enrolment in force then, so a switch needs no new EVSE.

    Args:
        enrol_only: lines of rows whose EVSE stays as it is registered; only their enrolment is taken.

    Returns:
        Counts of rows: accepted are new or changed something, revised changed something, duplicates nothing.

    Raises:
        RegistrationRefused: with every error of every row.
        CapExceeded: all enrolled EVSEs together would be above the cap on controllable power.
    """
    with transaction.atomic():
        lock_ingest(organisation)
        errors = check_registrations(rows=rows, now=now, register_new=register_new)
        if errors:
            raise RegistrationRefused(errors)
        batch, is_replay = open_batch(
            kind=Batch.Kind.EVSES, organisation=organisation, source=source, sha256=sha256, received_at=now
        )
        if register_new:
            _register_new(rows)
        lock_cap()
        before, before_kw = standings(now=now), committed_kw(now=now)
        known = load_known(rows)
        new = _make_evses(rows, known)
        updated = {row.line for row in rows if row.line not in new | enrol_only and _update(row, known)}
        enrolled = _enrol(rows, known, now, is_replay=is_replay)
        refuse_above_cap(before_kw=before_kw, rows=rows, now=now)
        changed = (updated | enrolled) - new
        result = IngestResult(
            batch=batch,
            n_accepted=len(new | changed),
            n_duplicate=len(rows) - len(new | changed),
            n_quarantined=0,
            n_revised=len(changed),
        )
        result = close_batch(result, noticed_at=now, is_replay=is_replay)
        of_note = tuple(row for row in rows if row.line in new | changed)
        record_enrolments(batch=batch, rows=of_note, before=before, now=now)
        return result


def _register_new(rows: tuple[Registration, ...]) -> None:
    for code in sorted({row.dsrsp for row in rows}):
        Organisation.objects.get_or_create(code=code, defaults={"name": code, "kind": Organisation.Kind.DSRSP})
    for code in sorted({row.csms for row in rows}):
        CSMS.objects.get_or_create(code=code, defaults={"name": code})


def _make_evses(rows: tuple[Registration, ...], known: KnownFleet) -> set[int]:
    """Make the EVSEs that are not known yet, entering them in ``known``; lines of the rows that made them."""
    first: dict[Key, Registration] = {}
    for row in rows:
        if (row.csms, row.evse_id) not in known.identities:
            first.setdefault((row.csms, row.evse_id), row)
    new = list(first.values())
    meters = [_new_meter(row, known) for row in new]
    Meter.objects.across_tenants().bulk_create(meters, batch_size=ROWS_A_STATEMENT)
    evses = [_new_evse(row, meter, known) for row, meter in zip(new, meters, strict=True)]
    EVSE.objects.across_tenants().bulk_create(evses, batch_size=ROWS_A_STATEMENT)
    identities = [
        EvseIdentity(
            evse=evse,
            csms=known.csms[row.csms],
            csms_ref=row.evse_id,
            **{name: getattr(row, name) for name in IDENTIFIED},
        )
        for row, evse in zip(new, evses, strict=True)
    ]
    EvseIdentity.objects.across_tenants().bulk_create(identities, batch_size=ROWS_A_STATEMENT)
    known.identities.update(zip(first, identities, strict=True))
    return {row.line for row in new}


def _new_meter(row: Registration, known: KnownFleet) -> Meter:
    return Meter(
        code=row.meter_code,
        kind=Meter.Kind.ASSET,
        node=known.node_of(row),
        accuracy_class=row.accuracy_class,
        organisation=known.dsrsps[row.dsrsp],
    )


def _new_evse(row: Registration, meter: Meter, known: KnownFleet) -> EVSE:
    node = known.node_of(row)
    evse = EVSE(
        node=node,
        phases=row.phases,
        rated_kw=row.rated_kw,
        min_current_a=row.min_current_a,
        scenario=row.scenario,
        meter=meter,
        firmware=row.firmware,
        delay_max_s=row.delay_max_s,
    )
    if row.pseudonym:
        evse.pseudonym = row.pseudonym
    return evse


def _update(row: Registration, known: KnownFleet) -> bool:
    """Bring a known EVSE up to what its row states; say whether that changed anything."""
    changes = changes_of(row, known)
    for stored, changed in changes:
        for name, value in changed.items():
            setattr(stored, name, value)
        stored.save(update_fields=list(changed))
    return bool(changes)


def changes_of(row: Registration, known: KnownFleet) -> list[tuple[EVSE | EvseIdentity | Meter, dict[str, object]]]:
    """What a row about a known EVSE states otherwise than it is stored: each stored row with its new values."""
    identity = known.identities[(row.csms, row.evse_id)]
    node = known.node_of(row)
    place = {"node_id": node.pk if node else None}
    stated: list[tuple[EVSE | EvseIdentity | Meter, dict[str, object]]] = [
        (identity.evse, {**_stated(row, DESCRIBED), **place}),
        (identity.evse.meter, {"accuracy_class": row.accuracy_class, **place}),
        (identity, _stated(row, IDENTIFIED)),
    ]
    changes = [(stored, _changed(stored, values)) for stored, values in stated]
    return [(stored, changed) for stored, changed in changes if changed]


def _stated(row: Registration, names: tuple[str, ...]) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _changed(stored: EVSE | EvseIdentity | Meter, stated: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in stated.items() if getattr(stored, name) != value}


def _enrol(rows: tuple[Registration, ...], known: KnownFleet, now: datetime, *, is_replay: bool) -> set[int]:
    """Make the enrolments that are not there yet; lines of the rows that made or ended one."""
    changed = set()
    made: list[Enrolment] = []
    for row in by_start(rows, now):
        evse = known.identities[(row.csms, row.evse_id)].evse
        dsrsp = known.dsrsps[row.dsrsp]
        held = known.enrolments.setdefault(evse.pk, [])
        same = same_enrolment(row, dsrsp, held, now)
        if same is None and not (is_replay and row.enrolled_from is None):
            starts_at = row.enrolled_from or now
            _end_open(held, starts_at)
            held.append(_new_enrolment(row, evse, dsrsp, starts_at))
            made.append(held[-1])
            changed.add(row.line)
        elif same is not None and same.ends_at is None and row.enrolled_to is not None:
            _end(same, row.enrolled_to)
            changed.add(row.line)
        _hand_over(evse.meter, held, now)
    Enrolment.objects.across_tenants().bulk_create(made, batch_size=ROWS_A_STATEMENT)
    return changed


def _hand_over(meter: Meter, held: list[Enrolment], now: datetime) -> None:
    """A meter is its EVSE's DSRSP's: a coming one has to wait for it, and finds it the next time it registers."""
    in_force = [one for one in held if one.starts_at <= now < (one.ends_at or FOREVER)]
    if in_force and meter.organisation_id != in_force[0].dsrsp_id:
        meter.organisation = in_force[0].dsrsp
        meter.save(update_fields=["organisation_id"])


def same_enrolment(row: Registration, dsrsp: Organisation, held: list[Enrolment], now: datetime) -> Enrolment | None:
    """The enrolment a row speaks of: the one of its start, or without a start the one in force."""
    for enrolment in held:
        is_meant = (
            (enrolment.ends_at or FOREVER) > now
            if row.enrolled_from is None
            else enrolment.starts_at == row.enrolled_from
        )
        if enrolment.dsrsp_id == dsrsp.pk and is_meant:
            return enrolment
    return None


def _new_enrolment(row: Registration, evse: EVSE, dsrsp: Organisation, starts_at: datetime) -> Enrolment:
    return Enrolment(
        evse=evse,
        dsrsp=dsrsp,
        starts_at=starts_at,
        ends_at=row.enrolled_to,
        consented_at=row.consented_at or starts_at,
        consent_evidence=row.consent_evidence,
        services=list(row.services),
    )


def _end_open(held: list[Enrolment], starts_at: datetime) -> None:
    for enrolment in held:
        if enrolment.ends_at is None and enrolment.starts_at < starts_at:
            _end(enrolment, starts_at)


def _end(enrolment: Enrolment, ends_at: datetime) -> None:
    enrolment.ends_at = ends_at
    if enrolment.pk:  # one made by an earlier row of the same file is stored as it stands at the end
        enrolment.save(update_fields=["ends_at"])
