"""One SHA-256 over everything a settlement read, for the statement's header."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal

import numpy as np

from aggregator.core.types import FloatArray
from markets.core.baseline import BaselineRule
from markets.core.baseline_given import ControlGroupRule, NominationRule
from markets.core.baseline_methods import Rule
from markets.core.energy import to_quanta
from markets.core.payment import PerformanceRule
from markets.core.settle import SettlementInputs

_MISSING = np.iinfo(np.int64).min
# Kind of input -> what of the inputs belongs to it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "event": ("event", "prices"),
    "product": ("baseline_rule", "performance_rule", "counting"),
    "instructions": ("instructed",),
    "metered": ("metered",),
    "baseline readings": ("history", "adjustment", "adjustment_metered"),
    "baseline days": ("days", "holidays", "event_days"),
    "portfolio": ("rows",),
    "given": ("given",),
}
# The settings that rules had when the first settlements were digested.
_FIRST = {
    "BaselineRule": {
        "name",
        "version",
        "n_working_days",
        "n_non_working_days",
        "n_drop_working",
        "n_drop_non_working",
        "lookback_days",
        "adjustment_periods",
        "adjustment_gap_periods",
        "min_adjustment_periods",
        "adjustment_cap_share",
        "floor_at_zero",
        "level",
    },
    "PerformanceRule": {
        "name",
        "version",
        "grace",
        "slope",
        "cutoff",
        "step",
        "missing",
        "min_present_share",
        "cap",
        "pays_on",
    },
}


def inputs_sha256(inputs: SettlementInputs) -> str:
    """Digest the inputs on the settlement grid, units and rows by id, so the order they were loaded in is no matter.

    Returns:
        64 hexadecimal digits; two inputs that differ by a quantum, a rule, a day or an id differ here.
    """
    digest = hashlib.sha256()
    for part in _parts(inputs).values():
        # Length first: no part can borrow bytes from its neighbour.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def input_digests(inputs: SettlementInputs) -> dict[str, str]:
    """SHA-256 of each kind of input apart, so that two runs can say which of them differ.

    Returns:
        64 hexadecimal digits by kind: the keys of ``KINDS``.
    """
    parts = _parts(inputs)
    return {
        kind: hashlib.sha256(
            b"".join(len(parts[name]).to_bytes(8, "big") + parts[name] for name in names if name in parts)
        ).hexdigest()
        for kind, names in KINDS.items()
    }


def _parts(inputs: SettlementInputs) -> dict[str, bytes]:
    """Everything that is digested, by name, in the order it is digested in."""
    history = inputs.history
    rows = sorted(range(len(history.row_ids)), key=lambda row: history.row_ids[row])
    units = sorted(range(len(inputs.unit_ids)), key=lambda unit: inputs.unit_ids[unit])
    row_units = inputs.row_units or inputs.unit_ids
    more: dict[str, bytes] = {}
    if inputs.counting != "net":
        more["counting"] = _text([inputs.counting])
    if given := _given_cells(inputs):
        more["given"] = _text(given)
    return {
        "event": _text(
            ["settlement-inputs-1", inputs.direction, history.grid.starts_at.isoformat(), str(history.grid.n_period)]
        ),
        "baseline_rule": _text([*_rule_cells(inputs.baseline_rule), *_method_cells(inputs)]),
        "performance_rule": _text(_rule_cells(inputs.performance_rule)),
        "days": _text(_days(history.days)),
        "holidays": _text(_days(sorted(history.holidays))),
        "prices": _text([f"{inputs.unit_ids[unit]!r} {inputs.price_gbp_per_mwh[unit].normalize()}" for unit in units]),
        "rows": _text([f"{history.row_ids[row]!r} {row_units[row]!r}" for row in rows]),
        "instructed": _energy(inputs.instructed_kw[units]),
        "metered": _energy(inputs.metered_kwh[rows]),
        "history": _energy(history.event_kwh[rows]),
        "adjustment": _energy(history.adjustment_kwh[rows]),
        "adjustment_metered": _energy(history.adjustment_metered_kwh[rows]),
        "event_days": np.packbits(history.is_event_day[rows]).tobytes(),
        **more,
    }


def _text(cells: Iterable[str]) -> bytes:
    return "\n".join(cells).encode()


def _days(days: Iterable[date]) -> list[str]:
    return [day.isoformat() for day in days]


def _method_cells(inputs: SettlementInputs) -> list[str]:
    """A method that does not come from past days, with its facts row by row; nothing for one that does."""
    method, facts, row_ids = inputs.method, inputs.facts, inputs.history.row_ids
    if method is None or isinstance(method, BaselineRule):
        return []
    cells = [f"method={type(method).__name__}", *_rule_cells(method)]
    for name, values in (("n_evse", facts.n_evse), ("rated_kw", facts.rated_kw)):
        if values is not None:
            cells += sorted(
                f"{name} {row_id!r} {value}" for row_id, value in zip(row_ids, values.tolist(), strict=True)
            )
    return cells


def _given_cells(inputs: SettlementInputs) -> list[str]:
    """What was nominated and what a control group drew, row by row; nothing for a method that asks for neither."""
    method, facts, row_ids = inputs.method, inputs.facts, inputs.history.row_ids
    cells: list[str] = []
    if isinstance(method, NominationRule) and facts.nominations is not None:
        cells += sorted(
            f"nomination {one!r} {row_ids[row]!r} {at} {to_quanta(energy_kwh).tolist()}"
            for one, row, at, energy_kwh in zip(
                facts.nominations.ids,
                facts.nominations.row.tolist(),
                facts.nominations.submitted_at.astype("datetime64[us]").astype(np.int64).tolist(),
                facts.nominations.energy_kwh,
                strict=True,
            )
        )
    if isinstance(method, ControlGroupRule) and facts.control is not None:
        cells += sorted(
            f"control {row_id!r} {n_evse} {to_quanta(event).tolist()} {to_quanta(window).tolist()}"
            for row_id, n_evse, event, window in zip(
                row_ids,
                facts.control.n_evse.tolist(),
                facts.control.event_kwh,
                facts.control.window_kwh,
                strict=True,
            )
        )
    return cells


def _rule_cells(rule: Rule | PerformanceRule) -> list[str]:
    """Each setting; one that came later is left out at its default, so that what was settled keeps its digest."""
    first = _FIRST.get(type(rule).__name__)
    values = [
        (field.name, getattr(rule, field.name))
        for field in fields(rule)
        if first is None or field.name in first or getattr(rule, field.name) != field.default
    ]
    return [f"{name}={value.normalize() if isinstance(value, Decimal) else value}" for name, value in values]


def _energy(values: FloatArray) -> bytes:
    """Shape and big-endian quanta; a missing read has a value of its own."""
    quanta = to_quanta(values)
    whole = np.where(np.isnan(quanta), _MISSING, np.nan_to_num(quanta, nan=0.0).astype(np.int64))
    return str(values.shape).encode() + whole.astype(">i8").tobytes()
