"""Power that DSRSPs held ready in a month under contracts of a product that pays for it."""

from datetime import date, datetime, time
from decimal import Decimal

from aggregator.core.timegrid import utc
from markets.core.invoice import next_month
from markets.core.payment_month import HeldReady
from markets.core.service_hours import service_intervals
from markets.models import Contract, Product

KW_PER_MW = 1000


def contracts_held(*, product: Product, month: date, as_of: datetime) -> list[Contract]:
    """Contracts that hold power ready in a month, by reference; none where that is not paid."""
    if product.availability_gbp_per_mw_h is None:
        return []
    month_from, month_to = _span(month)
    contracts = Contract.objects.across_tenants().filter(
        market__product__code=product.code,
        state__in=("in_force", "ended"),
        proposed_at__lte=as_of,
        starts_at__lt=month_to,
        ends_at__gt=month_from,
    )
    return list(contracts.select_related("market").order_by("reference"))


def _span(month: date) -> tuple[datetime, datetime]:
    return utc(month, time(0)), utc(next_month(month), time(0))


def load_held_ready(*, product: Product, month: date, as_of: datetime) -> dict[int, list[HeldReady]]:
    """By the DSRSP's key, each contract's power in the service windows of a month; nothing where it is not paid.

    A contract counts for the part of the month it runs, if it came into force and was proposed by ``as_of``. Outages
    are not declared to us yet, so none are taken off.
    """
    contracts = contracts_held(product=product, month=month, as_of=as_of)
    month_from, month_to = _span(month)
    held: dict[int, list[HeldReady]] = {}
    for contract in contracts:
        windows = service_intervals(
            contract.market.service_windows,
            starts_at=max(contract.starts_at, month_from),
            ends_at=min(contract.ends_at, month_to),
        )
        accepted_mw = Decimal(str(contract.max_kw)) / KW_PER_MW
        held.setdefault(contract.organisation_id, []).append(HeldReady(contract.reference, accepted_mw, windows))
    return held
