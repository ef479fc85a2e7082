"""The columns of a statement's rows: one table that every file format and docs/formats.md are made from.

Names of format 2 are Shapeshifter's FlexSettlement's where the thing is the same, so units stand beside them and not
in them; what is ours has its unit in its name. Format 1 had units in every name and no ``evse_ref``; files published
in it stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from markets.core.statement import (
    ENERGY_DECIMALS,
    FACTOR_DECIMALS,
    MONEY_DECIMALS,
    PRICE_DECIMALS,
    StatementLine,
    StatementPeriod,
    power_kw,
)

Value = str | int | Decimal | date | datetime | None
Kind = Literal["text", "word", "whole", "decimal", "day", "time"]
RecordKind = Literal["LIN", "PER"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: the value it shows, by its name in ``line_values`` or ``period_values``.
        name: its name in files.
        kind: ``text`` is free and guarded in CSV, ``word`` is from a short list.
        unit: empty where there is none.
        decimals: of a ``decimal``.
    """

    key: str
    name: str
    kind: Kind
    said: str
    example: str
    unit: str = ""
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one format version, for lines (``LIN``) and their periods (``PER``)."""

    format_version: str
    lines: tuple[Column, ...]
    periods: tuple[Column, ...]
    has_units: bool = False

    def columns(self, kind: RecordKind) -> tuple[Column, ...]:
        return self.lines if kind == "LIN" else self.periods


def line_values(line: StatementLine) -> Mapping[str, Value]:
    """What a line's columns show, by key."""
    return {
        "order_reference": line.order_reference,
        "contract_id": line.contract_id,
        "product": line.product,
        "congestion_point": line.congestion_point,
        "unit_ref": line.unit_ref,
        "evse_ref": line.evse_ref,
        "baseline_reference": line.baseline_reference,
        "performance_reference": line.performance_reference,
        "direction": line.direction,
        "interval_start": line.periods[0].starts_at,
        "interval_end": line.periods[-1].ends_at,
        "ordered_kwh": line.ordered_kwh,
        "delivered_kwh": line.delivered_kwh,
        "counted_ordered_kwh": line.counted_ordered_kwh,
        "counted_delivered_kwh": line.counted_delivered_kwh,
        "performance_factor": line.performance_factor,
        "price_gbp_per_mwh": line.price_gbp_per_mwh,
        "full_value_gbp": line.full_value_gbp,
        "penalty_gbp": line.penalty_gbp,
        "net_settlement_gbp": line.net_settlement_gbp,
        "n_baseline_days": line.n_baseline_days,
        "note": line.note,
    }


def period_values(line: StatementLine, period: StatementPeriod) -> Mapping[str, Value]:
    """What the columns of one of a line's periods show, by key; powers are means of the half-hour."""
    settlement_date, number = period.settlement_period
    return {
        "order_reference": line.order_reference,
        "unit_ref": line.unit_ref,
        "evse_ref": line.evse_ref,
        "settlement_date": settlement_date,
        "period": number,
        "interval_start": period.starts_at,
        "interval_end": period.ends_at,
        "baseline_power_kw": _mean_kw(period.baseline_kwh),
        "ordered_flex_power_kw": _mean_kw(period.ordered_kwh),
        "actual_power_kw": _mean_kw(period.metered_kwh),
        "delivered_flex_power_kw": _mean_kw(period.delivered_kwh),
        "power_deficiency_kw": _mean_kw(period.deficiency_kwh),
        "delivered_kwh": period.delivered_kwh,
        "meter_quality": period.meter_quality,
    }


def _mean_kw(energy_kwh: Decimal | None) -> Decimal | None:
    return None if energy_kwh is None else power_kw(energy_kwh)


def _text(key: str, said: str, example: str) -> Column:
    return Column(key, key, "text", said, example)


def _word(key: str, said: str, example: str) -> Column:
    return Column(key, key, "word", said, example)


def _time(key: str, said: str, example: str) -> Column:
    return Column(key, key, "time", said, example, unit="UTC")


def _whole(key: str, said: str, example: str) -> Column:
    return Column(key, key, "whole", said, example)


def _energy(key: str, said: str, example: str) -> Column:
    return Column(key, key, "decimal", said, example, unit="kWh", decimals=ENERGY_DECIMALS)


def _power(name: str, said: str, example: str) -> Column:
    return Column(f"{name}_kw", name, "decimal", said, example, unit="kW", decimals=ENERGY_DECIMALS)


def _money(name: str, said: str, example: str) -> Column:
    return Column(f"{name}_gbp", name, "decimal", said, example, unit="GBP", decimals=MONEY_DECIMALS)


_ORDER = _text("order_reference", "the request or order that was settled", "EVENING/1")
_UNIT = _text("unit_ref", "the settled unit: a DSRSP's portfolio in the zone, or one EVSE", "flexco")
_EVSE = _text("evse_ref", "pseudonym of the EVSE where the unit is one; empty for a portfolio", "")
_START = _time("interval_start", "start, included", "2026-01-14T18:00:00Z")
_END = _time("interval_end", "end, left out", "2026-01-14T18:30:00Z")

LINES = (
    _ORDER,
    _text("contract_id", "product and version it was settled under", "su-night v1"),
    _text("product", "kind of product", "Scheduled Utilisation"),
    _text("congestion_point", "network node the flexibility was asked for at", "S1"),
    _UNIT,
    _EVSE,
    _text("baseline_reference", "baseline method and version", "mid-8-in-10-sda v1"),
    _text("performance_reference", "performance rule and version", "su-night v1"),
    _word("direction", "turn_down or turn_up", "turn_down"),
    _START,
    _END,
    _energy("ordered_kwh", "instructed over all periods", "10.0000"),
    _energy("delivered_kwh", "net delivered over all periods, uncapped", "9.0000"),
    _energy("counted_ordered_kwh", "instructed in the periods that count", "10.0000"),
    _energy("counted_delivered_kwh", "delivered in them, capped by the rule", "9.0000"),
    Column(
        "performance_factor",
        "performance_factor",
        "decimal",
        "for reading: the money came from the exact fraction",
        "0.850000",
        decimals=FACTOR_DECIMALS,
    ),
    Column(
        "price_gbp_per_mwh",
        "price",
        "decimal",
        "utilisation price",
        "300.0000",
        unit="GBP/MWh",
        decimals=PRICE_DECIMALS,
    ),
    _money("full_value", "what full delivery would have earned", "3.00"),
    _money("penalty", "full value less net settlement", "0.45"),
    _money("net_settlement", "what is paid", "2.55"),
    _whole("n_baseline_days", "fewest eligible days behind any period", "10"),
    _text("note", "what a reader should know", ""),
)
PERIODS = (
    _ORDER,
    _UNIT,
    _EVSE,
    Column("settlement_date", "settlement_date", "day", "London date", "2026-01-14"),
    _whole("period", "number of the half-hour in that day, 1 to 46, 48 or 50", "37"),
    _START,
    _END,
    _power("baseline_power", "expected without the event, import positive; empty: no baseline", "18.0000"),
    _power("ordered_flex_power", "instructed, positive in the direction asked", "10.0000"),
    _power("actual_power", "metered, import positive; empty: no read", "9.0000"),
    _power("delivered_flex_power", "delivered, positive in the direction asked", "9.0000"),
    _power("power_deficiency", "ordered but not delivered, never negative", "1.0000"),
    _energy("delivered_kwh", "delivered, positive in the direction asked", "4.5000"),
    _word("meter_quality", "A actual, E estimated, M missing", "A"),
)

_KEYS_OF_LINES_1 = (
    *("order_reference", "unit_ref", "contract_id", "product", "congestion_point", "baseline_reference"),
    *("performance_reference", "direction", "interval_start", "interval_end", "ordered_kwh", "delivered_kwh"),
    *("counted_ordered_kwh", "counted_delivered_kwh", "performance_factor", "price_gbp_per_mwh", "full_value_gbp"),
    *("penalty_gbp", "net_settlement_gbp", "n_baseline_days", "note"),
)


def _as_format_1(columns: tuple[Column, ...], keys: tuple[str, ...]) -> tuple[Column, ...]:
    by_key = {column.key: column for column in columns}
    return tuple(
        Column(key, key, by_key[key].kind, by_key[key].said, by_key[key].example, decimals=by_key[key].decimals)
        for key in keys
    )


FORMAT_1 = Layout(
    "1",
    _as_format_1(LINES, _KEYS_OF_LINES_1),
    _as_format_1(PERIODS, tuple(column.key for column in PERIODS if column is not _EVSE)),
)
FORMAT_2 = Layout("2", LINES, PERIODS, has_units=True)
LAYOUTS = {layout.format_version: layout for layout in (FORMAT_1, FORMAT_2)}
FORMAT_VERSION = FORMAT_2.format_version
