"""The demo's virtual EVSEs: where each hangs, what it can do, and which DSRSP its owner chose, from when to when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from aggregator.core.types import FloatArray, IntArray, StrArray
from markets.core.demo_calendar import FIRST_DAY, N_HISTORY_DAY, demo_stream
from markets.core.demo_network import DemoNode

N_OFF_STREET, N_ON_STREET, N_DESTINATION = 258, 27, 15
N_UNKNOWN_PHASE = 8
N_SWITCHED = 6
OFF_STREET, ON_STREET, DESTINATION = "off_street_residential", "on_street", "destination"
DESTINATION_FEEDERS = ("NM-DEN-4", "NM-CHA-1")
ON_STREET_FEEDERS = ("NM-ALD-3", "NM-BEC-3", "NM-DEN-2")
DSRSPS = ("amber-vale", "tern-hollow")
DSRSP_SHARES = (0.6, 0.4)
CSMSS = ("hearthside", "lanternway")
FIRMWARES = (("hs-4.2.1", "hs-4.1.7"), ("lw-24.10", "lw-25.02"))
# 16 A and 32 A at 230 V, on one phase and on three.
SINGLE_16A_KW, SINGLE_32A_KW, THREE_16A_KW, THREE_32A_KW = 3.68, 7.36, 11.04, 22.08


@dataclass(frozen=True, slots=True)
class DemoEnrolment:
    """One EVSE's time with one DSRSP; ``evse`` is an index into the fleet."""

    evse: int
    dsrsp: str
    starts_at: datetime
    ends_at: datetime | None
    consented_at: datetime


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """All arrays are (n_evse,); ``enrolments`` are by EVSE, oldest first."""

    evse_ids: StrArray
    meter_codes: StrArray
    node_codes: StrArray
    phases: IntArray
    rated_kw: FloatArray
    scenarios: StrArray
    csmss: StrArray
    csms_refs: StrArray
    firmwares: StrArray
    delay_max_s: IntArray
    enrolments: tuple[DemoEnrolment, ...]

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.__slots__ if name != "enrolments"}
        if shapes != {(len(self.evse_ids),)}:
            raise ValueError(f"a fleet of {len(self.evse_ids)} EVSEs has columns of shapes {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.evse_ids)


def demo_fleet(nodes: Sequence[DemoNode], seed: int) -> DemoFleet:
    """Place the EVSEs on the network and enrol them.

    Off-street ones fall on phases in proportion to homes, at most one a home; three-phase ones and the few whose
    phase nobody recorded hang on the feeder.

    Source: docs/demo.md
    """
    rng = demo_stream("fleet", seed)
    scenarios = np.repeat([OFF_STREET, ON_STREET, DESTINATION], [N_OFF_STREET, N_ON_STREET, N_DESTINATION])
    rated_kw = _ratings(scenarios, rng)
    phases = np.where(np.isin(rated_kw, [THREE_16A_KW, THREE_32A_KW]), 3, 1).astype(np.int64)
    node_codes = _place(nodes, scenarios, phases, rng)
    csms = rng.choice(len(CSMSS), size=len(scenarios), p=[0.55, 0.45])
    newer = rng.choice(2, size=len(scenarios), p=[0.3, 0.7])
    return DemoFleet(
        evse_ids=np.array([f"evse_{token.hex()}" for token in _tokens(len(scenarios), rng)]),
        meter_codes=np.array([f"AM{index:05d}" for index in range(1, len(scenarios) + 1)]),
        node_codes=node_codes,
        phases=phases,
        rated_kw=rated_kw,
        scenarios=scenarios,
        csmss=np.array(CSMSS)[csms],
        csms_refs=np.array([f"CP-{index:04d}" for index in rng.permutation(9000)[: len(scenarios)] + 1000]),
        firmwares=np.array(FIRMWARES)[csms, newer],
        delay_max_s=np.full(len(scenarios), 600, dtype=np.int64),
        enrolments=_enrol(len(scenarios), rng),
    )


def _tokens(n: int, rng: np.random.Generator) -> list[bytes]:
    return [rng.bytes(16) for _ in range(n)]


def _ratings(scenarios: StrArray, rng: np.random.Generator) -> FloatArray:
    shares = {
        OFF_STREET: ([SINGLE_32A_KW, SINGLE_16A_KW, THREE_16A_KW], [0.92, 0.065, 0.015]),
        ON_STREET: ([SINGLE_32A_KW, SINGLE_16A_KW], [0.7, 0.3]),
        DESTINATION: ([SINGLE_32A_KW, THREE_16A_KW, THREE_32A_KW], [0.4, 0.2, 0.4]),
    }
    rated_kw = np.empty(len(scenarios))
    for scenario, (choices, weights) in shares.items():
        chosen = scenarios == scenario
        rated_kw[chosen] = rng.choice(choices, size=int(chosen.sum()), p=weights)
    return rated_kw


def _place(nodes: Sequence[DemoNode], scenarios: StrArray, phases: IntArray, rng: np.random.Generator) -> StrArray:
    """(n_evse,) code of the node each hangs on."""
    on_phase = [node for node in nodes if node.kind == "phase"]
    homes = np.repeat([node.code for node in on_phase], [node.n_customers for node in on_phase])
    placed = np.empty(len(scenarios), dtype=homes.dtype)
    off_street = np.flatnonzero(scenarios == OFF_STREET)
    placed[off_street] = rng.permutation(homes)[: len(off_street)]
    for scenario, feeders in ((ON_STREET, ON_STREET_FEEDERS), (DESTINATION, DESTINATION_FEEDERS)):
        chosen = np.flatnonzero(scenarios == scenario)
        codes = [node.code for node in on_phase if node.parent in feeders]
        placed[chosen] = np.resize(rng.permutation(codes), len(chosen))
    unknown = rng.choice(off_street[phases[off_street] == 1], size=N_UNKNOWN_PHASE, replace=False)
    to_feeder = phases == 3
    to_feeder[unknown] = True
    feeder_of = {node.code: node.parent or "" for node in on_phase}
    placed[to_feeder] = [feeder_of[code] for code in placed[to_feeder]]
    return placed


def _enrol(n_evse: int, rng: np.random.Generator) -> tuple[DemoEnrolment, ...]:
    """Enrol every EVSE when the history starts; a handful change DSRSP at a midnight within it.

    Not before: a day without records must not count as a day on which nobody plugged in.
    """
    first = rng.choice(len(DSRSPS), size=n_evse, p=DSRSP_SHARES)
    switched = set(rng.choice(n_evse, size=N_SWITCHED, replace=False).tolist())
    history_start = datetime.combine(FIRST_DAY, datetime.min.time(), tzinfo=UTC)
    enrolments = []
    for evse in range(n_evse):
        consented_at = history_start - timedelta(hours=int(rng.integers(9, 1500)))
        moved_at = history_start + timedelta(days=int(rng.integers(10, N_HISTORY_DAY - 5)))
        ends_at = moved_at if evse in switched else None
        enrolments.append(DemoEnrolment(evse, DSRSPS[first[evse]], history_start, ends_at, consented_at))
        if ends_at is not None:
            consented_at = ends_at - timedelta(hours=int(rng.integers(30, 200)))
            enrolments.append(DemoEnrolment(evse, DSRSPS[1 - first[evse]], ends_at, None, consented_at))
    return tuple(enrolments)
