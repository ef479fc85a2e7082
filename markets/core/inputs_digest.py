"""One SHA-256 over everything a settlement read, for the statement's header."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields
from datetime import date
from decimal import Decimal

import numpy as np

from aggregator.core.types import FloatArray
from markets.core.baseline import BaselineRule
from markets.core.energy import to_quanta
from markets.core.payment import PerformanceRule
from markets.core.settle import SettlementInputs

_MISSING = np.iinfo(np.int64).min


def inputs_sha256(inputs: SettlementInputs) -> str:
    """Digest the inputs on the settlement grid, units and rows by id, so the order they were loaded in is no matter.

    Returns:
        64 hexadecimal digits; two inputs that differ by a quantum, a rule, a day or an id differ here.
    """
    history = inputs.history
    rows = sorted(range(len(history.row_ids)), key=lambda row: history.row_ids[row])
    units = sorted(range(len(inputs.unit_ids)), key=lambda unit: inputs.unit_ids[unit])
    row_units = inputs.row_units or inputs.unit_ids
    digest = hashlib.sha256()
    for part in (
        _text(
            ["settlement-inputs-1", inputs.direction, history.grid.starts_at.isoformat(), str(history.grid.n_period)]
        ),
        _text(_rule_cells(inputs.baseline_rule)),
        _text(_rule_cells(inputs.performance_rule)),
        _text(_days(history.days)),
        _text(_days(sorted(history.holidays))),
        _text([f"{inputs.unit_ids[unit]!r} {inputs.price_gbp_per_mwh[unit].normalize()}" for unit in units]),
        _text([f"{history.row_ids[row]!r} {row_units[row]!r}" for row in rows]),
        _energy(inputs.instructed_kw[units]),
        _energy(inputs.metered_kwh[rows]),
        _energy(history.event_kwh[rows]),
        _energy(history.adjustment_kwh[rows]),
        _energy(history.adjustment_metered_kwh[rows]),
        np.packbits(history.is_event_day[rows]).tobytes(),
    ):
        # Length first: no part can borrow bytes from its neighbour.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _text(cells: Iterable[str]) -> bytes:
    return "\n".join(cells).encode()


def _days(days: Iterable[date]) -> list[str]:
    return [day.isoformat() for day in days]


def _rule_cells(rule: BaselineRule | PerformanceRule) -> list[str]:
    values = [(field.name, getattr(rule, field.name)) for field in fields(rule)]
    return [f"{name}={value.normalize() if isinstance(value, Decimal) else value}" for name, value in values]


def _energy(values: FloatArray) -> bytes:
    """Shape and big-endian quanta; a missing read has a value of its own."""
    quanta = to_quanta(values)
    whole = np.where(np.isnan(quanta), _MISSING, np.nan_to_num(quanta, nan=0.0).astype(np.int64))
    return str(values.shape).encode() + whole.astype(">i8").tobytes()
