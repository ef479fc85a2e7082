"""Register EVSEs: what they are, who they are, and which DSRSP they are enrolled with from when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import transaction

from aggregator.core.registration import Registration, RegistrationRefused, RowError, errors_within, is_slug
from aggregator.models import CSMS, EVSE, Batch, Enrolment, EvseIdentity, Meter, NetworkNode, Organisation
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch

ROWS_A_STATEMENT = 2_000
DESCRIBED = ("phases", "rated_kw", "min_current_a", "scenario", "firmware", "delay_max_s")
IDENTIFIED = ("amsid", "boundary_msid", "gsp_group")
FOREVER = datetime.max.replace(tzinfo=UTC)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of all that the rows name."""

    csms: dict[str, CSMS]
    dsrsps: dict[str, Organisation]
    nodes: dict[str, NetworkNode]
    phases: dict[tuple[int, str], NetworkNode]
    identities: dict[Key, EvseIdentity]
    meters: dict[str, Meter]
    pseudonyms: dict[str, Key]
    enrolments: dict[int, list[Enrolment]] = field(default_factory=dict)

    def node_of(self, row: Registration) -> NetworkNode | None:
        node = self.nodes.get(row.node)
        return self.phases.get((node.pk, row.phase)) if node is not None and row.phase else node


def check_registrations(
    *, rows: tuple[Registration, ...], now: datetime, register_new: bool = False
) -> tuple[RowError, ...]:
    """Everything that stands in the way of registering these rows, by line; empty if nothing does.

    Args:
        register_new: DSRSPs and CSMSs not known yet are no error: ``register_fleet`` would register them.
    """
    errors = errors_within(rows)
    known = _load(rows)
    taken: dict[str, Registration] = {}
    for row in rows:
        errors += _reference_errors(row, known, register_new=register_new)
        errors += _meter_errors(row, known, taken)
    errors += _enrolment_errors(rows, known, now)
    return tuple(sorted(errors, key=lambda error: error.line))


def register_fleet(
    *,
    organisation: Organisation,
    rows: tuple[Registration, ...],
    source: str,
    sha256: str,
    now: datetime,
    register_new: bool = False,
) -> IngestResult:
    """Register EVSEs, all of them or none.

    An EVSE is known by its CSMS and its id there: a row about a known one brings it up to date, and a row with
    another DSRSP that starts later ends the enrolment in force then, so a switch needs no new EVSE.

    Returns:
        Counts of rows: accepted are new or changed something, revised changed something, duplicates nothing.

    Raises:
        RegistrationRefused: with every error of every row.
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
        known = _load(rows)
        new = _make_evses(rows, known)
        updated = {row.line for row in rows if row.line not in new and _update(row, known)}
        enrolled = _enrol(rows, known, now, is_replay=is_replay)
        changed = (updated | enrolled) - new
        result = IngestResult(
            batch=batch,
            n_accepted=len(new | changed),
            n_duplicate=len(rows) - len(new | changed),
            n_quarantined=0,
            n_revised=len(changed),
        )
        return close_batch(result, noticed_at=now, is_replay=is_replay)


def _load(rows: tuple[Registration, ...]) -> _Known:
    nodes = {node.code: node for node in NetworkNode.objects.filter(code__in={row.node for row in rows})}
    phases = NetworkNode.objects.filter(parent__in=nodes.values(), kind=NetworkNode.Kind.PHASE)
    identities = {
        (identity.csms.code, identity.csms_ref): identity
        for identity in EvseIdentity.objects.across_tenants()
        .filter(csms__code__in={row.csms for row in rows}, csms_ref__in={row.evse_id for row in rows})
        .select_related("csms", "evse__meter")
    }
    stated = {row.pseudonym for row in rows if row.pseudonym}
    named = EvseIdentity.objects.across_tenants().filter(evse__pseudonym__in=stated)
    known = _Known(
        csms={csms.code: csms for csms in CSMS.objects.filter(code__in={row.csms for row in rows})},
        dsrsps={o.code: o for o in Organisation.objects.filter(code__in={row.dsrsp for row in rows})},
        nodes=nodes,
        phases={(node.parent_id or 0, node.phase): node for node in phases},
        identities=identities,
        meters={
            meter.code: meter
            for meter in Meter.objects.across_tenants().filter(code__in={row.meter_code for row in rows})
        },
        pseudonyms={
            pseudonym: (csms, ref)
            for pseudonym, csms, ref in named.values_list("evse__pseudonym", "csms__code", "csms_ref")
        },
    )
    evses = [identity.evse_id for identity in identities.values()]
    for enrolment in Enrolment.objects.across_tenants().filter(evse__in=evses).order_by("starts_at"):
        known.enrolments.setdefault(enrolment.evse_id, []).append(enrolment)
    return known


# --- what stands in the way -------------------------------------------------------------------------


def _reference_errors(row: Registration, known: _Known, *, register_new: bool) -> list[RowError]:
    errors = []
    dsrsp = known.dsrsps.get(row.dsrsp)
    may_be_new = register_new and is_slug(row.dsrsp)
    if (dsrsp is None and not may_be_new) or (dsrsp is not None and dsrsp.kind != Organisation.Kind.DSRSP):
        errors.append(RowError(row.line, "dsrsp", f"no DSRSP has the code {row.dsrsp!r}"))
    if row.csms not in known.csms and not (register_new and is_slug(row.csms)):
        errors.append(RowError(row.line, "csms", f"no CSMS has the code {row.csms!r}"))
    stated, node = known.nodes.get(row.node), known.node_of(row)
    if stated is None:
        errors.append(RowError(row.line, "node", f"no network node has the code {row.node!r}"))
    elif node is None:
        errors.append(RowError(row.line, "phase", f"node {row.node} has no phase {row.phase}"))
    elif node.kind not in (NetworkNode.Kind.FEEDER, NetworkNode.Kind.PHASE):
        errors.append(RowError(row.line, "node", f"{row.node} is a {node.kind}, expected a feeder or phase"))
    elif node.kind == NetworkNode.Kind.PHASE and row.phases == 3:
        errors.append(RowError(row.line, "node", f"{row.node} is one phase, the EVSE has three: name the feeder"))
    return errors


def _meter_errors(row: Registration, known: _Known, taken: dict[str, Registration]) -> list[RowError]:
    errors = []
    identity = known.identities.get((row.csms, row.evse_id))
    meter = known.meters.get(row.meter_code)
    other = taken.setdefault(row.meter_code, row)
    if (other.csms, other.evse_id) != (row.csms, row.evse_id):
        errors.append(RowError(row.line, "meter_id", f"meter {row.meter_code} is also on line {other.line}"))
    if meter is not None and (identity is None or identity.evse.meter_id != meter.pk):
        errors.append(RowError(row.line, "meter_id", f"meter {row.meter_code} is in use elsewhere"))
    if identity is not None and row.meter_id and identity.evse.meter.code != row.meter_id:
        message = f"{row.evse_id} has meter {identity.evse.meter.code}; an exchange of meters is not supported yet"
        errors.append(RowError(row.line, "meter_id", message))
    if row.pseudonym and known.pseudonyms.get(row.pseudonym, (row.csms, row.evse_id)) != (row.csms, row.evse_id):
        errors.append(RowError(row.line, "pseudonym", f"{row.pseudonym} is another EVSE's"))
    return errors


def _enrolment_errors(rows: tuple[Registration, ...], known: _Known, now: datetime) -> list[RowError]:
    """Play the enrolments through in memory: where two would overlap, name the later row."""
    errors = []
    held: dict[Key, list[tuple[datetime, datetime, str]]] = {}
    by_pk = {organisation.pk: code for code, organisation in known.dsrsps.items()}
    for key, identity in known.identities.items():
        stored = known.enrolments.get(identity.evse_id, [])
        held[key] = [(e.starts_at, e.ends_at or FOREVER, by_pk.get(e.dsrsp_id, "")) for e in stored]
    for row in _by_start(rows, now):
        spans = held.setdefault((row.csms, row.evse_id), [])
        starts_at, ends_at = _span(row, now)
        if row.enrolled_from is None and any(code == row.dsrsp and end > now for _, end, code in spans):
            continue
        same = [end for start, end, code in spans if code == row.dsrsp and start == starts_at]
        if same:
            if row.enrolled_to and same[0] not in (FOREVER, ends_at):
                message = f"{row.evse_id} is enrolled until {same[0].isoformat()} already"
                errors.append(RowError(row.line, "enrolled_to", message))
            continue
        spans[:] = [(s, starts_at if s < starts_at < e == FOREVER else e, c) for s, e, c in spans]
        if any(start < ends_at and starts_at < end for start, end, _ in spans):
            message = f"{row.evse_id} is enrolled otherwise between {starts_at.isoformat()} and {_shown(ends_at)}"
            errors.append(RowError(row.line, "enrolled_from", message))
        spans.append((starts_at, ends_at, row.dsrsp))
    return errors


def _span(row: Registration, now: datetime) -> tuple[datetime, datetime]:
    return row.enrolled_from or now, row.enrolled_to or FOREVER


def _shown(ends_at: datetime) -> str:
    return "further notice" if ends_at == FOREVER else ends_at.isoformat()


def _by_start(rows: tuple[Registration, ...], now: datetime) -> list[Registration]:
    return sorted(rows, key=lambda row: (row.enrolled_from or now, row.line))


# --- storing ----------------------------------------------------------------------------------------


def _register_new(rows: tuple[Registration, ...]) -> None:
    for code in sorted({row.dsrsp for row in rows}):
        Organisation.objects.get_or_create(code=code, defaults={"name": code, "kind": Organisation.Kind.DSRSP})
    for code in sorted({row.csms for row in rows}):
        CSMS.objects.get_or_create(code=code, defaults={"name": code})


def _make_evses(rows: tuple[Registration, ...], known: _Known) -> set[int]:
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


def _new_meter(row: Registration, known: _Known) -> Meter:
    return Meter(
        code=row.meter_code,
        kind=Meter.Kind.ASSET,
        node=known.node_of(row),
        accuracy_class=row.accuracy_class,
        organisation=known.dsrsps[row.dsrsp],
    )


def _new_evse(row: Registration, meter: Meter, known: _Known) -> EVSE:
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


def _update(row: Registration, known: _Known) -> bool:
    """Bring a known EVSE up to what its row states; say whether that changed anything."""
    identity = known.identities[(row.csms, row.evse_id)]
    node = known.node_of(row)
    place = {"node_id": node.pk if node else None}
    is_changed = _assign(identity.evse, {**_stated(row, DESCRIBED), **place})
    meter_changed = _assign(identity.evse.meter, {"accuracy_class": row.accuracy_class, **place})
    who_changed = _assign(identity, _stated(row, IDENTIFIED))
    return is_changed or meter_changed or who_changed


def _stated(row: Registration, names: tuple[str, ...]) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _assign(stored: EVSE | EvseIdentity | Meter, stated: dict[str, object]) -> bool:
    changed = [name for name, value in stated.items() if getattr(stored, name) != value]
    for name in changed:
        setattr(stored, name, stated[name])
    if changed:
        stored.save(update_fields=changed)
    return bool(changed)


def _enrol(rows: tuple[Registration, ...], known: _Known, now: datetime, *, is_replay: bool) -> set[int]:
    """Make the enrolments that are not there yet; lines of the rows that made or ended one."""
    changed = set()
    made: list[Enrolment] = []
    for row in _by_start(rows, now):
        evse = known.identities[(row.csms, row.evse_id)].evse
        dsrsp = known.dsrsps[row.dsrsp]
        held = known.enrolments.setdefault(evse.pk, [])
        same = _same(row, dsrsp, held, now)
        if same is None and not (is_replay and row.enrolled_from is None):
            starts_at = row.enrolled_from or now
            _end_open(held, starts_at)
            held.append(_new_enrolment(row, evse, dsrsp, starts_at))
            made.append(held[-1])
            changed.add(row.line)
            if starts_at == max(enrolment.starts_at for enrolment in held):
                _assign(evse.meter, {"organisation_id": dsrsp.pk})
        elif same is not None and same.ends_at is None and row.enrolled_to is not None:
            _end(same, row.enrolled_to)
            changed.add(row.line)
    Enrolment.objects.across_tenants().bulk_create(made, batch_size=ROWS_A_STATEMENT)
    return changed


def _same(row: Registration, dsrsp: Organisation, held: list[Enrolment], now: datetime) -> Enrolment | None:
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
