"""Markets: where a buyer wants a product, when, and until when it is offered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite

from django.db import transaction

from aggregator.core.timegrid import SETTLEMENT_PERIOD
from aggregator.models import NetworkNode, Organisation, as_platform
from aggregator.services.turns import take_turn
from dispatch.models import TargetSignal
from markets.core.trading_times import InvalidMarket, gate_closure_of, outside_windows, service_windows_of
from markets.models import Market, Product
from markets.services.orders_shared import TradeRefused, UnknownTrade, move, reason_of, record

CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
TAKEN_CODES = frozenset({"new"})  # address of the page that makes one
LONGEST_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """A market as its buyer states it; ``product`` is a code, of which the newest version counts."""

    code: str
    name: str
    product: str
    node_codes: tuple[str, ...]
    activity: str
    service_windows: Sequence[Mapping[str, object]]
    gate_closure: Mapping[str, object]
    min_kw: float
    starts_at: datetime
    ends_at: datetime


def make_market(*, organisation: Organisation, terms: MarketTerms, now: datetime) -> Market:
    """Publish a market.

    Raises:
        InvalidMarket: what is stated is refused: the field, its value and what was expected.
    """
    product = _check(organisation, terms)
    with transaction.atomic(), as_platform():
        take_turn("market", terms.code)
        if Market.objects.filter(code=terms.code).exists():
            raise InvalidMarket(f"market {terms.code!r} is there already: choose another code", field="code")
        market = Market.objects.create(
            code=terms.code,
            name=terms.name.strip(),
            product=product,
            buyer=organisation,
            node_codes=list(terms.node_codes),
            activity=terms.activity,
            service_windows=[dict(one) for one in terms.service_windows],
            gate_closure=dict(terms.gate_closure),
            min_kw=terms.min_kw,
            starts_at=terms.starts_at,
            ends_at=terms.ends_at,
            state="open",
            made_at=now,
        )
        stated = {"product": str(product), "zone": market.node_codes, "gate_closure": market.gate_closure}
        record(market, "make", organisation=organisation, now=now, facts=stated)
    return market


def move_market(*, organisation: Organisation, code: str, act: str, reason: str, now: datetime) -> Market:
    """Suspend, resume or close one's own market.

    Raises:
        UnknownTrade: the organisation has no such market.
        TransitionRefused: it is not in a state to do so.
    """
    said = reason_of(reason)
    with transaction.atomic(), as_platform():
        market = Market.objects.select_for_update(of=("self",)).filter(code=code, buyer=organisation).first()
        if market is None:
            raise UnknownTrade(f"{organisation.code} has no market {code!r}", name=code)
        before = market.state
        move(market, act, organisation=organisation, now=now)
        record(market, act, organisation=organisation, now=now, reason=said, before=before)
    return market


def check_window(market: Market, *, starts_at: datetime, ends_at: datetime) -> tuple[datetime, datetime, int]:
    """The window in UTC and its half-hours.

    Raises:
        TradeRefused: off the half-hour, empty, over 24 h, or outside the contract period or the service windows.
    """
    for field, at in (("starts_at", starts_at), ("ends_at", ends_at)):
        if at.tzinfo is None or at.astimezone(UTC).minute % 30 or at.second or at.microsecond:
            raise TradeRefused(
                f"{field} is {at.isoformat()}, expected a half-hour boundary with an offset", field=field
            )
    starts_at, ends_at = starts_at.astimezone(UTC), ends_at.astimezone(UTC)
    said = f"the window {starts_at.isoformat()} to {ends_at.isoformat()}"
    if not SETTLEMENT_PERIOD <= ends_at - starts_at <= LONGEST_WINDOW:
        raise TradeRefused(f"{said} must last half an hour to 24 hours", field="ends_at")
    if not market.starts_at <= starts_at < ends_at <= market.ends_at:
        raise TradeRefused(
            f"{said} lies outside the contract period of market {market.code}, {market.starts_at.isoformat()} to "
            f"{market.ends_at.isoformat()}",
            field="starts_at",
        )
    if ends_at - starts_at < market.product.min_run:
        raise TradeRefused(f"{said} is shorter than {market.product} runs, {market.product.min_run}", field="ends_at")
    windows = service_windows_of(market.service_windows)
    outside = outside_windows(starts_at, ends_at, windows)
    if outside is not None:
        raise TradeRefused(
            f"{said} leaves the service windows of market {market.code} at {outside.isoformat()}: "
            f"{'; '.join(str(window) for window in windows)}",
            field="starts_at",
            value=outside.isoformat(),
        )
    return starts_at, ends_at, (ends_at - starts_at) // SETTLEMENT_PERIOD


def _check(organisation: Organisation, terms: MarketTerms) -> Product:
    if not CODE.fullmatch(terms.code):
        raise InvalidMarket(
            f"the code is {terms.code!r}, expected 1 to 50 of a-z, 0-9 and -, no - at its start", field="code"
        )
    if terms.code in TAKEN_CODES:
        raise InvalidMarket(f"the code is {terms.code!r}, which names a page: choose another", field="code")
    if not 1 <= len(terms.name.strip()) <= 200:
        raise InvalidMarket(f"the name has {len(terms.name.strip())} characters, expected 1 to 200", field="name")
    if terms.activity not in TargetSignal.Direction.values:
        raise InvalidMarket(
            f"the activity is {terms.activity!r}, expected {' or '.join(TargetSignal.Direction.values)}",
            field="activity",
        )
    if not isfinite(terms.min_kw) or terms.min_kw < 0:
        raise InvalidMarket(f"the least power is {terms.min_kw} kW, expected 0 or more", field="min_kw")
    if terms.starts_at.tzinfo is None or terms.ends_at.tzinfo is None or terms.ends_at <= terms.starts_at:
        raise InvalidMarket(
            f"the contract period is {terms.starts_at.isoformat()} to {terms.ends_at.isoformat()}, expected an end "
            "after the start, both with an offset",
            field="ends_at",
        )
    service_windows_of(terms.service_windows)
    gate_closure_of(terms.gate_closure)
    _check_zone(organisation, terms)
    product = Product.objects.filter(code=terms.product, buyer=organisation).order_by("-version").first()
    if product is None:
        raise InvalidMarket(f"{organisation.code} buys no product {terms.product!r}", field="product")
    if terms.min_kw < product.min_kw:
        raise InvalidMarket(
            f"the least power is {terms.min_kw:g} kW, expected {product.min_kw:g} kW or more, as {product} has it",
            field="min_kw",
        )
    return product


def _check_zone(organisation: Organisation, terms: MarketTerms) -> None:
    own = NetworkNode.objects.filter(organisation=organisation, code__in=terms.node_codes)
    unknown = sorted(set(terms.node_codes) - set(own.values_list("code", flat=True)))
    if not terms.node_codes or unknown:
        raise InvalidMarket(
            f"the zone names {', '.join(unknown) or 'no node'}, expected nodes of {organisation.code}'s own network",
            field="node_codes",
            value=", ".join(unknown),
        )
