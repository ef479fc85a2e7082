"""Rows of trading, each stated with who reads it; see ``tests/walls/rows.py``.

North asks at a substation above amber's and blue's EVSEs, and at a feeder where amber alone has answered; south asks
where blue is, and nobody else answered.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aggregator.models import EVSE, NetworkNode
from dispatch.models import SparedEvse, TargetSignal
from markets.models import (
    Contract,
    ControlGroup,
    ControlGroupMember,
    FlexOffer,
    FlexOrder,
    FlexRequest,
    Instruction,
    InstructionStop,
    Market,
    Nomination,
    OfferOption,
    Product,
)

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
ONE_HOUR = timedelta(hours=1)


def make_trading(rows: Any, nodes: dict[str, NetworkNode]) -> None:
    """Markets, requests, offers, contracts, orders and stops."""
    markets = {name: make_market(f"evening-{name}", rows.organisations[name]) for name in ("north", "south")}
    up = NetworkNode.objects.get(code="north-plain-up")
    for reference, buyer, node, *readers in (
        ("N/1", "north", up, "amber", "blue"),
        ("N/2", "north", nodes["north-asked"], "amber"),
        ("S/1", "south", nodes["south-asked"], "blue"),
    ):
        request = make_flex_request(reference, markets[buyer], node)
        rows.read_by(request, buyer, *readers, "headroom")
    for reference, request, dsrsp, buyer in (
        ("A/1", "N/1", "amber", "north"),
        ("A/2", "N/2", "amber", "north"),
        ("B/1", "S/1", "blue", "south"),
    ):
        option = make_offer(reference, FlexRequest.objects.get(reference=request), rows.organisations[dsrsp])
        contract = make_contract(f"C-{reference}", markets[buyer], rows.organisations[dsrsp])
        order = make_order(f"O-{reference}", option)
        for row in (option.offer, option, contract, order):
            rows.read_by(row, dsrsp, buyer, "headroom")
    for dsrsp, buyer, node in (("amber", "north", up), ("blue", "south", nodes["south-asked"])):
        nomination = make_nomination(markets[buyer].product, rows.organisations[dsrsp], node)
        rows.read_by(nomination, dsrsp, buyer, "headroom")
        group, member = make_control_group(markets[buyer].product, rows.organisations[dsrsp], node)
        rows.read_by(group, dsrsp, buyer, "headroom")
        rows.read_by(member, dsrsp, "headroom")
        signal = TargetSignal.objects.filter(issued_by=rows.organisations[buyer]).order_by("pk")[0]
        spared = SparedEvse(signal=signal, evse=member.evse, organisation=member.organisation)
        spared.save()
        rows.read_by(spared, dsrsp, "headroom")
    told = Instruction.objects.across_tenants().select_related("organisation", "event__product__buyer")
    for instruction in told.order_by("pk"):
        stop = InstructionStop(
            instruction=instruction,
            organisation=instruction.organisation,
            stopped_at=NOON,
            recorded_at=NOON,
            by="person:x",
            reason="of the test",
        )
        stop.save()
        buyer = instruction.event.product.buyer.code
        rows.read_by(stop, instruction.organisation.code, buyer, "elx", "headroom")


def make_market(code: str, buyer: Any, **changes: Any) -> Market:
    product = Product.objects.filter(code=f"trade-{buyer.code}").first() or Product.objects.create(
        code=f"trade-{buyer.code}", name="SU", buyer=buyer, valid_from=datetime(2010, 1, 1, tzinfo=UTC)
    )
    stated = {
        "name": f"Evenings of {buyer.code}",
        "product": product,
        "buyer": buyer,
        "node_codes": [f"{buyer.code}-p"],
        "activity": "turn_down",
        "service_windows": [{"weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "16:00", "ends": "21:00"}],
        "gate_closure": {"kind": "lead", "lead_minutes": 60},
        "min_kw": 1.0,
        "starts_at": NOON - timedelta(days=100),
        "ends_at": NOON + timedelta(days=100_00),
        "state": "open",
        "made_at": NOON,
    }
    return Market.objects.create(code=code, **{**stated, **changes})


def make_flex_request(reference: str, market: Market, node: NetworkNode, **changes: Any) -> FlexRequest:
    stated = {
        "starts_at": NOON + 6 * ONE_HOUR,
        "ends_at": NOON + 7 * ONE_HOUR,
        "requested_kw": [20.0, 20.0],
        "gate_closes_at": NOON + 5 * ONE_HOUR,
        "expires_at": NOON + 4 * ONE_HOUR,
        "state": "published",
        "published_at": NOON,
    }
    return FlexRequest.objects.create(
        reference=reference, market=market, buyer=market.buyer, node=node, **{**stated, **changes}
    )


def make_offer(reference: str, request: FlexRequest, dsrsp: Any) -> OfferOption:
    offer = FlexOffer(
        reference=reference,
        request=request,
        organisation=dsrsp,
        buyer=request.buyer,
        expires_at=request.starts_at,
        state="submitted",
        offered_at=request.published_at,
    )
    offer.save()
    return OfferOption.objects.create(
        offer=offer,
        reference="1",
        power_kw=[10.0] * len(request.requested_kw),
        price_gbp=Decimal("5.00"),
        min_activation_factor=Decimal("0.50"),
    )


def make_nomination(product: Product, dsrsp: Any, node: NetworkNode, **changes: Any) -> Nomination:
    stated = {
        "settlement_date": NOON.date(),
        "power_kw": [2.5] * 48,
        "submitted_at": NOON - timedelta(days=2),
        "recorded_at": NOON - timedelta(days=2),
    }
    nomination = Nomination(organisation=dsrsp, product=product, node=node, **{**stated, **changes})
    nomination.save()
    return nomination


def make_control_group(
    product: Product, dsrsp: Any, node: NetworkNode, **changes: Any
) -> tuple[ControlGroup, ControlGroupMember]:
    stated = {"valid_from": NOON.date(), "n_evse": 1, "recorded_at": NOON - timedelta(days=2)}
    group = ControlGroup(organisation=dsrsp, product=product, node=node, **{**stated, **changes})
    group.save()
    evse = EVSE.objects.for_tenant(dsrsp).order_by("pk")[0]
    member = ControlGroupMember(group=group, evse=evse, organisation=dsrsp)
    member.save()
    return group, member


def make_contract(reference: str, market: Market, dsrsp: Any) -> Contract:
    contract = Contract(
        reference=reference,
        market=market,
        organisation=dsrsp,
        buyer=market.buyer,
        starts_at=market.starts_at,
        ends_at=market.ends_at,
        max_kw=50.0,
        price_gbp_per_mwh=Decimal("300.00"),
        state="proposed",
        proposed_at=NOON,
    )
    contract.save()
    return contract


def make_order(reference: str, option: OfferOption) -> FlexOrder:
    request = option.offer.request
    order = FlexOrder(
        reference=reference,
        market=request.market,
        organisation=option.offer.organisation,
        buyer=request.buyer,
        offer=option.offer,
        option=option,
        node=request.node,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        activation_factor=Decimal("1.00"),
        power_kw=option.power_kw,
        price_gbp=option.price_gbp,
        price_gbp_per_mwh=Decimal("500.00"),
        state="ordered",
        ordered_at=NOON,
    )
    order.save()
    return order
