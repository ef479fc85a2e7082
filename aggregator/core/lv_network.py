"""From an LV network of cables to the tree of limits: substations, feeders by their head cable, phases, customers."""

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Literal

from aggregator.core.findings import FindingNote
from aggregator.core.network_draft import (
    DEFAULT_ADMD_KW,
    PHASES,
    CustomerDraft,
    InvalidNetwork,
    NetworkDraft,
    NodeDraft,
    RatingDraft,
)

CODE_LETTERS = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class LvTransformer:
    id: str
    lv_bus: str
    rating_kva: float


@dataclass(frozen=True, slots=True)
class LvLine:
    """A cable from its upstream to its downstream end; ``ampacity_a`` per phase, None where unknown."""

    id: str
    from_node: str
    to_node: str
    ampacity_a: float | None
    closes_loop: bool = False


@dataclass(frozen=True, slots=True)
class LvCustomer:
    """A customer; ``phase`` empty if three-phase or unknown, ``demand_kw`` None without a planning demand."""

    id: str
    node: str
    phase: Literal["", "A", "B", "C"]
    demand_kw: float | None


@dataclass(frozen=True, slots=True)
class LvNetwork:
    name: str
    nominal_ll_v: float
    source: str
    ampacity_note: str
    transformers: tuple[LvTransformer, ...]
    lines: tuple[LvLine, ...]
    customers: tuple[LvCustomer, ...]


def tree_of(network: LvNetwork, *, parent: str | None = None) -> NetworkDraft:
    """Draft the tree of limits of an LV network.

    Each transformer becomes a distribution substation; each cable at its LV bus a feeder rated
    3 x ampacity x phase voltage, with three phases of a third each. A customer hangs on the phase it is
    connected to, or on the feeder where that is three-phase or unknown, or on the substation where it sits at
    the bus itself. Only the head cable limits a feeder: cables further down and voltage do not.

    Args:
        parent: code of the primary substation above, if it is known.

    Raises:
        InvalidNetwork: no transformer, or two ids that become one code.
    """
    if not network.transformers:
        raise InvalidNetwork(f"network {network.name} has no transformer")
    feeder_of, findings = _walk(network)
    nodes: list[NodeDraft] = []
    if len(network.transformers) > 1:
        findings.append(
            FindingNote(
                "network.several_transformers",
                network.name,
                f"{network.name} has {len(network.transformers)} transformers; each became a substation of its own",
                "info",
                {"n_transformer": len(network.transformers)},
            )
        )
    customers = [_place(network, customer, feeder_of, findings) for customer in network.customers]
    on_node = _Load(network, customers)
    for transformer in network.transformers:
        nodes.extend(_substation(network, transformer, parent, on_node, findings))
    _refuse_shared_codes(network, nodes)
    return NetworkDraft(tuple(nodes), tuple(customers), tuple(findings))


class _Load:
    """Customers and their mean planning demand by node."""

    def __init__(self, network: LvNetwork, customers: list[CustomerDraft]) -> None:
        self._demand: dict[str, list[float | None]] = {}
        for customer, placed in zip(network.customers, customers, strict=True):
            if placed.node is not None:
                self._demand.setdefault(placed.node, []).append(customer.demand_kw)

    def n_customers(self, code: str) -> int:
        return len(self._demand.get(code, []))

    def admd_kw(self, code: str) -> float:
        known = [demand for demand in self._demand.get(code, []) if demand is not None]
        return round(math.fsum(known) / len(known), 9) if known else DEFAULT_ADMD_KW


def _code(*parts: str) -> str:
    return "-".join(CODE_LETTERS.sub("_", part) for part in parts)


def _heads(network: LvNetwork, transformer: LvTransformer) -> list[LvLine]:
    at_bus = (line for line in network.lines if transformer.lv_bus in (line.from_node, line.to_node))
    return [line for line in at_bus if not line.closes_loop]


def _walk(network: LvNetwork) -> tuple[dict[str, str], list[FindingNote]]:
    """Which feeder (or, for a bus, substation) each cable node hangs on, walking outwards from every bus at once."""
    neighbours: dict[str, list[str]] = {}
    for line in network.lines:
        if not line.closes_loop:
            neighbours.setdefault(line.from_node, []).append(line.to_node)
            neighbours.setdefault(line.to_node, []).append(line.from_node)
    hangs_on = {t.lv_bus: _code(network.name, t.id) for t in network.transformers}
    queue: deque[tuple[str, str, str]] = deque()
    for transformer in network.transformers:
        for head in _heads(network, transformer):
            far = head.to_node if head.from_node == transformer.lv_bus else head.from_node
            queue.append((far, transformer.lv_bus, _code(network.name, transformer.id, head.id)))
    meshed: dict[str, str] = {}
    while queue:
        node, came_from, feeder = queue.popleft()
        if node in hangs_on:
            if hangs_on[node] != feeder:
                meshed.setdefault(feeder, node)
            continue
        hangs_on[node] = feeder
        queue.extend((beyond, node, feeder) for beyond in neighbours.get(node, []) if beyond != came_from)
    return hangs_on, [_meshed_note(feeder, node, hangs_on[node]) for feeder, node in sorted(meshed.items())]


def _meshed_note(feeder: str, node: str, other: str) -> FindingNote:
    return FindingNote(
        "network.meshed",
        feeder,
        f"{feeder} and {other} meet at {node}: what lies beyond is taken to hang on the nearer one",
        "warning",
        {"at": node, "other": other},
    )


def _place(
    network: LvNetwork, customer: LvCustomer, hangs_on: dict[str, str], findings: list[FindingNote]
) -> CustomerDraft:
    code = _code(network.name, customer.id)
    node = hangs_on.get(customer.node)
    if node is None:
        findings.append(
            FindingNote(
                "network.customer_unreachable",
                code,
                f"no feeder reaches customer {customer.id} at {customer.node}; its demand counts nowhere",
                "warning",
                {"at": customer.node},
            )
        )
        return CustomerDraft(code, None)
    if customer.node in {transformer.lv_bus for transformer in network.transformers}:
        findings.append(
            FindingNote(
                "network.customer_at_bus",
                code,
                f"customer {customer.id} is connected at the bus of {node}, on no feeder",
                "info",
                {"at": customer.node},
            )
        )
        return CustomerDraft(code, node)
    return CustomerDraft(code, f"{node}-{customer.phase}" if customer.phase else node)


def _substation(
    network: LvNetwork,
    transformer: LvTransformer,
    parent: str | None,
    on_node: _Load,
    findings: list[FindingNote],
) -> list[NodeDraft]:
    code = _code(network.name, transformer.id)
    rating = RatingDraft(transformer.rating_kva, source=f"transformer {transformer.id} of {network.source}"[:200])
    nodes = [_node(code, "distribution", parent, f"{network.name} {transformer.id}", on_node, rating)]
    for head in _heads(network, transformer):
        nodes.extend(_feeder(network, head, code, on_node, findings))
    return nodes


def _feeder(
    network: LvNetwork, head: LvLine, substation: str, on_node: _Load, findings: list[FindingNote]
) -> list[NodeDraft]:
    code = _code(substation, head.id)
    if head.ampacity_a is None:
        message = f"the head cable of {code} has no ampacity, so the feeder has no rating"
        findings.append(FindingNote("network.no_rating", code, message, "alarm"))
        rating = third = None
    else:
        kva = 3 * head.ampacity_a * network.nominal_ll_v / math.sqrt(3) / 1000
        source = f"head cable {head.id}, {head.ampacity_a:g} A; {network.ampacity_note}"[:200]
        rating, third = RatingDraft(kva, source=source), RatingDraft(kva / 3, source=source)
    feeder = _node(code, "feeder", substation, f"{network.name} {head.id}", on_node, rating)
    phases = [
        _node(f"{code}-{phase}", "phase", code, f"{network.name} {head.id} phase {phase}", on_node, third, phase)
        for phase in PHASES
    ]
    return [feeder, *phases]


def _node(
    code: str, kind: str, parent: str | None, name: str, on_node: _Load, rating: RatingDraft | None, phase: str = ""
) -> NodeDraft:
    return NodeDraft(code, kind, parent, name, phase, on_node.n_customers(code), on_node.admd_kw(code), rating)


def _refuse_shared_codes(network: LvNetwork, nodes: list[NodeDraft]) -> None:
    codes = [node.code for node in nodes]
    shared = {code for code in codes if codes.count(code) > 1}
    if shared:
        raise InvalidNetwork(f"two ids of network {network.name} become the one code {min(shared)}")
