"""Events and settlements to claim energy for: one half-hour's window or more, on the EVSEs of two DSRSPs."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np

from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.models import EVSE, NetworkNode, Organisation
from dispatch.models import DispatchRun, TargetSignal
from markets.core.ledger_claims import PortfolioClaims
from markets.models import FlexEvent, PrimacyRule, Product, SettlementRun, StackingRule
from tests.factories import make_dno, make_evse, make_node, make_organisation
from tests.markets.builders import make_run

DAY = date(2026, 1, 14)
STARTS_AT = datetime(2026, 1, 14, 18, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Two EVSEs of amber's and one of blue's under one node, and a run that planned them."""

    node: NetworkNode
    run: DispatchRun
    amber: Organisation
    blue: Organisation
    evses: list[EVSE]

    @property
    def pks(self) -> list[int]:
        return [evse.pk for evse in self.evses]


def make_fleet(dno: Organisation | None = None) -> Fleet:
    node = make_node("S1", "distribution", dno=dno or make_dno())
    amber, blue = make_organisation("amber"), make_organisation("blue")
    evses = [make_evse(f"e{at}", node=node, dsrsp=dsrsp) for at, dsrsp in enumerate((amber, amber, blue))]
    return Fleet(node, make_run(node, DAY, charging_day(DAY)), amber, blue, evses)


def make_event(
    fleet: Fleet,
    product: str,
    *,
    hours_before: float = 24,
    n_period: int = 1,
    starts_at: datetime = STARTS_AT,
    direction: str = "turn_down",
    reference: str = "",
    buyer: Organisation | None = None,
) -> FlexEvent:
    bought, _ = Product.objects.get_or_create(
        code=product, defaults={"name": product, "buyer": buyer or fleet.node.organisation, "valid_from": LONG_AGO}
    )
    signal = TargetSignal.objects.create(
        reference=reference or f"{product}/{TargetSignal.objects.count()}",
        node=fleet.node,
        starts_at=starts_at,
        ends_at=starts_at + n_period * timedelta(minutes=30),
        direction=direction,
        kind="routine",
        target_kw=5,
        shortfall_gbp_per_kwh=2,
        issued_by=fleet.node.organisation,
        received_at=starts_at - timedelta(hours=hours_before),
    )
    return FlexEvent.objects.create(product=bought, signal=signal, price_gbp_per_mwh=Decimal(300))


def make_settlement(fleet: Fleet, event: FlexEvent) -> SettlementRun:
    """The next version of an event's settlement."""
    last = SettlementRun.objects.filter(event=event).order_by("-version").first()
    return SettlementRun.objects.create(
        event=event,
        dispatch_run=fleet.run,
        version=last.version + 1 if last else 1,
        code=f"RERUN-{last.version}" if last else "PRELIM",
        supersedes=last,
        as_of=event.signal.ends_at + timedelta(days=1),
        method="test",
        input_sha256=f"{event.pk:064d}",
    )


def claims_for(
    fleet: Fleet, event: FlexEvent, amber_kwh: float, blue_kwh: float = 0.0, *, delivered_kwh: float = 10.0
) -> PortfolioClaims:
    """Each portfolio claims so much of what it delivered in every half-hour; amber's two EVSEs delivered 3 : 1."""
    signal = event.signal
    grid = TimeGrid(signal.starts_at, (signal.ends_at - signal.starts_at) // timedelta(minutes=30))
    ones = np.ones(grid.n_period)
    return PortfolioClaims(
        unit_ids=("amber", "blue"),
        grid=grid,
        direction="turn_up" if signal.direction == "turn_up" else "turn_down",
        delivered_kwh=np.array([delivered_kwh * ones, delivered_kwh * ones]),
        claimed_kwh=np.array([amber_kwh * ones, blue_kwh * ones]),
        asset_pks=np.array(fleet.pks),
        asset_unit=np.array([0, 0, 1]),
        asset_delivered_kwh=np.array([3 * ones, ones, ones]),
    )


def primacy_rule(hi: str, lo: str, **changes: object) -> PrimacyRule:
    return PrimacyRule.objects.create(
        **{
            "code": f"{hi}-{lo}",
            "product_hi": hi,
            "product_lo": lo,
            "source": "a test",
            "valid_from": LONG_AGO,
            **changes,
        }
    )


def co_delivery_rule(a: str, b: str, **changes: object) -> StackingRule:
    return StackingRule.objects.create(
        **{
            "code": f"{a}-with-{b}",
            "kind": "co-delivery",
            "service_a": a,
            "service_b": b,
            "is_allowed": True,
            "source": "a test",
            "valid_from": LONG_AGO,
            **changes,
        }
    )
