"""Take a DNO's published dispatches as requests under its products, once each."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.arrays.network import find_node
from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import LONDON
from aggregator.models import NetworkNode, Organisation
from aggregator.services.event_log import record_event
from dispatch.models import TargetSignal
from dispatch.services.targets import receive_target
from markets.arrays.settlement import load_portfolios
from markets.core.dispatch_calendar import Dispatch, DispatchCalendar
from markets.models import FlexEvent, Product
from markets.services.events import UnknownProduct, least_shortfall_gbp_per_kwh, open_event
from markets.services.settlement import expected_power_kw

logger = logging.getLogger(__name__)

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CalendarPlan:
    """How a file's words are meant.

    Attributes:
        nodes: code of the network node of each zone that is taken.
        products: code of the product of each product that is taken.
        first, last: London days on which the dispatches taken begin; None for no bound.
        notice: how long before its start a dispatch is received: the file does not say when it was made.
    """

    nodes: Mapping[str, str]
    products: Mapping[str, str]
    first: date | None = None
    last: date | None = None
    notice: timedelta = ONE_DAY


@dataclass(frozen=True, slots=True)
class TakenCalendar:
    """What became of a file's rows.

    Attributes:
        n_made: requests made; ``n_known`` were there already.
        n_left_out: calls of other zones, products or days.
        findings: of the rows that were taken, and of those that only hold power ready in the plan's zones and products.
    """

    n_made: int
    n_known: int
    n_left_out: int
    n_availability: int
    findings: tuple[FindingNote, ...]


def import_dispatches(
    *, calendar: DispatchCalendar, plan: CalendarPlan, source: str, organisation: Organisation, now: datetime
) -> TakenCalendar:
    """Make a request and an event of each call that the plan takes; taking them again changes nothing.

    A request's target is the power expected in the zone less what the dispatch asks for, on the mean of its window.
    Overlapping windows stay as they are: the ledger pays no kWh twice. A company that is a DSRSP here, by name or code,
    is called alone; of one that is none every DSRSP in the zone is called, and a finding says so.

    Args:
        organisation: the DNO that asks; the nodes and products are its own.

    Raises:
        UnknownNode, UnknownProduct: the plan names what there is not, or what is another's.
        TargetRefused, EventConflict, ShortfallTooCheap: a request cannot be made as stated, or its reference is taken.
    """
    nodes = {zone: find_node(code) for zone, code in plan.nodes.items()}
    products = {name: _product(organisation, code) for name, code in plan.products.items()}
    taken = [one for one in calendar.calls if _is_taken(one, plan)]
    companies = _dsrsps()
    references = {one.reference for one in taken}
    ready = {one.reference for one in calendar.availability if _is_taken(one, plan)}
    events = FlexEvent.objects.filter(signal__reference__in=references, signal__issued_by=organisation)
    known = dict(events.values_list("signal__reference", "price_gbp_per_mwh"))
    notes = (
        *(note for note in calendar.findings if note.subject in references | ready),
        *_unknown_companies(taken, companies),
        *(_changed(one, known[one.reference]) for one in taken if _is_changed(one, known)),
    )
    with transaction.atomic():
        for one in taken:
            if one.reference not in known:
                dsrsp = companies.get(_plain(one.company))
                _make(one, nodes[one.zone], products[one.product], organisation, plan, dsrsp)
        store_findings(notes=notes, source=source, noticed_at=now, organisation=organisation)
        if len(taken) > len(known):
            record_event(
                action="dispatches.imported",
                subject=source,
                organisation=organisation,
                after={"n_made": len(taken) - len(known), "n_known": len(known), "n_finding": len(notes)},
                at=now,
            )
    logger.info("read %d dispatches of %s; made %d requests", calendar.n_row, source, len(taken) - len(known))
    return TakenCalendar(
        n_made=len(taken) - len(known),
        n_known=len(known),
        n_left_out=len(calendar.calls) - len(taken),
        n_availability=len(calendar.availability),
        findings=notes,
    )


def _plain(name: str) -> str:
    """A name without case and runs of spaces, which files write as they like."""
    return " ".join(name.split()).casefold()


def _dsrsps() -> dict[str, Organisation]:
    """DSRSPs by code and by name; a name that two have is nobody's."""
    everybody = list(Organisation.objects.filter(kind=Organisation.Kind.DSRSP).order_by("code"))
    names = Counter(_plain(one.name) for one in everybody)
    by_name = {_plain(one.name): one for one in everybody if names[_plain(one.name)] == 1}
    return by_name | {_plain(one.code): one for one in everybody}


def _unknown_companies(taken: Sequence[Dispatch], companies: Mapping[str, Organisation]) -> list[FindingNote]:
    """One finding a company that is no DSRSP here, at its first call."""
    lines: dict[str, list[int]] = {}
    for one in taken:
        if _plain(one.company) not in companies:
            lines.setdefault(one.company, []).append(one.line)
    return [
        FindingNote(
            "dispatches.unknown_company",
            company,
            f"no DSRSP is called {company}: its {len(of_it)} dispatches, from line {of_it[0]} on, call "
            "everybody in their zones",
            details={"n_dispatch": len(of_it), "line": of_it[0]},
        )
        for company, of_it in lines.items()
    ]


def _is_changed(one: Dispatch, known: Mapping[str, Decimal]) -> bool:
    return one.reference in known and known[one.reference] != one.utilisation_gbp_per_mwh


def _changed(one: Dispatch, price_gbp_per_mwh: Decimal) -> FindingNote:
    return FindingNote(
        "dispatches.changed",
        one.reference,
        f"line {one.line} has {one.utilisation_gbp_per_mwh} GBP/MWh; it was received with {price_gbp_per_mwh}",
        details={"line": one.line},
    )


def _is_taken(one: Dispatch, plan: CalendarPlan) -> bool:
    day = one.starts_at.astimezone(LONDON).date()
    is_in_time = (plan.first is None or day >= plan.first) and (plan.last is None or day <= plan.last)
    return is_in_time and one.zone in plan.nodes and one.product in plan.products


def _product(organisation: Organisation, code: str) -> Product:
    """The newest version of a product the organisation buys.

    Raises:
        UnknownProduct: it buys none of this code.
    """
    product = Product.objects.filter(code=code, buyer=organisation).order_by("-version").first()
    if product is None:
        raise UnknownProduct(f"{organisation.code} buys no product {code!r}", product=code)
    return product


def _in_force(product: Product, at: datetime) -> Product:
    """The version that a request received then comes under; the newest where none was valid yet, to be refused."""
    versions = Product.objects.filter(code=product.code, valid_from__lte=at)
    return versions.order_by("-version").first() or product


def _make(
    one: Dispatch,
    node: NetworkNode,
    product: Product,
    organisation: Organisation,
    plan: CalendarPlan,
    dsrsp: Organisation | None,
) -> None:
    received_at = one.starts_at - plan.notice
    product = _in_force(product, received_at)
    # What a kWh of it costs if missed is what its product takes off: the plan must value it so.
    shortfall_gbp_per_kwh = least_shortfall_gbp_per_kwh(product, one.utilisation_gbp_per_mwh)
    signal = receive_target(
        reference=one.reference,
        node_code=node.code,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        direction=one.direction,
        kind="routine",
        target_kw=_target_kw(one, node, product, received_at),
        shortfall_gbp_per_kwh=shortfall_gbp_per_kwh,
        issued_by=organisation,
        received_at=received_at,
    )
    open_event(signal=signal, product_code=product.code, price_gbp_per_mwh=one.utilisation_gbp_per_mwh, dsrsp=dsrsp)


def _target_kw(one: Dispatch, node: NetworkNode, product: Product, as_of: datetime) -> float:
    """EV power that is left in the zone where the dispatch is delivered in full."""
    signal = TargetSignal(node=node, starts_at=one.starts_at, ends_at=one.ends_at, direction=one.direction, target_kw=0)
    event = FlexEvent(product=product, signal=signal, price_gbp_per_mwh=one.utilisation_gbp_per_mwh)
    portfolios = load_portfolios(event=event)
    if portfolios.n_unit == 0:
        return 0.0 if one.direction == "turn_down" else float(one.requested_kw)
    expected_kw = np.nan_to_num(expected_power_kw(event=event, portfolios=portfolios, as_of=as_of)).sum(axis=0).mean()
    asked_kw = float(one.requested_kw) if one.direction == "turn_down" else -float(one.requested_kw)
    return round(max(float(expected_kw) - asked_kw, 0.0), 4)
