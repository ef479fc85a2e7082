"""The ledger as rows: what others hold of some assets, and what a settlement is paid for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from django.db import connection

from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import IntArray
from aggregator.models import Organisation
from markets.core import primacy
from markets.core.energy import kwh_of_quanta
from markets.core.ledger_claims import AssetClaims
from markets.core.ledger_weigh import Holding, Weighed
from markets.models import (
    FlexEvent,
    LedgerClaim,
    LedgerDisplacement,
    PrimacyRule,
    SettlementRun,
    StackingRule,
)

PARTS = ("paid", "void", "penalised")
COLUMNS = (
    *("settlement_id", "organisation_id", "direction", "starts_at", "claimed_kwh", "payable_kwh", "compensated_kwh"),
    *("void_kwh", "penalised_kwh", "evses", "band_from", "band_to", "unmet_evses", "unmet_quanta", "stacking_rules"),
)
# In the order of COLUMNS; named types, so that an empty array has one.
INSERT = """
INSERT INTO markets_ledgerclaim (
    settlement_id, organisation_id, direction, starts_at, claimed_kwh, payable_kwh, compensated_kwh,
    void_kwh, penalised_kwh, evses, band_from, band_to, unmet_evses, unmet_quanta, stacking_rules
) VALUES (
    %s, %s, %s, %s, %s, %s, %s,
    %s, %s, %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
) RETURNING id
"""


def service_of(event: FlexEvent) -> primacy.Service:
    """An event as the rules see it."""
    signal, product = event.signal, event.product
    return primacy.Service(
        code=product.code,
        family=product.family,
        direction=signal.direction,
        starts_at=signal.starts_at,
        contracted_at=signal.received_at,
        key=event.pk,
    )


def load_primacy_rules(*, at: datetime) -> tuple[primacy.PrimacyRule, ...]:
    """Primacy rules in force."""
    rows = PrimacyRule.objects.filter(valid_from__lte=at)
    return primacy.rules_in_force([_primacy_rule(row) for row in rows], at)


def load_stacking_rules(*, at: datetime) -> tuple[primacy.StackingRule, ...]:
    """Stacking rules in force."""
    rows = StackingRule.objects.filter(valid_from__lte=at)
    return primacy.rules_in_force([_stacking_rule(row) for row in rows], at)


def _primacy_rule(row: PrimacyRule) -> primacy.PrimacyRule:
    sides: dict[str, primacy.Side] = {"same": "same", "opposite": "opposite", "any": "any"}
    effects: dict[str, primacy.Effect] = {"block": "block", "curtail": "curtail", "notify": "notify"}
    treatments: dict[str, primacy.Treatment] = {"paid": "paid", "void": "void", "penalised": "penalised"}
    return primacy.PrimacyRule(
        pk=row.pk,
        code=row.code,
        version=row.version,
        product_hi=row.product_hi,
        product_lo=row.product_lo,
        direction=sides[row.direction],
        lead_time=row.lead_time,
        action=effects[row.action],
        displaced=treatments[row.displaced_party_settlement],
        valid_from=row.valid_from,
    )


def _stacking_rule(row: StackingRule) -> primacy.StackingRule:
    kinds: dict[str, primacy.Stacking] = {
        "co-delivery": "co-delivery",
        "splitting": "splitting",
        "jumping": "jumping",
    }
    return primacy.StackingRule(
        pk=row.pk,
        code=row.code,
        version=row.version,
        kind=kinds[row.kind],
        service_a=row.service_a,
        service_b=row.service_b,
        is_allowed=row.is_allowed,
        valid_from=row.valid_from,
    )


@dataclass(frozen=True, slots=True)
class Others:
    """What other events hold of some assets; both in the same order."""

    events: tuple[FlexEvent, ...]
    holdings: tuple[Holding, ...]


def load_others(*, event: FlexEvent, grid: TimeGrid, asset_pks: IntArray) -> Others:
    """Load claims in force of other events on these assets in these half-hours, in either direction.

    Args:
        asset_pks: (n_asset,) ascending; the cell of asset ``a`` in half-hour ``p`` is ``a * n_period + p``.
    """
    rows = (
        LedgerClaim.objects.across_tenants()
        .filter(starts_at__gte=grid.starts_at, starts_at__lt=grid.ends_at, settlement__superseded_by__isnull=True)
        .exclude(settlement__event=event)
        .select_related("settlement__event__product", "settlement__event__signal")
        .order_by("settlement__event", "starts_at", "pk")
    )
    events: dict[int, FlexEvent] = {}
    found: dict[int, list[tuple[IntArray, ...]]] = defaultdict(list)
    for row in rows.iterator():
        columns = _columns(row, grid, asset_pks)
        if len(columns[0]) or len(columns[3]):
            events[row.settlement.event_id] = row.settlement.event
            found[row.settlement.event_id].append(columns)
    holdings = [
        Holding(service_of(events[pk]), *(np.concatenate(parts) for parts in zip(*columns, strict=True)))
        for pk, columns in found.items()
    ]
    return Others(tuple(events[pk] for pk in found), tuple(holdings))


def _columns(row: LedgerClaim, grid: TimeGrid, asset_pks: IntArray) -> tuple[IntArray, ...]:
    period = (row.starts_at - grid.starts_at) // SETTLEMENT_PERIOD
    at, is_ours = _places(row.evses, asset_pks)
    unmet_at, unmet_is_ours = _places(row.unmet_evses, asset_pks)
    n_period = grid.n_period
    return (
        at * n_period + period,
        np.array(row.band_from, dtype=np.int64)[is_ours],
        np.array(row.band_to, dtype=np.int64)[is_ours],
        unmet_at * n_period + period,
        np.array(row.unmet_quanta, dtype=np.int64)[unmet_is_ours],
    )


def _places(evses: Sequence[int], asset_pks: IntArray) -> tuple[IntArray, IntArray]:
    """Which asset each of these EVSEs is, and which of them are any."""
    pks = np.array(evses, dtype=np.int64)
    at = np.minimum(np.searchsorted(asset_pks, pks), max(len(asset_pks) - 1, 0))
    is_ours = np.flatnonzero(asset_pks[at] == pks) if len(asset_pks) else np.zeros(0, dtype=np.int64)
    return at[is_ours], is_ours


def store_claims(
    *,
    settlement: SettlementRun,
    organisations: Sequence[Organisation],
    grid: TimeGrid,
    direction: str,
    assets: AssetClaims,
    weighed: Weighed,
    events: Sequence[FlexEvent],
) -> None:
    """Write one claim for each portfolio and half-hour that claims anything; call it in a transaction."""
    rows = _Rows(settlement, organisations, grid, direction, assets, weighed)
    claims = [
        rows.claim(unit, period)
        for unit in range(len(organisations))
        for period in range(grid.n_period)
        if rows.wants(unit, period)
    ]
    _insert(claims)
    of_place = {(claim.organisation_id, claim.starts_at): claim for claim in claims}
    LedgerDisplacement.objects.bulk_create(rows.displacements(of_place, events))


def _insert(claims: Sequence[LedgerClaim]) -> None:
    """Insert claims and give them their keys, arrays as they are: Django would prepare each of their numbers alone."""
    with connection.cursor() as cursor:
        for claim in claims:
            cursor.execute(INSERT, [getattr(claim, column) for column in COLUMNS])
            ((claim.pk,),) = cursor.fetchall()


@dataclass(frozen=True, slots=True)
class _Rows:
    settlement: SettlementRun
    organisations: Sequence[Organisation]
    grid: TimeGrid
    direction: str
    assets: AssetClaims
    weighed: Weighed

    def _starts_at(self, period: int) -> datetime:
        return self.grid.starts_at + period * SETTLEMENT_PERIOD

    def _sum(self, quanta: IntArray, unit: int, period: int) -> Decimal:
        of_unit = quanta.reshape(-1, self.grid.n_period)[self.assets.asset_unit == unit, period]
        return kwh_of_quanta(int(of_unit.sum()))

    def wants(self, unit: int, period: int) -> bool:
        return bool(self.assets.wanted[self.assets.asset_unit == unit, period].any())

    def claim(self, unit: int, period: int) -> LedgerClaim:
        weighed, n_period, starts_at = self.weighed, self.grid.n_period, self._starts_at(period)
        is_here = (weighed.cell % n_period == period) & (self.assets.asset_unit[weighed.cell // n_period] == unit)
        unmet = (self.assets.wanted - weighed.granted.reshape(-1, n_period))[:, period]
        is_unmet = (unmet > 0) & (self.assets.asset_unit == unit)
        by_part = {
            part: sum(
                (self._sum(cause.quanta, unit, period) for cause in weighed.displaced if cause.treatment == part),
                Decimal(0),
            )
            for part in PARTS
        }
        together = {one.rule.pk for one in weighed.together if (one.cell % n_period == period).any()}
        return LedgerClaim(
            settlement=self.settlement,
            organisation=self.organisations[unit],
            direction=self.direction,
            starts_at=starts_at,
            claimed_kwh=self._sum(self.assets.wanted, unit, period),
            payable_kwh=self._sum(weighed.granted, unit, period),
            compensated_kwh=by_part["paid"],
            void_kwh=by_part["void"],
            penalised_kwh=by_part["penalised"],
            evses=self.assets.asset_pks[weighed.cell[is_here] // n_period].tolist(),
            band_from=weighed.low[is_here].tolist(),
            band_to=weighed.high[is_here].tolist(),
            unmet_evses=self.assets.asset_pks[is_unmet].tolist(),
            unmet_quanta=unmet[is_unmet].tolist(),
            stacking_rules=sorted(together),
        )

    def displacements(
        self, claims: dict[tuple[int, datetime], LedgerClaim], events: Sequence[FlexEvent]
    ) -> list[LedgerDisplacement]:
        return [
            LedgerDisplacement(
                claim=claims[organisation.pk, self._starts_at(period)],
                by_product=events[cause.by].product,
                by_event=events[cause.by],
                rule_id=cause.rule.pk if cause.rule is not None else None,
                reason=cause.reason,
                displaced_party_settlement=cause.treatment,
                displaced_kwh=displaced_kwh,
            )
            for cause in self.weighed.displaced
            for unit, organisation in enumerate(self.organisations)
            for period in range(self.grid.n_period)
            if (displaced_kwh := self._sum(cause.quanta, unit, period)) > 0
        ]
