"""The demo as one bundle: everything that is seeded, made from one number."""

from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from aggregator.core.digest import digest
from aggregator.core.intervals import to_datetime64
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import charging_day
from aggregator.core.types import FloatArray
from aggregator.core.virtual_evse import uncontrolled_energy_kwh
from markets.core.demo_calendar import CHARGING_DAY, DEMO_SEED, utc_days_grid
from markets.core.demo_demand import DemoDemand, demo_demand
from markets.core.demo_fleet import DemoFleet, demo_fleet
from markets.core.demo_network import PRIMARY_CODE, DemoNode, demo_network
from markets.core.demo_prices import DemoPrices, demo_prices
from markets.core.demo_sessions import demo_sessions

# What one EVSE draws from 17:00 to 19:00 by published figures: kWh a session, sessions a week, and the share of
# sessions that start in those two hours. Source: docs/demo.md
SESSION_KWH, SESSIONS_A_WEEK, EVENING_SHARE, EVENING_H = 9.1, 3.0, 0.22, 2.0
EVENING_KW_PER_EVSE = SESSION_KWH * SESSIONS_A_WEEK / 7 * EVENING_SHARE / EVENING_H
TARGET_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What the DNO asks for the charging day, and what it pays."""

    reference: str
    node_code: str
    starts_at: datetime
    ends_at: datetime
    received_at: datetime
    target_kw: float
    shortfall_gbp_per_kwh: float
    price_gbp_per_mwh: Decimal


@dataclass(frozen=True, slots=True)
class DemoArea:
    """All of it; ``asset_kwh`` is (n_evse, n_period) of ``utc_days_grid``, what the asset meters read before today."""

    seed: int
    nodes: tuple[DemoNode, ...]
    fleet: DemoFleet
    sessions: SessionHistory
    asset_kwh: FloatArray
    demand: DemoDemand
    prices: DemoPrices
    request: DemoRequest

    def fingerprint(self) -> str:
        """SHA-256 over every number and word of the demo."""
        fleet, sessions = self.fleet, self.sessions
        return digest(
            repr([astuple(node) for node in self.nodes]),
            *(getattr(fleet, name) for name in fleet.__slots__ if name != "enrolments"),
            repr([astuple(enrolment) for enrolment in fleet.enrolments]),
            *(getattr(sessions, name) for name in sessions.__slots__),
            self.asset_kwh,
            *(getattr(self.demand, name) for name in self.demand.__slots__),
            *(getattr(self.prices, name) for name in self.prices.__slots__),
            repr(astuple(self.request)),
        )


def demo_area(seed: int = DEMO_SEED) -> DemoArea:
    """Make the demo; the same seed gives the same demo, to the last digit."""
    nodes = demo_network(seed)
    fleet = demo_fleet(nodes, seed)
    sessions = demo_sessions(fleet, seed)
    return DemoArea(
        seed=seed,
        nodes=nodes,
        fleet=fleet,
        sessions=sessions,
        asset_kwh=asset_history_kwh(fleet, sessions),
        demand=demo_demand(nodes, seed),
        prices=demo_prices(seed),
        request=demo_request(len(fleet)),
    )


def asset_history_kwh(fleet: DemoFleet, sessions: SessionHistory) -> FloatArray:
    """(n_evse, n_period) energy before any dispatch: each session at its rating from plug-in, to the watt-hour.

    Sessions of the charging day are left out: how they charge is for its dispatch to say.
    """
    before = sessions.select(sessions.plug_in_at < to_datetime64(charging_day(CHARGING_DAY).starts_at))
    energy_kwh = uncontrolled_energy_kwh(before, rated_kw=fleet.rated_kw[before.evse], grid=utc_days_grid())
    rounded: FloatArray = np.round(energy_kwh, 3)
    return rounded


def demo_request(n_evse: int) -> DemoRequest:
    """Half of what the fleet draws in the evening peak by published figures; nothing of the future is looked at."""
    day = CHARGING_DAY
    return DemoRequest(
        reference=f"NM-{day:%Y%m%d}-evening",
        node_code=PRIMARY_CODE,
        starts_at=datetime(day.year, day.month, day.day, 17, tzinfo=UTC),
        ends_at=datetime(day.year, day.month, day.day, 19, tzinfo=UTC),
        received_at=datetime(day.year, day.month, day.day - 1, 10, tzinfo=UTC),
        target_kw=float(np.round(TARGET_SHARE * EVENING_KW_PER_EVSE * n_evse)),
        shortfall_gbp_per_kwh=1.0,
        price_gbp_per_mwh=Decimal("300.00"),
    )
