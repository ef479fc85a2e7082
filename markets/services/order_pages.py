"""Markets, flex requests and orders as their pages show them, with what the viewer may do now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.core.timegrid import SETTLEMENT_PERIOD
from aggregator.models import ControlAct, Organisation
from aggregator.queries import control_acts_seen_by
from markets.core.trading import BUYER, DSRSP
from markets.core.trading_times import gate_closure_of, service_windows_of
from markets.models import Contract, FlexOffer, FlexOrder, FlexRequest, Market
from markets.queries import contracts_seen_by, flex_offers_seen_by, flex_orders_seen_by, flex_requests_seen_by
from markets.services.orders_shared import Traded, acts_open, role_of, standing
from markets.services.requests import KIND

STATE_WORDS = {"in_force": "in force"}
DIRECTIONS = {"turn_down": "Turn down", "turn_up": "Turn up"}
NEWEST = 50


@dataclass(frozen=True, slots=True)
class MarketLine:
    code: str
    name: str
    product: str
    buyer: str
    zone: str
    direction: str
    windows: tuple[str, ...]
    gate_closure: str
    min_kw: float
    starts_at: datetime
    ends_at: datetime
    state: str
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlexRequestLine:
    pk: int
    reference: str
    market: str
    node: str
    direction: str
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    largest_kw: float
    n_offer: int
    state: str
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionLine:
    reference: str
    power_kw: tuple[float, ...]
    energy_kwh: float
    price_gbp: Decimal
    price_gbp_per_mwh: float
    min_activation_factor: Decimal


@dataclass(frozen=True, slots=True)
class OfferLine:
    pk: int
    reference: str
    request: str
    dsrsp: str
    expires_at: datetime
    options: tuple[OptionLine, ...]
    state: str
    acts: tuple[str, ...]
    order: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    pk: int
    reference: str
    market: str
    node: str
    dsrsp: str
    starts_at: datetime
    ends_at: datetime
    largest_kw: float
    energy_kwh: float
    price_gbp: Decimal
    price_gbp_per_mwh: Decimal
    state: str
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContractLine:
    reference: str
    dsrsp: str
    starts_at: datetime
    ends_at: datetime
    max_kw: float
    price_gbp_per_mwh: Decimal
    state: str
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Half:
    """One half-hour of a request or an order."""

    starts_at: datetime
    ends_at: datetime
    power_kw: float


@dataclass(frozen=True, slots=True)
class MarketPage:
    line: MarketLine
    requests: tuple[FlexRequestLine, ...]
    contracts: tuple[ContractLine, ...]
    orders: tuple[OrderLine, ...]


@dataclass(frozen=True, slots=True)
class FlexRequestPage:
    line: FlexRequestLine
    halves: tuple[Half, ...]
    gate_closes_at: datetime
    published_at: datetime
    min_kw: float
    offers: tuple[OfferLine, ...]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One order.

    Attributes:
        source: the offer or contract it comes from, in words.
        waiting: the control act that waits to dispatch it; None for none.
        request: reference of its request for dispatch, where there is one that the viewer may follow.
    """

    line: OrderLine
    direction: str
    halves: tuple[Half, ...]
    source: str
    activation_factor: Decimal
    ordered_at: datetime
    stopped_at: datetime | None
    waiting: int | None
    request: str


def market_lines(*, markets: Sequence[Market], organisation: Organisation, now: datetime) -> list[MarketLine]:
    """Describe markets, in their order."""
    return [_market_line(market, organisation, now) for market in markets]


def market_page(*, market: Market, organisation: Organisation, now: datetime) -> MarketPage:
    """Describe a market with what the viewer sees under it."""
    requests = flex_requests_seen_by(organisation).filter(market=market).order_by("-starts_at", "-pk")[:NEWEST]
    contracts = contracts_seen_by(organisation).filter(market=market).order_by("-proposed_at", "-pk")[:NEWEST]
    orders = flex_orders_seen_by(organisation).filter(market=market).order_by("-starts_at", "-pk")[:NEWEST]
    return MarketPage(
        line=_market_line(market, organisation, now),
        requests=tuple(_request_line(one, organisation, now) for one in requests),
        contracts=tuple(_contract_line(one, organisation, now) for one in contracts),
        orders=tuple(order_lines(orders=list(orders), organisation=organisation, now=now)),
    )


def flex_request_page(*, request: FlexRequest, organisation: Organisation, now: datetime) -> FlexRequestPage:
    """Describe a request with its offers: all for its buyer, a DSRSP's own for itself."""
    offers = flex_offers_seen_by(organisation).filter(request=request).prefetch_related("options")
    return FlexRequestPage(
        line=_request_line(request, organisation, now),
        halves=_halves(request.starts_at, request.requested_kw),
        gate_closes_at=request.gate_closes_at,
        published_at=request.published_at,
        min_kw=request.market.min_kw,
        offers=tuple(_offer_line(one, organisation, now) for one in offers.order_by("offered_at", "pk")),
    )


def order_lines(*, orders: Sequence[FlexOrder], organisation: Organisation, now: datetime) -> list[OrderLine]:
    """Describe orders, in their order."""
    return [_order_line(order, organisation, now) for order in orders]


def order_page(*, order: FlexOrder, organisation: Organisation, now: datetime) -> OrderPage:
    """Describe an order."""
    acts = control_acts_seen_by(organisation).filter(
        kind=KIND,
        organisation=organisation,
        state=ControlAct.State.PENDING,
        expires_at__gt=now,
        payload__reference=order.reference,
    )
    return OrderPage(
        line=_order_line(order, organisation, now),
        direction=DIRECTIONS[order.market.activity],
        halves=_halves(order.starts_at, order.power_kw),
        source=f"offer {order.offer.reference}" if order.offer else f"contract {order.contract}",
        activation_factor=order.activation_factor,
        ordered_at=order.ordered_at,
        stopped_at=order.stopped_at,
        waiting=acts.values_list("pk", flat=True).first(),
        request=order.reference if order.event_id else "",
    )


def _market_line(market: Market, organisation: Organisation, now: datetime) -> MarketLine:
    return MarketLine(
        code=market.code,
        name=market.name,
        product=str(market.product),
        buyer=market.buyer.name,
        zone=", ".join(market.node_codes),
        direction=DIRECTIONS[market.activity],
        windows=tuple(str(window) for window in service_windows_of(market.service_windows)),
        gate_closure=str(gate_closure_of(market.gate_closure)),
        min_kw=market.min_kw,
        starts_at=market.starts_at,
        ends_at=market.ends_at,
        state=_state(market, now),
        acts=_acts(market, organisation, now),
    )


def _request_line(request: FlexRequest, organisation: Organisation, now: datetime) -> FlexRequestLine:
    return FlexRequestLine(
        pk=request.pk,
        reference=request.reference,
        market=request.market.code,
        node=request.node.code,
        direction=DIRECTIONS[request.market.activity],
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        expires_at=request.expires_at,
        largest_kw=max(request.requested_kw),
        n_offer=flex_offers_seen_by(organisation).filter(request=request).count(),
        state=_state(request, now),
        acts=_acts(request, organisation, now),
    )


def _offer_line(offer: FlexOffer, organisation: Organisation, now: datetime) -> OfferLine:
    orders = flex_orders_seen_by(organisation).filter(offer=offer).values_list("reference", flat=True)
    return OfferLine(
        pk=offer.pk,
        reference=offer.reference,
        request=offer.request.reference,
        dsrsp=offer.organisation.name,
        expires_at=offer.expires_at,
        options=tuple(
            OptionLine(
                reference=option.reference,
                power_kw=tuple(option.power_kw),
                energy_kwh=_energy_kwh(option.power_kw),
                price_gbp=option.price_gbp,
                price_gbp_per_mwh=float(option.price_gbp) / _energy_kwh(option.power_kw) * 1000,
                min_activation_factor=option.min_activation_factor,
            )
            for option in sorted(offer.options.all(), key=lambda option: option.pk)
        ),
        state=_state(offer, now),
        acts=_acts(offer, organisation, now),
        order=orders.first() or "",
    )


def _order_line(order: FlexOrder, organisation: Organisation, now: datetime) -> OrderLine:
    return OrderLine(
        pk=order.pk,
        reference=order.reference,
        market=order.market.code,
        node=order.node.code,
        dsrsp=order.organisation.name,
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        largest_kw=max(order.power_kw),
        energy_kwh=_energy_kwh(order.power_kw),
        price_gbp=order.price_gbp,
        price_gbp_per_mwh=order.price_gbp_per_mwh,
        state=_state(order, now),
        acts=_acts(order, organisation, now),
    )


def _contract_line(contract: Contract, organisation: Organisation, now: datetime) -> ContractLine:
    return ContractLine(
        reference=contract.reference,
        dsrsp=contract.organisation.name,
        starts_at=contract.starts_at,
        ends_at=contract.ends_at,
        max_kw=contract.max_kw,
        price_gbp_per_mwh=contract.price_gbp_per_mwh,
        state=_state(contract, now),
        acts=_acts(contract, organisation, now),
    )


def _state(row: Traded, now: datetime) -> str:
    state = standing(row, now=now)
    return STATE_WORDS.get(state, state)


def _acts(row: Traded, organisation: Organisation, now: datetime) -> tuple[str, ...]:
    role = role_of(organisation)
    part = {BUYER: row.buyer_id, DSRSP: getattr(row, "organisation_id", organisation.pk)}[role]
    return acts_open(row, role=role, now=now) if part == organisation.pk else ()


def _halves(starts_at: datetime, power_kw: Sequence[float]) -> tuple[Half, ...]:
    starts = [starts_at + number * SETTLEMENT_PERIOD for number in range(len(power_kw))]
    return tuple(Half(at, at + SETTLEMENT_PERIOD, kw) for at, kw in zip(starts, power_kw, strict=True))


def _energy_kwh(power_kw: Sequence[float]) -> float:
    return sum(power_kw) / 2
