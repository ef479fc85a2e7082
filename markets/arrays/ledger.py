"""The ledger as rows: what others hold of some assets, and what a settlement is paid for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from psycopg import sql

from aggregator.arrays.binary_arrays import cursor_of_arrays
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
    *("void_kwh", "penalised_kwh"),
)
INSERT = sql.SQL("INSERT INTO markets_ledgerclaim ({columns}) VALUES {rows} RETURNING id, organisation_id, starts_at")


class _Arrays(NamedTuple):
    """The arrays of a claim: (n_band,) each, (n_unmet,) each, and the keys of the rules used."""

    evses: IntArray
    band_from: IntArray
    band_to: IntArray
    unmet_evses: IntArray
    unmet_quanta: IntArray
    stacking_rules: IntArray


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
    bands, of_place = rows.bands(), dict[tuple[int, datetime], LedgerClaim]()
    for period in range(grid.n_period):
        units = [unit for unit in range(len(organisations)) if rows.wants(unit, period)]
        claims = [rows.claim(unit, period) for unit in units]
        _insert(claims, [rows.arrays(unit, period, bands) for unit in units])
        of_place |= {(claim.organisation_id, claim.starts_at): claim for claim in claims}
    LedgerDisplacement.objects.bulk_create(rows.displacements(of_place, events))


def _insert(claims: Sequence[LedgerClaim], arrays: Sequence[_Arrays]) -> None:
    """Insert a half-hour's claims, each as long as its portfolio, in one statement; give them their keys."""
    if not claims:
        return
    row = sql.SQL("({})").format(sql.SQL(", ").join([sql.SQL("%s")] * len(COLUMNS) + [sql.SQL("%b")] * len(arrays[0])))
    statement = INSERT.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, (*COLUMNS, *_Arrays._fields))),
        rows=sql.SQL(", ").join([row] * len(claims)),
    )
    values = [
        value
        for claim, own in zip(claims, arrays, strict=True)
        for value in (*(getattr(claim, column) for column in COLUMNS), *own)
    ]
    with cursor_of_arrays() as cursor:
        keys = {(owner, starts_at): key for key, owner, starts_at in cursor.execute(statement, values)}
    for claim in claims:
        claim.pk = keys[claim.organisation_id, claim.starts_at]


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
        weighed = self.weighed
        by_part = {
            part: sum(
                (self._sum(cause.quanta, unit, period) for cause in weighed.displaced if cause.treatment == part),
                Decimal(0),
            )
            for part in PARTS
        }
        return LedgerClaim(
            settlement=self.settlement,
            organisation=self.organisations[unit],
            direction=self.direction,
            starts_at=self._starts_at(period),
            claimed_kwh=self._sum(self.assets.wanted, unit, period),
            payable_kwh=self._sum(weighed.granted, unit, period),
            compensated_kwh=by_part["paid"],
            void_kwh=by_part["void"],
            penalised_kwh=by_part["penalised"],
        )

    def bands(self) -> list[IntArray]:
        """Which bands are of each portfolio and half-hour: portfolio by portfolio, each in the order of half-hours."""
        n_period, cell = self.grid.n_period, self.weighed.cell
        place = self.assets.asset_unit[cell // n_period] * n_period + cell % n_period
        order = np.argsort(place, kind="stable")
        firsts = np.searchsorted(place[order], np.arange(1, len(self.organisations) * n_period))
        return np.split(order, firsts)

    def arrays(self, unit: int, period: int, bands: list[IntArray]) -> _Arrays:
        weighed, n_period = self.weighed, self.grid.n_period
        here = bands[unit * n_period + period]
        unmet = self.assets.wanted[:, period] - weighed.granted[period::n_period]
        is_unmet = (unmet > 0) & (self.assets.asset_unit == unit)
        together = {one.rule.pk for one in weighed.together if (one.cell % n_period == period).any()}
        return _Arrays(
            evses=self.assets.asset_pks[weighed.cell[here] // n_period],
            band_from=weighed.low[here],
            band_to=weighed.high[here],
            unmet_evses=self.assets.asset_pks[is_unmet],
            unmet_quanta=unmet[is_unmet],
            stacking_rules=np.array(sorted(together), dtype=np.int64),
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
