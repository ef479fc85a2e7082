"""Claim delivered energy before it is paid: no kWh is paid twice unless a rule says co-delivery."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import FloatArray
from aggregator.models import Organisation
from aggregator.services.turns import take_turn
from markets.arrays.ledger import (
    Others,
    load_others,
    load_primacy_rules,
    load_stacking_rules,
    service_of,
    store_claims,
)
from markets.core.ledger_claims import AssetClaims, Claimed, PortfolioClaims, claims_by_asset, unit_kwh
from markets.core.ledger_weigh import Weighed, weigh
from markets.core.primacy import Treatment
from markets.models import FlexEvent, LedgerClaim, SettlementRun

logger = logging.getLogger(__name__)

TURN = "ledger"


class AlreadyClaimed(FlexError):
    code = "ledger.already_claimed"


class UnknownUnit(FlexError):
    code = "ledger.unknown_unit"


@dataclass(frozen=True, slots=True)
class ClaimedPeriod:
    """One stored claim: what was paid of a portfolio's half-hour."""

    claimed_kwh: Decimal
    payable_kwh: Decimal
    compensated_kwh: Decimal
    void_kwh: Decimal
    penalised_kwh: Decimal


def foresee_claims(*, event: FlexEvent, claims: PortfolioClaims) -> Claimed:
    """What an event may be paid for as the ledger stands; nothing is stored."""
    return _claimed(claims, *_weighed(event, claims))


def claim_delivered(*, settlement: SettlementRun, claims: PortfolioClaims) -> Claimed:
    """Claim energy for a settlement that is just being stored, and keep the claim; call it in its transaction.

    Claims of an earlier version of the event's settlement are in force no longer, since this one supersedes it. What
    another product was paid for stays its own. Settlements take turns here, to the end of their transactions.

    Raises:
        AlreadyClaimed: the settlement has claims.
        UnknownUnit: a unit is no organisation's code.
        InvalidClaims, VolumeTooLarge, PrimacyConflict: see ``markets.core``.
    """
    organisations = _organisations(claims.unit_ids)
    with transaction.atomic():
        take_turn(TURN)
        if LedgerClaim.objects.across_tenants().filter(settlement=settlement).exists():
            raise AlreadyClaimed(f"{settlement} has its claims in the ledger", settlement=settlement.pk)
        assets, weighed, others = _weighed(settlement.event, claims)
        store_claims(
            settlement=settlement,
            organisations=organisations,
            grid=claims.grid,
            direction=claims.direction,
            assets=assets,
            weighed=weighed,
            events=others.events,
        )
    claimed = _claimed(claims, assets, weighed, others)
    logger.info(
        "read %d other events' claims on %d EVSEs; claimed %.1f kWh for %s, displaced %.1f kWh",
        len(others.events),
        len(assets.asset_pks),
        claimed.payable_kwh.sum(),
        settlement,
        claimed.displaced_kwh.sum(),
    )
    return claimed


def claimed_by(*, settlement: SettlementRun) -> dict[tuple[str, datetime], ClaimedPeriod]:
    """What a settlement was paid for, by DSRSP and half-hour; those without a claim are not in it."""
    rows = LedgerClaim.objects.across_tenants().filter(settlement=settlement).select_related("organisation")
    return {
        (row.organisation.code, row.starts_at): ClaimedPeriod(
            row.claimed_kwh, row.payable_kwh, row.compensated_kwh, row.void_kwh, row.penalised_kwh
        )
        for row in rows.defer("evses", "band_from", "band_to", "unmet_evses", "unmet_quanta")
    }


def _organisations(codes: Sequence[str]) -> list[Organisation]:
    known = {organisation.code: organisation for organisation in Organisation.objects.filter(code__in=codes)}
    for code in codes:
        if code not in known:
            raise UnknownUnit(f"unit {code} claims energy and is no organisation's code", unit=code)
    return [known[code] for code in codes]


def _weighed(event: FlexEvent, claims: PortfolioClaims) -> tuple[AssetClaims, Weighed, Others]:
    assets = claims_by_asset(claims)
    others = load_others(event=event, grid=claims.grid, asset_pks=assets.asset_pks)
    at = claims.grid.starts_at
    weighed = weigh(
        service_of(event),
        assets.wanted.ravel(),
        assets.delivered.ravel(),
        others.holdings,
        primacy=load_primacy_rules(at=at) if others.events else (),
        stacking=load_stacking_rules(at=at) if others.events else (),
    )
    return assets, weighed, others


def _claimed(claims: PortfolioClaims, assets: AssetClaims, weighed: Weighed, others: Others) -> Claimed:
    n_unit, shape = len(claims.unit_ids), assets.wanted.shape

    def displaced(treatment: Treatment) -> FloatArray:
        parts = [cause.quanta for cause in weighed.displaced if cause.treatment == treatment]
        quanta = np.sum([np.zeros(shape[0] * shape[1], dtype=np.int64), *parts], axis=0)
        return unit_kwh(quanta.reshape(shape), assets.asset_unit, n_unit)

    return Claimed(
        payable_kwh=unit_kwh(weighed.granted.reshape(shape), assets.asset_unit, n_unit),
        compensated_kwh=displaced("paid"),
        void_kwh=displaced("void"),
        penalised_kwh=displaced("penalised"),
        findings=tuple(_findings(claims, assets, weighed, others)),
    )


def _findings(claims: PortfolioClaims, assets: AssetClaims, weighed: Weighed, others: Others) -> list[FindingNote]:
    notes = []
    for cause in weighed.displaced:
        by = others.events[cause.by]
        quanta = cause.quanta.reshape(assets.wanted.shape)
        of_unit = unit_kwh(quanta, assets.asset_unit, len(claims.unit_ids)).sum(axis=1)
        for unit in np.flatnonzero(of_unit):
            displaced_kwh = round(float(of_unit[unit]), 4)
            again = f"; settle {by.signal.reference} again to free it" if cause.reason == "paid-before" else ""
            notes.append(
                FindingNote(
                    "ledger.paid_before" if again else "ledger.displaced",
                    claims.unit_ids[unit],
                    f"{displaced_kwh} kWh are not payable: {by.product} has them ({cause.reason}){again}",
                    details={
                        "displaced_kwh": displaced_kwh,
                        "by": by.signal.reference,
                        "product": by.product.code,
                        "reason": cause.reason,
                        "settled_as": cause.treatment,
                        "rule": f"{cause.rule.code} v{cause.rule.version}" if cause.rule is not None else None,
                    },
                )
            )
    for told in weighed.told:
        by = others.events[told.by]
        notes.extend(
            FindingNote(
                "ledger.notified",
                unit,
                f"rule {told.rule.code} v{told.rule.version}: also called by {by.product} in this window",
                "info",
                {"by": by.signal.reference, "product": by.product.code, "rule": told.rule.code},
            )
            for unit in claims.unit_ids
        )
    return notes
