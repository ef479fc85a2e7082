"""Settle an event for what the ledger lets it be paid: no kWh is paid twice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from aggregator.core.types import FloatArray
from markets.core.energy import from_quanta
from markets.core.evse_volume import NO_VALUE
from markets.core.ledger_claims import Claimed, PortfolioClaims
from markets.core.settle import Displaced, SettlementInputs, SettlementResult, claimed_kwh, settle
from markets.models import SettlementRun
from markets.services.ledger import ClaimedPeriod, claim_delivered, claimed_by
from markets.services.settlement_load import LoadedEvent


@dataclass(frozen=True, slots=True)
class PaidEvent:
    """What an event is worth, and what of it the ledger kept back."""

    result: SettlementResult
    claimed: Claimed


def claim_and_settle(*, settlement: SettlementRun, loaded: LoadedEvent) -> PaidEvent:
    """Claim what a settlement would pay for and settle what it may; call it in the transaction that stores it."""
    result = settle(loaded.inputs)
    claims = PortfolioClaims(
        unit_ids=loaded.inputs.unit_ids,
        grid=result.grid,
        direction=result.direction,
        delivered_kwh=result.volume.delivered_kwh,
        claimed_kwh=claimed_kwh(result),
        asset_pks=loaded.portfolios.evse_pks,
        asset_unit=loaded.portfolios.unit,
        asset_delivered_kwh=_own_kwh(loaded, result),
    )
    claimed = claim_delivered(settlement=settlement, claims=claims)
    if not (claimed.void_kwh.any() or claimed.penalised_kwh.any()):
        return PaidEvent(result, claimed)
    displaced = Displaced(void_kwh=claimed.void_kwh, penalised_kwh=claimed.penalised_kwh)
    return PaidEvent(settle(replace(loaded.inputs, displaced=displaced)), claimed)


def _own_kwh(loaded: LoadedEvent, result: SettlementResult) -> FloatArray | None:
    """(n_evse, n_period) each EVSE's own volume, by which its portfolio's is shared out; NaN where it has none."""
    evses = loaded.readings.evses
    if evses is None:
        return None
    quanta = evses.delivered_quanta(result.direction)
    own_kwh: FloatArray = np.where(quanta == NO_VALUE, np.nan, from_quanta(quanta.astype(np.float64)))
    return own_kwh


def settle_again(*, settlement: SettlementRun, loaded: LoadedEvent) -> SettlementResult:
    """Settle as a stored settlement was, with the claims that it made then; nothing is stored."""
    displaced = _displaced(loaded.inputs, claimed_by(settlement=settlement))
    return settle(replace(loaded.inputs, displaced=displaced))


def _displaced(inputs: SettlementInputs, claims: Mapping[tuple[str, datetime], ClaimedPeriod]) -> Displaced | None:
    shape = (len(inputs.unit_ids), inputs.history.grid.n_period)
    void_kwh, penalised_kwh = np.zeros(shape), np.zeros(shape)
    for period, starts_at in enumerate(inputs.history.grid.starts()):
        for unit, code in enumerate(inputs.unit_ids):
            claim = claims.get((code, starts_at))
            if claim is not None:
                void_kwh[unit, period] = float(claim.void_kwh)
                penalised_kwh[unit, period] = float(claim.penalised_kwh)
    return Displaced(void_kwh, penalised_kwh) if void_kwh.any() or penalised_kwh.any() else None
