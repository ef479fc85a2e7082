"""Trade, rules, invoices and filed volumes beside the demo's day: `python -m tests.browser.trade`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import django

PRODUCT = "scheduled-utilisation"
PRIMARY = "NM"
N_ASSET = 20
EVENING = (time(18), 4)  # local start of a window, half-hours


@dataclass(frozen=True, slots=True)
class Ask:
    """A request some days ahead and what comes of it: offers by DSRSP in kW, and whose is accepted."""

    reference: str
    days_ahead: int
    asked_kw: float
    offered_kw: dict[str, float]
    accepted: str = ""


ASKS = (
    Ask("EV-DEN-1001", 2, 60.0, {"amber-vale": 32.0, "tern-hollow": 24.0}, accepted="amber-vale"),
    Ask("EV-DEN-1002", 3, 30.0, {}),
    Ask("EV-DEN-1003", 4, 45.0, {"amber-vale": 28.0, "tern-hollow": 20.5}),
)


def add_trade(now: datetime) -> None:
    """Add them as the commands and services do that people use."""
    from django.core.management import call_command

    from aggregator.models import Organisation, work_as_platform

    work_as_platform()
    call_command("load_catalogue")
    call_command("load_ledger_rules")
    firms = {firm.code: firm for firm in Organisation.objects.all()}
    _open_market(firms, now)
    for ask in ASKS:
        _trade(ask, firms, now)
    _contract(firms, now)
    _next_version(firms["northmoor-networks"], now)
    _file_volumes(firms["amber-vale"])
    call_command("issue_invoices", PRODUCT, "--month", "2026-01")


def _as(firm: Any, act: Callable[..., Any], /, **facts: Any) -> Any:
    from aggregator.models import acting_for

    with acting_for(firm):
        return act(organisation=firm, **facts)


def _midnight(now: datetime, n_day: int) -> datetime:
    from aggregator.core.timegrid import utc

    return utc(now.date() + timedelta(days=n_day), time(0))


def _open_market(firms: dict[str, Any], now: datetime) -> None:
    from markets.services.orders_markets import MarketTerms, make_market

    terms = MarketTerms(
        code="northmoor-evenings",
        name="Evening peaks at Northmoor primary",
        product=PRODUCT,
        node_codes=(PRIMARY,),
        activity="turn_down",
        service_windows=({"weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "16:30", "ends": "21:00"},),
        gate_closure={"kind": "lead", "lead_minutes": 120},
        min_kw=10.0,
        starts_at=_midnight(now, -30),
        ends_at=_midnight(now, 150),
    )
    _as(firms["northmoor-networks"], make_market, terms=terms, now=now)


def _trade(ask: Ask, firms: dict[str, Any], now: datetime) -> None:
    import numpy as np

    from aggregator.core.timegrid import utc
    from markets.core.trading_offers import OptionTerms
    from markets.services.orders_accept import accept_offer
    from markets.services.orders_offers import OfferTerms, make_offer
    from markets.services.orders_requests import FlexRequestTerms, publish_flex_request

    starts, n_period = EVENING
    starts_at = utc(now.date() + timedelta(days=ask.days_ahead), starts)
    ends_at = starts_at + n_period * timedelta(minutes=30)
    asked = FlexRequestTerms(
        ask.reference, "northmoor-evenings", PRIMARY, starts_at, ends_at, (ask.asked_kw,) * n_period
    )
    dno = firms["northmoor-networks"]
    _as(dno, publish_flex_request, terms=asked, now=now)
    for number, (code, power_kw) in enumerate(ask.offered_kw.items(), start=1):
        whole = OptionTerms("whole", np.full(n_period, power_kw), Decimal("14.40"), Decimal("0.50"))
        half = OptionTerms("first hour", np.array([power_kw, power_kw, 0.0, 0.0]), Decimal("8.20"), Decimal("1.00"))
        offer = _as(
            firms[code],
            make_offer,
            terms=OfferTerms(f"{ask.reference}-{number}", ask.reference, (whole, half)),
            now=now,
        )
        if code == ask.accepted:
            _as(dno, accept_offer, offer_pk=offer.pk, option="whole", reference=f"{ask.reference}-ORDER", now=now)


def _contract(firms: dict[str, Any], now: datetime) -> None:
    from markets.services.orders_contracts import ContractTerms, move_contract, propose_contract

    terms = ContractTerms(
        reference="NM-2026-WINTER",
        market="northmoor-evenings",
        dsrsp="tern-hollow",
        starts_at=_midnight(now, -1),
        ends_at=_midnight(now, 120),
        max_kw=40.0,
        price_gbp_per_mwh=Decimal(285),
    )
    made = _as(firms["northmoor-networks"], propose_contract, terms=terms, now=now)
    agreed = {"reference": made.reference, "act": "agree to", "reason": "terms as negotiated in October"}
    _as(firms["tern-hollow"], move_contract, **agreed, now=now)


def _next_version(dno: Any, now: datetime) -> None:
    from markets.services.products import revise_product

    _as(
        dno,
        revise_product,
        code=PRODUCT,
        of_version=1,
        changes={"min_kw": 10.0, "penalty_gbp_per_mwh": Decimal(50)},
        valid_from=_midnight(now, 30),
        reason="terms of the 2027 tender",
        now=now,
    )


def _file_volumes(firm: Any) -> None:
    from aggregator.models import Meter
    from markets.services.allocation import AssetFacts, build_delivered_file, register_asset

    now = datetime(2026, 1, 20, tzinfo=UTC)
    meters = Meter.objects.for_tenant(firm).filter(kind=Meter.Kind.ASSET).order_by("code")[:N_ASSET]
    for number, meter in enumerate(meters):
        facts = AssetFacts(
            meter=meter.code,
            import_amsid=f"{2_000_000_000_000 + number}",
            import_msid=f"{1_000_000_000_000 + number}",
            bm_unit_id="V__AAMBE001",
            gsp_group_id="_B",
            supplier_id="SUPA",
            max_import_kw=7.36,
            valid_from=date(2025, 12, 1),
        )
        register_asset(organisation=firm, facts=facts, now=now)
    for day in (date(2026, 1, 15), date(2026, 1, 16)):
        build_delivered_file(organisation=firm, day=day, as_of=now)


if __name__ == "__main__":
    django.setup()
    from django.utils import timezone

    add_trade(timezone.now())
