"""Settled days in and out of PostgreSQL as arrays."""

from dataclasses import dataclass
from typing import LiteralString

import numpy as np

from aggregator.arrays.binary_rows import Column, pack_rows
from aggregator.arrays.copy_in import copy_into
from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.types import Int32Array, IntArray
from markets.arrays.settlement import Portfolios, event_grid
from markets.core.delivered import Direction
from markets.core.evse_volume import NO_VALUE, EvseVolume, SettledDate
from markets.models import SettlementRun

TABLE = "markets_settledday"
QUANTA = ("baseline_quanta", "metered_quanta", "delivered_quanta")
EPOCH = np.datetime64("2000-01-01", "D")
OF_RUN = """
FROM markets_settledday WHERE settlement_run_id = {run} AND settlement_date = {day}
AND cardinality(baseline_quanta) = {n_period}
"""


@dataclass(frozen=True, slots=True)
class SettledEvses:
    """What was stored of one settlement run, EVSEs by key.

    Attributes:
        evse_pks, organisation_pks: (n_evse,).
        volume: their baseline and metered energy in the event.
        delivered_quanta: (n_evse, n_period).
    """

    evse_pks: IntArray
    organisation_pks: IntArray
    volume: EvseVolume
    delivered_quanta: Int32Array


def store_settled_days(
    *, settlement: SettlementRun, portfolios: Portfolios, evses: EvseVolume, direction: Direction
) -> int:
    """Add a row for each EVSE and settlement date of an event, by COPY; call it in the settlement's transaction.

    Returns:
        The rows added.
    """
    order = np.argsort(portfolios.evse_pks)
    owner = np.array([organisation.pk for organisation in portfolios.organisations], dtype=np.int64)
    values = (evses.baseline_quanta, evses.metered_quanta, evses.delivered_quanta(direction))
    for part in evses.dates():
        quanta = {
            name: np.ascontiguousarray(column[order, part.periods]) for name, column in zip(QUANTA, values, strict=True)
        }
        _store_date(settlement.pk, part, portfolios.evse_pks[order], owner[portfolios.unit[order]], quanta)
    return len(order) * len(evses.dates())


def _store_date(
    run_pk: int, part: SettledDate, evse_pks: IntArray, owner: IntArray, quanta: dict[str, Int32Array]
) -> None:
    n_evse, day = len(evse_pks), (np.datetime64(part.settlement_date, "D") - EPOCH).astype(np.int64)
    columns: dict[str, Column] = {
        "settlement_run_id": np.full(n_evse, run_pk, dtype=np.int64),
        "evse_id": evse_pks.astype(np.int64),
        "organisation_id": owner,
        "settlement_date": np.full(n_evse, day, dtype=np.int32),  # a date travels as days since 2000
        "first_period": np.full(n_evse, part.first_period, dtype=np.int16),
        **quanta,
    }
    # An array goes out with a number in each place; the database blanks those that stand for nothing.
    blanked: dict[str, LiteralString] = {
        name: f"array_replace({name}, {NO_VALUE}, NULL)"
        for name, column in quanta.items()
        if (column == NO_VALUE).any()
    }
    with copy_into(table=TABLE, columns=list(columns), is_binary=True, expressions=blanked) as copy:
        for piece in pack_rows(columns):
            copy.write(piece)


def load_settled_days(*, settlement: SettlementRun) -> SettledEvses:
    """Load what was stored of one settlement run, by EVSE key; no EVSE where nothing was."""
    grid = event_grid(settlement.event.signal)
    none = np.zeros((0, grid.n_period), dtype=np.int32)
    parts = EvseVolume(grid, none, none).dates()
    loaded = [_load_date(settlement, part) for part in parts]
    quanta = [np.hstack([columns[name] for columns in loaded]) for name in QUANTA]
    first = loaded[0]
    return SettledEvses(first["evse"], first["organisation"], EvseVolume(grid, quanta[0], quanta[1]), quanta[2])


def _load_date(settlement: SettlementRun, part: SettledDate) -> dict[str, np.ndarray]:
    n_period = part.periods.stop - part.periods.start
    fields = {"evse": Field("evse_id", "i8"), "organisation": Field("organisation_id", "i8")}
    arrays = {name: Field(f"array_replace({name}, NULL, {NO_VALUE})", "i4", n_period) for name in QUANTA}
    columns = load_columns(
        source=OF_RUN,
        block="evse_id / 2000",
        fields={**fields, **arrays},
        values={"run": settlement.pk, "day": part.settlement_date, "n_period": n_period},
    )
    order = np.argsort(columns["evse"])
    return {name: column[order] for name, column in columns.items()}
