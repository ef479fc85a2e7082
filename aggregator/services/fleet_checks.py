"""What stands in the way of registering EVSEs, found before anything is stored."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from aggregator.core.registration import Registration, RowError, errors_within, is_slug
from aggregator.models import CSMS, Enrolment, EvseIdentity, Meter, NetworkNode, Organisation

FOREVER = datetime.max.replace(tzinfo=UTC)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class KnownFleet:
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
        """The feeder or phase a row names, None if there is none."""
        node = self.nodes.get(row.node)
        return self.phases.get((node.pk, row.phase)) if node is not None and row.phase else node


def check_registrations(
    *, rows: tuple[Registration, ...], now: datetime, register_new: bool = False, known: KnownFleet | None = None
) -> tuple[RowError, ...]:
    """Everything that stands in the way of registering these rows, by line; empty if nothing does.

    Args:
        known: what ``load_known`` found for these rows, where it was loaded already.
        register_new: DSRSPs and CSMSs not known yet are no error: ``register_fleet`` would register them.
    """
    errors = errors_within(rows)
    known = known or load_known(rows)
    taken: dict[str, Registration] = {}
    for row in rows:
        errors += _reference_errors(row, known, register_new=register_new)
        errors += _meter_errors(row, known, taken)
    errors += _enrolment_errors(rows, known, now)
    return tuple(sorted(errors, key=lambda error: error.line))


def load_known(rows: tuple[Registration, ...]) -> KnownFleet:
    """Load what is stored of all that the rows name."""
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
    known = KnownFleet(
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


def _reference_errors(row: Registration, known: KnownFleet, *, register_new: bool) -> list[RowError]:
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
    elif node.kind == NetworkNode.Kind.PHASE and row.phases == 3 and not row.phase:
        errors.append(RowError(row.line, "node", f"{row.node} is one phase, the EVSE has three: name the feeder"))
    return errors


def _meter_errors(row: Registration, known: KnownFleet, taken: dict[str, Registration]) -> list[RowError]:
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


def _enrolment_errors(rows: tuple[Registration, ...], known: KnownFleet, now: datetime) -> list[RowError]:
    """Play the enrolments through in memory: where two would overlap, name the later row."""
    errors = []
    held: dict[Key, list[tuple[datetime, datetime, str]]] = {}
    by_pk = {organisation.pk: code for code, organisation in known.dsrsps.items()}
    for key, identity in known.identities.items():
        stored = known.enrolments.get(identity.evse_id, [])
        held[key] = [(e.starts_at, e.ends_at or FOREVER, by_pk.get(e.dsrsp_id, "")) for e in stored]
    for row in by_start(rows, now):
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


def by_start(rows: tuple[Registration, ...], now: datetime) -> list[Registration]:
    """Order rows by the start of their enrolment, then by line."""
    return sorted(rows, key=lambda row: (row.enrolled_from or now, row.line))
