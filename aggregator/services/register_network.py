"""Register a network tree: nodes, their ratings over time, and the meters of the customers on them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.core.network_draft import (
    CustomerDraft,
    InvalidNetwork,
    NetworkDraft,
    NodeDraft,
    RatingDraft,
    check_draft,
    check_parent_kind,
)
from aggregator.models import Batch, Meter, NetworkNode, NodeRating, Organisation
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch
from aggregator.services.registration_events import record_ratings

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
RATED = ("rating_kva", "power_factor", "cyclic_factor", "diversity", "ramp_kw")
STATED = ("name", "n_customers", "admd_kw")

Rated = Mapping[str, float | str | None]


class OwnedByAnother(FlexError):
    code = "network.owned_by_another"


class RatingNotLater(FlexError):
    code = "network.rating_not_later"


def register_network(
    *,
    organisation: Organisation,
    draft: NetworkDraft,
    source: str,
    sha256: str,
    now: datetime,
    valid_from: datetime | None = None,
) -> IngestResult:
    """Store a network tree; what is stored already stays, a rating that changed ends where the new one starts.

    Args:
        organisation: the DNO whose network it is.
        valid_from: start of the ratings that state none; otherwise a node's first rating holds since 2000 and
            a changed one from ``now``.

    Returns:
        Counts of nodes and meters: accepted are new or changed, revised changed, duplicates unchanged.

    Raises:
        InvalidNetwork: the tree contradicts itself or what is stored.
        OwnedByAnother: a node or meter belongs to another organisation.
        RatingNotLater: a changed rating would start before the one it replaces.
    """
    check_draft(draft)
    with transaction.atomic():
        lock_ingest(organisation)
        batch, is_replay = open_batch(
            kind=Batch.Kind.NETWORK, organisation=organisation, source=source, sha256=sha256, received_at=now
        )
        nodes, new, changed = _store_nodes(organisation, draft)
        replaced, set_now = _store_ratings(draft, nodes, new, valid_from, now)
        changed |= set_now.keys()
        n_new_meter, n_moved = _store_meters(organisation, draft, nodes)
        n_accepted = len(new | changed) + n_new_meter + n_moved
        result = IngestResult(
            batch=batch,
            n_accepted=n_accepted,
            n_duplicate=len(draft.nodes) + len(draft.customers) - n_accepted,
            n_quarantined=0,
            n_revised=len(changed - new) + n_moved,
            findings=draft.findings,
        )
        result = close_batch(result, noticed_at=now, is_replay=is_replay)
        record_ratings(batch=batch, before=replaced, after=set_now, now=now)
        return result


def _store_nodes(organisation: Organisation, draft: NetworkDraft) -> tuple[dict[str, NetworkNode], set[str], set[str]]:
    """Nodes by code, and the codes of the new and of the changed ones."""
    codes = {node.code for node in draft.nodes} | {node.parent for node in draft.nodes if node.parent}
    nodes = {node.code: node for node in NetworkNode.objects.filter(code__in=codes)}
    new: set[str] = set()
    changed: set[str] = set()
    for level in _levels(draft.nodes):
        made = []
        for drafted in level:
            parent = _parent(drafted, nodes)
            stored = nodes.get(drafted.code)
            if stored is None:
                made.append(_new_node(organisation, drafted, parent))
            elif _update_node(organisation, drafted, parent, stored):
                changed.add(drafted.code)
        NetworkNode.objects.bulk_create(made, batch_size=2_000)
        nodes.update((node.code, node) for node in made)
        new |= {node.code for node in made}
    return nodes, new, changed


def _levels(nodes: tuple[NodeDraft, ...]) -> list[list[NodeDraft]]:
    """Drafts by their depth within the file."""
    depth: dict[str, int] = {}
    levels: list[list[NodeDraft]] = []
    for node in nodes:
        depth[node.code] = depth.get(node.parent or "", -1) + 1
        if depth[node.code] == len(levels):
            levels.append([])
        levels[depth[node.code]].append(node)
    return levels


def _parent(drafted: NodeDraft, nodes: dict[str, NetworkNode]) -> NetworkNode | None:
    if drafted.parent is None:
        return None
    parent = nodes.get(drafted.parent)
    if parent is None:
        raise InvalidNetwork(
            f"node {drafted.code} hangs on {drafted.parent}, which is neither in the file nor stored",
            node=drafted.code,
            parent=drafted.parent,
        )
    check_parent_kind(drafted.code, drafted.kind, parent.kind)
    return parent


def _new_node(organisation: Organisation, drafted: NodeDraft, parent: NetworkNode | None) -> NetworkNode:
    return NetworkNode(
        code=drafted.code,
        name=drafted.name,
        kind=drafted.kind,
        parent=parent,
        phase=drafted.phase,
        organisation=organisation,
        n_customers=drafted.n_customers,
        admd_kw=drafted.admd_kw,
    )


def _update_node(
    organisation: Organisation, drafted: NodeDraft, parent: NetworkNode | None, stored: NetworkNode
) -> bool:
    """Bring a stored node up to the draft; say whether anything changed."""
    if stored.organisation_id != organisation.pk:
        raise OwnedByAnother(f"node {stored.code} belongs to another organisation", node=stored.code)
    if (stored.kind, stored.phase) != (drafted.kind, drafted.phase):
        raise InvalidNetwork(
            f"node {stored.code} is stored as a {stored.kind} {stored.phase}".strip(), node=stored.code
        )
    # A file that names no parent says nothing about what lies above.
    parent_pk = stored.parent_id if parent is None else parent.pk
    stated = [getattr(drafted, name) for name in STATED]
    if stored.parent_id == parent_pk and stated == [getattr(stored, name) for name in STATED]:
        return False
    stored.parent_id = parent_pk
    for name, value in zip(STATED, stated, strict=True):
        setattr(stored, name, value)
    stored.save()
    return True


def _store_ratings(
    draft: NetworkDraft, nodes: dict[str, NetworkNode], new: set[str], valid_from: datetime | None, now: datetime
) -> tuple[dict[str, Rated], dict[str, Rated]]:
    """The ratings that were replaced, and those that were set, each by its node's code."""
    rated = {node.code: node.rating for node in draft.nodes if node.rating is not None}
    in_force = NodeRating.objects.filter(node__code__in=rated.keys() - new, valid_to__isnull=True)
    current = {rating.node_id: rating for rating in in_force}
    rows: list[NodeRating] = []
    replaced: dict[str, Rated] = {}
    for code, rating in rated.items():
        before = current.get(nodes[code].pk)
        starts_at = rating.valid_from or valid_from or (ALWAYS if before is None else now)
        if before is not None:
            if all(getattr(rating, name) == getattr(before, name) for name in RATED):
                continue
            replaced[code] = _rated(before)
            _end(before, starts_at, code)
        rows.append(_rating_row(nodes[code], rating, starts_at))
    NodeRating.objects.bulk_create(rows, batch_size=2_000)
    return replaced, {row.node.code: _rated(row) for row in rows}


def _rated(row: NodeRating) -> Rated:
    return {"valid_from": row.valid_from.isoformat(), **{name: getattr(row, name) for name in RATED}}


def _end(before: NodeRating, starts_at: datetime, code: str) -> None:
    if starts_at <= before.valid_from:
        raise RatingNotLater(
            f"node {code} has a rating of {before.rating_kva:g} kVA since {before.valid_from.isoformat()}; another one "
            f"can't start at {starts_at.isoformat()}: state a later start",
            node=code,
        )
    before.valid_to = starts_at
    before.save(update_fields=["valid_to"])


def _rating_row(node: NetworkNode, rating: RatingDraft, starts_at: datetime) -> NodeRating:
    stated = {name: getattr(rating, name) for name in RATED}
    return NodeRating(node=node, valid_from=starts_at, source=rating.source, **stated)


def _store_meters(organisation: Organisation, draft: NetworkDraft, nodes: dict[str, NetworkNode]) -> tuple[int, int]:
    """Numbers of customers' meters made and moved."""
    codes = [customer.code for customer in draft.customers]
    meters = {meter.code: meter for meter in Meter.objects.across_tenants().filter(code__in=codes)}
    made, moved = [], []
    for customer in draft.customers:
        node = nodes[customer.node] if customer.node else None
        meter = meters.get(customer.code)
        if meter is None:
            made.append(Meter(code=customer.code, kind=Meter.Kind.CUSTOMER, node=node, organisation=organisation))
        elif _moves(organisation, customer, meter, node):
            moved.append(meter)
    Meter.objects.across_tenants().bulk_create(made, batch_size=2_000)
    Meter.objects.across_tenants().bulk_update(moved, ["node"], batch_size=2_000)
    return len(made), len(moved)


def _moves(organisation: Organisation, customer: CustomerDraft, meter: Meter, node: NetworkNode | None) -> bool:
    if meter.organisation_id != organisation.pk or meter.kind != Meter.Kind.CUSTOMER:
        raise OwnedByAnother(f"meter {customer.code} is another organisation's, or no customer's", meter=customer.code)
    if meter.node_id == (node.pk if node else None):
        return False
    meter.node = node
    return True
