"""A network tree as a file states it, before any of it is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote

KINDS = ("primary", "distribution", "feeder", "phase")
PHASES = ("A", "B", "C")
DEFAULT_POWER_FACTOR = 0.98
DEFAULT_ADMD_KW = 1.5


class InvalidNetwork(FlexError):
    code = "network.invalid"


@dataclass(frozen=True, slots=True)
class RatingDraft:
    """What a node may carry; ``valid_from`` None means always, or from now where it replaces another."""

    rating_kva: float
    power_factor: float = DEFAULT_POWER_FACTOR
    cyclic_factor: float = 1.0
    diversity: float = 1.0
    ramp_kw: float | None = None
    source: str = ""
    valid_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class NodeDraft:
    """One element of the tree; ``n_customers`` counts those connected directly here, not below."""

    code: str
    kind: str
    parent: str | None
    name: str = ""
    phase: str = ""
    n_customers: int = 0
    admd_kw: float = DEFAULT_ADMD_KW
    rating: RatingDraft | None = None


@dataclass(frozen=True, slots=True)
class CustomerDraft:
    """A customer's boundary meter and the node it hangs on; None where no feeder reaches it."""

    code: str
    node: str | None


@dataclass(frozen=True, slots=True)
class NetworkDraft:
    """Nodes with parents before children, customers' meters, and what was odd about them."""

    nodes: tuple[NodeDraft, ...]
    customers: tuple[CustomerDraft, ...] = ()
    findings: tuple[FindingNote, ...] = ()


def check_draft(draft: NetworkDraft) -> None:
    """Refuse a tree that contradicts itself; parents outside the draft are the caller's to check.

    Raises:
        InvalidNetwork: a code twice, a kind or phase that doesn't fit the parent, or the same phase twice.
    """
    kinds: dict[str, str] = {}
    phases: set[tuple[str | None, str]] = set()
    for node in draft.nodes:
        if node.code in kinds:
            raise InvalidNetwork(f"node {node.code} is named twice", node=node.code)
        if node.parent is not None and node.parent in kinds:
            check_parent_kind(node.code, node.kind, kinds[node.parent])
        if (node.parent is None) and node.kind in ("feeder", "phase"):
            raise InvalidNetwork(f"{node.kind} {node.code} has no parent", node=node.code)
        if (node.kind == "phase") != (node.phase in PHASES):
            raise InvalidNetwork(
                f"{node.kind} {node.code} has phase {node.phase!r}, expected A, B or C on a phase and none elsewhere",
                node=node.code,
            )
        if node.phase and (node.parent, node.phase) in phases:
            raise InvalidNetwork(f"feeder {node.parent} has phase {node.phase} twice", node=node.code)
        phases.add((node.parent, node.phase))
        kinds[node.code] = node.kind
    _refuse_twice([customer.code for customer in draft.customers])


def check_parent_kind(code: str, kind: str, parent_kind: str) -> None:
    """Refuse a parent of the wrong kind: a primary feeds distribution substations, these feeders, these phases.

    Raises:
        InvalidNetwork: the kinds are no neighbours in that order.
    """
    if KINDS.index(parent_kind) != KINDS.index(kind) - 1:
        raise InvalidNetwork(f"{kind} {code} hangs on a {parent_kind}", node=code)


def parents_first(nodes: Sequence[NodeDraft]) -> tuple[NodeDraft, ...]:
    """Order nodes so that each comes after its parent.

    Raises:
        InvalidNetwork: nodes are each other's parents.
    """
    own = {node.code for node in nodes}
    waiting: dict[str | None, list[NodeDraft]] = {}
    for node in nodes:
        waiting.setdefault(node.parent if node.parent in own else None, []).append(node)
    ordered = waiting.pop(None, [])
    for node in ordered:  # grows while it is walked
        ordered.extend(waiting.pop(node.code, []))
    if waiting:
        code = next(iter(waiting.values()))[0].code
        raise InvalidNetwork(f"node {code} is above itself", node=code)
    return tuple(ordered)


def _refuse_twice(codes: Sequence[str]) -> None:
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            raise InvalidNetwork(f"customer {code} is named twice", customer=code)
        seen.add(code)
