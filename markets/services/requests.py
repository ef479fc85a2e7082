"""Request a dispatch: look first at what it would move, then ask; on one person's word below the thresholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from aggregator.arrays.fleet import load_size_below
from aggregator.core.control import ActFigures
from aggregator.core.errors import FlexError
from aggregator.core.fleet_size import KW_PER_MW, FleetSize, moved_by_request
from aggregator.core.network_area import UnknownNode
from aggregator.models import ControlAct, NetworkNode, Organisation, as_platform
from aggregator.services.control_acts import ask_control_act, would_exceed
from aggregator.services.event_log import record_event
from dispatch.models import TargetSignal
from dispatch.services.targets import check_target, receive_target
from markets.models import Product
from markets.services.events import InvalidPrice, UnknownProduct, open_event, product_for
from markets.services.orders_events import dispatch_under_order, order_to_dispatch
from markets.services.redispatch import area_to_dispatch, enqueue_dispatch

KIND = "request_dispatch"
SAME_KW = 1e-6  # apart only by how a sum of ratings was rounded


class RequestKnown(FlexError):
    code = "markets.request_known"


class TooSmall(FlexError):
    code = "markets.too_small"


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    """What a control room asks: EV power at a node at most (turn-down) or at least (turn-up) a target in a window.

    Attributes:
        kind: ``routine`` or ``response``.
        product: code of a product of the asking DNO, with its price; empty where nothing is paid for it.
        order: reference of the flex order it dispatches, which states product and price; empty for none.
    """

    reference: str
    node: str
    starts_at: datetime
    ends_at: datetime
    direction: str
    target_kw: float
    shortfall_gbp_per_kwh: float
    kind: str = "routine"
    product: str = ""
    price_gbp_per_mwh: Decimal | None = None
    order: str = ""


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a request would do if it were asked for now; nothing of it is stored.

    Attributes:
        size: of the EVSEs under the node, enrolled at some time of the window: rounded up to groups of five, so that
            a network operator learns nothing of a home.
        figures: what the request may move at most.
        exceeded: thresholds it goes over, with what was asked lately: a second person must agree if any.
        area, days, tariff: what will be dispatched anew, for which charging days.
        product: under which it is paid, empty for none.
    """

    request: DispatchRequest
    size: FleetSize
    figures: ActFigures
    exceeded: tuple[str, ...]
    area: str
    days: tuple[date, ...]
    tariff: str
    product: str

    @property
    def needs_second_person(self) -> bool:
        return bool(self.exceeded)


def plan_request(*, organisation: Organisation, request: DispatchRequest, now: datetime) -> RequestPlan:
    """Check a request and say what it would do, without doing it.

    Raises:
        UnknownNode: the organisation has no such node.
        TargetRefused, InvalidPrice, UnknownProduct, TooLittleNotice, TooShort, TooSmall, ShortfallTooCheap: what is
            stated is refused.
        RequestKnown: the reference stands for a request already received.
        NoTariff: nobody said at what prices to dispatch.
    """
    node = _own_node(organisation, request.node)
    signal = _target(check_target, request, organisation, now)
    if signal.pk:
        raise RequestKnown(f"request {request.reference} was received already", field="reference", id=request.reference)
    product = _check_product(organisation, request, signal)
    with as_platform():  # other organisations' EVSEs are counted, and the area may go up to another's node
        exact = _exact_size(node, request)
        target = area_to_dispatch(node=node, starts_at=signal.starts_at, ends_at=signal.ends_at)
    if product and not request.order:  # what was ordered is as large as its market asked for
        _refuse_too_small(request, product, exact)
    size = exact.coarse()
    figures = moved_by_request(size, direction=request.direction, target_kw=request.target_kw)
    return RequestPlan(
        request=request,
        size=size,
        figures=figures,
        exceeded=would_exceed(kind=KIND, organisation=organisation, figures=figures, now=now),
        area=target.area.code,
        days=target.days,
        tariff=target.tariff_code,
        product=str(product or ""),
    )


def ask_request_dispatch(
    *, organisation: Organisation, request: DispatchRequest, reason: str, asked_by_pk: int | None, now: datetime
) -> ControlAct:
    """Ask for a dispatch; below the thresholds the request is received at once, else when a second person agrees.

    Once it is received, ``outcome["jobs"]`` names the jobs that dispatch anew; the next sweep does them, or sooner
    whoever is woken for them.

    Raises:
        FlexError: as for ``plan_request`` and ``ask_control_act``.
    """
    plan = plan_request(organisation=organisation, request=request, now=now)
    return ask_control_act(
        kind=KIND,
        organisation=organisation,
        subject=f"{request.reference} at {request.node}",
        payload=as_payload(request),
        figures=plan.figures,
        reason=reason,
        asked_by_pk=asked_by_pk,
        now=now,
        not_after=request.starts_at,
    )


def request_figures(*, payload: Mapping[str, str], organisation: Organisation, now: datetime) -> ActFigures:
    """What a request that waits may move, looked at again: EVSEs may have been enrolled since."""
    del now
    request = from_payload(payload)
    with as_platform():
        size = _exact_size(_own_node(organisation, request.node), request).coarse()
    return moved_by_request(size, direction=request.direction, target_kw=request.target_kw)


def do_request_dispatch(*, act: ControlAct, now: datetime) -> dict[str, object]:
    """Receive the request, put it under its product, and ask for the runs it makes necessary.

    Raises:
        FlexError: as for ``plan_request``; the window may have started since, or the reference be taken.
    """
    request, organisation = from_payload(act.payload), act.organisation
    with transaction.atomic():
        node = _own_node(organisation, request.node)
        signal = _target(receive_target, request, organisation, now)
        if request.order:
            dispatch_under_order(organisation=organisation, reference=request.order, signal=signal, now=now)
        elif product := _check_product(organisation, request, signal):
            with as_platform():
                exact = _exact_size(node, request)
            _refuse_too_small(request, product, exact)
            open_event(signal=signal, product_code=request.product, price_gbp_per_mwh=_price(request))
        target = area_to_dispatch(node=node, starts_at=signal.starts_at, ends_at=signal.ends_at)
        jobs = enqueue_dispatch(target=target, signal=signal, now=now)
        record_event(
            action="request.received",
            subject=f"request {request.reference}",
            organisation=organisation,
            reason=act.reason,
            after={**as_payload(request), "area": target.area.code, "control_act": act.pk},
            at=now,
        )
    return {"request": request.reference, "area": target.area.code, "jobs": [job.pk for job in jobs]}


def as_payload(request: DispatchRequest) -> dict[str, str | float | None]:
    """The request as plain JSON."""
    return {
        "reference": request.reference,
        "node": request.node,
        "starts_at": request.starts_at.isoformat(),
        "ends_at": request.ends_at.isoformat(),
        "direction": request.direction,
        "kind": request.kind,
        "target_kw": request.target_kw,
        "shortfall_gbp_per_kwh": request.shortfall_gbp_per_kwh,
        "product": request.product,
        "price_gbp_per_mwh": None if request.price_gbp_per_mwh is None else str(request.price_gbp_per_mwh),
        **({"order": request.order} if request.order else {}),
    }


def from_payload(payload: Mapping[str, str]) -> DispatchRequest:
    """The request that ``as_payload`` wrote."""
    price = payload["price_gbp_per_mwh"]
    return DispatchRequest(
        reference=payload["reference"],
        node=payload["node"],
        starts_at=datetime.fromisoformat(payload["starts_at"]),
        ends_at=datetime.fromisoformat(payload["ends_at"]),
        direction=payload["direction"],
        kind=payload["kind"],
        target_kw=float(payload["target_kw"]),
        shortfall_gbp_per_kwh=float(payload["shortfall_gbp_per_kwh"]),
        product=payload["product"],
        price_gbp_per_mwh=None if price is None else Decimal(price),
        order=payload.get("order", ""),
    )


def _target(
    make: Callable[..., TargetSignal], request: DispatchRequest, organisation: Organisation, now: datetime
) -> TargetSignal:
    return make(
        reference=request.reference,
        node_code=request.node,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        direction=request.direction,
        kind=request.kind,
        target_kw=request.target_kw,
        shortfall_gbp_per_kwh=request.shortfall_gbp_per_kwh,
        issued_by=organisation,
        received_at=now,
    )


def _own_node(organisation: Organisation, code: str) -> NetworkNode:
    node = NetworkNode.objects.filter(code=code, organisation=organisation).first()
    if node is None:
        raise UnknownNode(f"{organisation.code} has no network node {code!r}", node=code, field="node")
    return node


def _exact_size(node: NetworkNode, request: DispatchRequest) -> FleetSize:
    """Of the EVSEs under the node; a network operator is told no more of it than ``coarse`` says."""
    return load_size_below(node_pk=node.pk, starts_at=request.starts_at, ends_at=request.ends_at)


def _check_product(organisation: Organisation, request: DispatchRequest, signal: TargetSignal) -> Product | None:
    """The product a request is under, None for none; it is the organisation's own, who pays for it."""
    if request.order:
        return order_to_dispatch(organisation=organisation, reference=request.order).market.product
    if not request.product:
        if request.price_gbp_per_mwh is not None:
            raise UnknownProduct(f"request {request.reference} has a price but no product", field="product")
        return None
    product = product_for(signal=signal, product_code=request.product, price_gbp_per_mwh=_price(request))
    if product.buyer_id != organisation.pk:
        raise UnknownProduct(f"{organisation.code} buys no product {request.product!r}", field="product")
    return product


def _refuse_too_small(request: DispatchRequest, product: Product, exact: FleetSize) -> None:
    """Refuse what can't move the product's least power, even if every EVSE charged at its rating.

    The exact power is compared, since rounded up to 50 kW nearly any street would do; it isn't said.
    """
    moved = moved_by_request(exact, direction=request.direction, target_kw=request.target_kw)
    if moved.total_mw * KW_PER_MW < product.min_kw - SAME_KW:
        raise TooSmall(
            f"request {request.reference} can't move as much at {request.node} as {product} asks for, "
            f"{product.min_kw:g} kW at least",
            reference=request.reference,
            field="target_kw",
        )


def _price(request: DispatchRequest) -> Decimal:
    if request.price_gbp_per_mwh is None:
        raise InvalidPrice(f"request {request.reference} is under {request.product} without a price")
    return request.price_gbp_per_mwh
