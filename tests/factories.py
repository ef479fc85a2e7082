"""Builders of stored rows for tests: each makes what it needs and returns the row; codes say what is what."""

from datetime import UTC, datetime

from aggregator.models import CSMS, EVSE, Enrolment, EvseIdentity, Meter, NetworkNode, NodeRating, Organisation

LONG_AGO = datetime(2010, 1, 1, tzinfo=UTC)
PARENT_KIND = {"distribution": "primary", "feeder": "distribution", "phase": "feeder"}


def make_organisation(code: str = "flexco", kind: str = "dsrsp") -> Organisation:
    return Organisation.objects.get_or_create(code=code, defaults={"name": code.title(), "kind": kind})[0]


def make_dno(code: str = "dno") -> Organisation:
    return make_organisation(code, "dno")


def make_csms(code: str = "csms") -> CSMS:
    return CSMS.objects.get_or_create(code=code, defaults={"name": code})[0]


def make_node(
    code: str = "feeder-1",
    kind: str = "feeder",
    parent: NetworkNode | None = None,
    *,
    phase: str = "",
    rating_kva: float | None = 100.0,
    dno: Organisation | None = None,
    n_customers: int = 0,
) -> NetworkNode:
    """A node with a rating valid since 2010; a feeder or phase without a parent gets one made for it."""
    if parent is None and kind in ("feeder", "phase"):
        parent = make_node(f"{code}-up", PARENT_KIND[kind], rating_kva=rating_kva, dno=dno)
    node = NetworkNode.objects.create(
        code=code, kind=kind, parent=parent, phase=phase, organisation=dno or make_dno(), n_customers=n_customers
    )
    if rating_kva is not None:
        NodeRating.objects.create(node=node, rating_kva=rating_kva, valid_from=LONG_AGO)
    return node


def make_feeder(code: str = "feeder-1", *, rating_kva: float = 100.0, dno: Organisation | None = None) -> NetworkNode:
    """A feeder with three phase children, a third of its rating each."""
    feeder = make_node(code, rating_kva=rating_kva, dno=dno)
    for phase in "ABC":
        make_node(f"{code}-{phase}", "phase", feeder, phase=phase, rating_kva=rating_kva / 3, dno=dno)
    return feeder


def make_meter(
    code: str = "meter-1",
    kind: str = "customer",
    *,
    node: NetworkNode | None = None,
    organisation: Organisation | None = None,
) -> Meter:
    meter = Meter(code=code, kind=kind, node=node, organisation=organisation or make_organisation())
    meter.save()
    return meter


def make_enrolment(
    evse: EVSE, dsrsp: Organisation, starts_at: datetime = LONG_AGO, ends_at: datetime | None = None
) -> Enrolment:
    enrolment = Enrolment(
        evse=evse, dsrsp=dsrsp, starts_at=starts_at, ends_at=ends_at, consented_at=starts_at, services=["routine"]
    )
    enrolment.save()
    return enrolment


def make_evse(
    ref: str = "evse-1",
    *,
    node: NetworkNode | None = None,
    dsrsp: Organisation | None = None,
    csms: CSMS | None = None,
    rated_kw: float = 7.4,
    phases: int = 1,
    enrolled_from: datetime | None = LONG_AGO,
    enrolled_to: datetime | None = None,
) -> EVSE:
    """An EVSE with meter ``<ref>-meter``, pseudonym ``evse_<ref>`` and identity; enrolled unless told None."""
    dsrsp = dsrsp or make_organisation()
    node = node or NetworkNode.objects.filter(kind="feeder").first() or make_node()
    evse = EVSE(
        pseudonym=f"evse_{ref}",
        node=node,
        phases=phases,
        rated_kw=rated_kw,
        meter=make_meter(f"{ref}-meter", "asset", node=node, organisation=dsrsp),
    )
    evse.save()
    EvseIdentity(evse=evse, csms=csms or make_csms(), csms_ref=ref).save()
    if enrolled_from is not None:
        make_enrolment(evse, dsrsp, enrolled_from, enrolled_to)
    return evse
