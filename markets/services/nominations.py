"""Nominated baselines: handing them in, and what stands of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from django.db import transaction

from aggregator.arrays.network import find_node
from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, utc
from aggregator.models import NetworkNode, Organisation, as_platform
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.arrays.nominations import store_nominations
from markets.arrays.trading import load_registered_kw
from markets.core.baseline_given import NominationRule, nomination_deadline
from markets.core.baseline_methods import METHODS
from markets.core.nominations import NominatedDay
from markets.models import Nomination, Product
from markets.services.rules import baseline_method

MOST_DAYS_AHEAD = 400
NOMINATED = tuple(name for name, method in METHODS.items() if isinstance(method.rule, NominationRule))


class NominationRefused(FlexError):
    code = "nomination.refused"


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of the days handed in.

    Attributes:
        rows: the nomination that stands for each day, in the order of the days: new, or the one that says the same.
        n_same: days whose newest nomination says the same already; nothing was stored for them.
        late: settlement dates whose deadline had passed.
    """

    rows: tuple[Nomination, ...]
    n_same: int
    late: tuple[date, ...]


def submit_nominations(
    *,
    organisation: Organisation,
    product: str,
    node: str,
    days: Sequence[NominatedDay],
    now: datetime,
    submitted_at: datetime | None = None,
) -> Handed:
    """Nominate a DSRSP's baseline for settlement dates, in a zone, under a product.

    One that comes after its deadline is taken all the same and marked late: what it does then the product says. Power
    beyond what the DSRSP's EVSEs there can draw is refused: it would be paid for without being saved.

    Args:
        submitted_at: when it was handed in, where that was before ``now``; the deadline is held against it.

    Raises:
        UnknownNode: no node has this code.
        NominationRefused: no such product, one that asks for no nomination, a date past or too far ahead, power beyond
            the EVSEs', or handed in after ``now``.
    """
    at = submitted_at or now
    if at.tzinfo is None or at > now:
        raise NominationRefused(f"handed in at {at.isoformat()}, expected no later than now", field="submitted_at")
    under, zone = product_of(product), find_node(node)
    if len({day.settlement_date for day in days}) != len(days) or not days:
        raise NominationRefused("expected one or more settlement dates, each once", field="days")
    for day in days:
        _refuse_date(day.settlement_date, at)
        with as_platform():
            _refuse_power(day, organisation, zone)
    rule = nomination_rule(under)
    late = tuple(one.settlement_date for one in days if at >= nomination_deadline(one.settlement_date, rule))
    with transaction.atomic(), as_platform():
        take_turn("nominate", organisation.pk)
        standing = _newest(organisation, under, zone, [day.settlement_date for day in days])
        fresh = [day for day in days if not _says_the_same(standing.get(day.settlement_date), day)]
        made = store_nominations(
            [
                Nomination(
                    organisation=organisation,
                    product=under,
                    node=zone,
                    settlement_date=day.settlement_date,
                    power_kw=[None if math.isnan(one) else one for one in day.power_kw.tolist()],
                    submitted_at=at,
                    recorded_at=now,
                )
                for day in fresh
            ]
        )
        if made:
            _record(made, late, organisation, now)
    standing |= {row.settlement_date: row for row in made}
    rows = tuple(standing[day.settlement_date] for day in days)
    return Handed(rows, len(days) - len(fresh), late)


def product_of(code: str) -> Product:
    """The newest version of a product that asks for nominations.

    Raises:
        NominationRefused: there is none, or its baseline is made otherwise.
    """
    found = Product.objects.filter(code=code).order_by("-version").first()
    if found is None:
        raise NominationRefused(f"there is no product {code[:50]!r}", field="product", value=code[:50])
    if found.baseline_method not in NOMINATED:
        raise NominationRefused(
            f"{found} makes its baseline by {found.baseline_method}: nothing is nominated for it",
            field="product",
            value=code,
        )
    return found


def nomination_rule(product: Product) -> NominationRule:
    """The product's deadline, and what a late nomination does."""
    rule = baseline_method(product)
    return rule if isinstance(rule, NominationRule) else NominationRule()


def is_late(row: Nomination) -> bool:
    """Whether a nomination came after its deadline, by the version of the product it was handed in under."""
    return row.submitted_at >= nomination_deadline(row.settlement_date, nomination_rule(row.product))


def products_nominated() -> list[Product]:
    """The newest version of each product that asks for nominations, by code."""
    newest = {product.code: product for product in Product.objects.order_by("code", "version")}
    return [product for product in newest.values() if product.baseline_method in NOMINATED]


def _refuse_date(day: date, at: datetime) -> None:
    today = at.astimezone(LONDON).date()
    if not today <= day <= today + timedelta(days=MOST_DAYS_AHEAD):
        raise NominationRefused(
            f"settlement date {day} is nominated on {today}, expected that day or one of the {MOST_DAYS_AHEAD} after",
            field="settlement_date",
            value=day.isoformat(),
        )


def _refuse_power(day: NominatedDay, organisation: Organisation, zone: NetworkNode) -> None:
    most_kw = load_registered_kw(node=zone, organisation=organisation, at=utc(day.settlement_date, time(0)))
    asked_kw = float(np.nanmax(np.abs(day.power_kw)))
    if asked_kw > most_kw:
        raise NominationRefused(
            f"{asked_kw:g} kW is nominated at {zone.code} on {day.settlement_date}, expected no more than the "
            f"{most_kw:g} kW that {organisation.code}'s EVSEs there are rated at",
            field="power_kw",
            value=asked_kw,
        )


def _newest(
    organisation: Organisation, product: Product, zone: NetworkNode, days: list[date]
) -> dict[date, Nomination]:
    rows = Nomination.objects.across_tenants().filter(
        organisation=organisation, product__code=product.code, node=zone, settlement_date__in=days
    )
    return {row.settlement_date: row for row in rows.select_related("product").order_by("submitted_at", "pk")}


def _says_the_same(row: Nomination | None, day: NominatedDay) -> bool:
    if row is None:
        return False
    stored = np.array([np.nan if one is None else one for one in row.power_kw], dtype=np.float64)
    return bool(np.array_equal(stored, day.power_kw, equal_nan=True))


def _record(made: list[Nomination], late: tuple[date, ...], organisation: Organisation, now: datetime) -> None:
    days = sorted(row.settlement_date for row in made)
    first = made[0]
    record_event(
        action="nomination.submit",
        subject=f"nomination of {organisation.code} at {first.node.code}",
        organisation=organisation,
        after={
            "product": first.product.code,
            "first": days[0].isoformat(),
            "last": days[-1].isoformat(),
            "n_day": len(days),
            "n_late": len(set(late) & set(days)),
            "submitted_at": first.submitted_at,
        },
        at=now,
    )
