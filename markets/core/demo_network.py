"""A fictional primary with four distribution substations and fifteen feeders, some of them close to their limits."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aggregator.core.types import IntArray
from markets.core.demo_calendar import demo_stream

NodeKind = Literal["primary", "distribution", "feeder", "phase"]
PHASES = ("A", "B", "C")
NOMINAL_V = 230.0
POWER_FACTOR = 0.98
PRIMARY_CODE = "NM"
PRIMARY_KVA = 1_000.0
# A home's share of the peak of many, and a margin for how few hang on one phase. Source: docs/demo.md
UNMEASURED_ADMD_KW = 1.2
# EV power may change by this part of a substation's rating from one half-hour to the next before it costs.
RAMP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class DemoNode:
    """One network node; ``is_measured`` tells a phase that has a feeder monitor."""

    code: str
    name: str
    kind: NodeKind
    parent: str | None
    phase: str
    n_customers: int
    admd_kw: float
    rating_kva: float
    cyclic_factor: float
    ramp_kw: float | None
    is_measured: bool


@dataclass(frozen=True, slots=True)
class FeederPlan:
    """A feeder as designed: its fuse, its homes, and whether a monitor is fitted."""

    code: str
    name: str
    fuse_a: float
    n_home: int
    is_measured: bool = True

    @property
    def phase_kva(self) -> float:
        return self.fuse_a * NOMINAL_V / 1000


@dataclass(frozen=True, slots=True)
class SubstationPlan:
    code: str
    name: str
    rating_kva: float
    cyclic_factor: float
    feeders: tuple[FeederPlan, ...]


SUBSTATIONS = (
    SubstationPlan(
        "NM-ALD",
        "Alder Lane",
        315.0,
        1.1,
        (
            FeederPlan("NM-ALD-1", "Alder Lane north", 160, 30),
            FeederPlan("NM-ALD-2", "Alder Lane terraces", 100, 36),
            FeederPlan("NM-ALD-3", "Alder Lane south", 160, 27),
            FeederPlan("NM-ALD-4", "Orchard Rise", 100, 24),
        ),
    ),
    SubstationPlan(
        "NM-BEC",
        "Beck Street",
        200.0,
        1.1,
        (
            FeederPlan("NM-BEC-1", "Beck Street terraces", 100, 33),
            FeederPlan("NM-BEC-2", "Mill Bank", 100, 21),
            FeederPlan("NM-BEC-3", "Beck Street east", 160, 36),
            FeederPlan("NM-BEC-4", "Tenter Close", 100, 24, is_measured=False),
        ),
    ),
    SubstationPlan(
        "NM-CHA",
        "Chapel Fold",
        200.0,
        1.1,
        (
            FeederPlan("NM-CHA-1", "Chapel Fold upper", 160, 33),
            FeederPlan("NM-CHA-2", "Chapel Fold terraces", 100, 39),
            FeederPlan("NM-CHA-3", "Glebe Road", 100, 24),
        ),
    ),
    SubstationPlan(
        "NM-DEN",
        "Dene Road",
        500.0,
        1.0,
        (
            FeederPlan("NM-DEN-1", "Dene Road west", 200, 30),
            FeederPlan("NM-DEN-2", "Dene Road flats", 160, 27, is_measured=False),
            FeederPlan("NM-DEN-3", "Dene Cottages", 100, 21),
            FeederPlan("NM-DEN-4", "Leisure centre and station", 315, 15),
        ),
    ),
)


def demo_network(seed: int) -> tuple[DemoNode, ...]:
    """Make the tree, parents before children; only how homes fall on phases is drawn.

    Ratings are kVA; a phase carries its fuse's current at 230 V, a feeder three times that.

    Source: docs/demo.md
    """
    rng = demo_stream("network", seed)
    nodes = [_node(PRIMARY_CODE, "Northmoor primary", "primary", None, PRIMARY_KVA)]
    for substation in SUBSTATIONS:
        nodes.append(_substation(substation))
        for feeder in substation.feeders:
            nodes.append(_node(feeder.code, feeder.name, "feeder", substation.code, 3 * feeder.phase_kva))
            nodes.extend(_phases(feeder, homes_by_phase(feeder.n_home, rng)))
    return tuple(nodes)


def homes_by_phase(n_home: int, rng: np.random.Generator) -> IntArray:
    """Spread homes over three phases: jointed in turn along the street, with one or two out of turn.

    Returns:
        (3,) homes a phase, summing to ``n_home``.
    """
    homes = np.array([n_home // 3 + (phase < n_home % 3) for phase in range(3)], dtype=np.int64)
    moved_from, moved_to = rng.choice(3, size=2, replace=False)
    n_moved = int(rng.integers(0, 3))
    homes[moved_from] -= n_moved
    homes[moved_to] += n_moved
    return homes


def _node(code: str, name: str, kind: NodeKind, parent: str | None, rating_kva: float) -> DemoNode:
    return DemoNode(code, name, kind, parent, "", 0, UNMEASURED_ADMD_KW, rating_kva, 1.0, None, False)


def _substation(plan: SubstationPlan) -> DemoNode:
    return DemoNode(
        code=plan.code,
        name=plan.name,
        kind="distribution",
        parent=PRIMARY_CODE,
        phase="",
        n_customers=0,
        admd_kw=UNMEASURED_ADMD_KW,
        rating_kva=plan.rating_kva,
        cyclic_factor=plan.cyclic_factor,
        ramp_kw=RAMP_SHARE * plan.rating_kva,
        is_measured=False,
    )


def _phases(feeder: FeederPlan, homes: IntArray) -> list[DemoNode]:
    return [
        DemoNode(
            code=f"{feeder.code}-{phase}",
            name=f"{feeder.name}, phase {phase}",
            kind="phase",
            parent=feeder.code,
            phase=phase,
            n_customers=int(n_home),
            admd_kw=UNMEASURED_ADMD_KW,
            rating_kva=feeder.phase_kva,
            cyclic_factor=1.0,
            ramp_kw=None,
            is_measured=feeder.is_measured,
        )
        for phase, n_home in zip(PHASES, homes, strict=True)
    ]
