"""A settled statement as values: a header, its lines, and the half-hours behind each line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import SETTLEMENT_PERIOD, SettlementPeriod, settlement_period_at
from markets.core.delivered import Direction

MeterQuality = Literal["A", "E", "M"]
ENERGY_DECIMALS, MONEY_DECIMALS, PRICE_DECIMALS, FACTOR_DECIMALS = 4, 2, 4, 6
LONGEST_TEXT = 1_000
_PERIODS_PER_HOUR = 2


class InvalidStatement(FlexError):
    code = "statement.invalid"


@dataclass(frozen=True, slots=True)
class StatementHeader:
    """Which run a statement is: aware UTC times on the second, ``[period_from_at, period_to_at)``.

    Raises:
        InvalidStatement: a time that is not UTC, a reversed period, a version below 1, no SHA-256.
    """

    run_id: str
    version: int
    period_from_at: datetime
    period_to_at: datetime
    as_of_at: datetime
    tenant: str
    input_sha256: str
    currency: str = "GBP"

    def __post_init__(self) -> None:
        _expect_texts(self.run_id, self.tenant, self.currency)
        _expect_times(self.period_from_at, self.period_to_at, self.as_of_at)
        _expect(self.period_from_at < self.period_to_at, "the period must end after it starts")
        _expect(self.version >= 1, f"versions count from 1, found {self.version}")
        is_digest = len(self.input_sha256) == 64 and set(self.input_sha256) <= set("0123456789abcdef")
        _expect(is_digest, "input_sha256 must be 64 lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """One settlement period of a line, energies in kWh with four decimals.

    Attributes:
        baseline_kwh: None where no baseline could be made.
        metered_kwh: None where no read arrived.
        meter_quality: A actual, E estimated, M missing.
    """

    starts_at: datetime
    ordered_kwh: Decimal
    delivered_kwh: Decimal
    baseline_kwh: Decimal | None
    metered_kwh: Decimal | None
    meter_quality: MeterQuality = "A"

    def __post_init__(self) -> None:
        _expect_times(self.starts_at)
        on_grid = self.starts_at.minute % 30 == 0 and self.starts_at.second == 0
        _expect(on_grid, f"a settlement period starts at :00 or :30, found {self.starts_at.isoformat()}")
        for energy_kwh in (self.ordered_kwh, self.delivered_kwh, self.baseline_kwh, self.metered_kwh):
            if energy_kwh is not None:
                _expect_decimals(energy_kwh, ENERGY_DECIMALS, "energy in kWh")
        _expect(self.ordered_kwh >= 0, f"ordered energy is never negative, found {self.ordered_kwh} kWh")
        _expect(self.meter_quality in ("A", "E", "M"), f"meter_quality is A, E or M, found {self.meter_quality}")
        _expect((self.metered_kwh is None) == (self.meter_quality == "M"), "quality M goes with a missing read only")

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + SETTLEMENT_PERIOD

    @property
    def settlement_period(self) -> SettlementPeriod:
        return settlement_period_at(self.starts_at)

    @property
    def deficiency_kwh(self) -> Decimal:
        """Ordered energy that was not delivered; never negative."""
        return max(self.ordered_kwh - self.delivered_kwh, Decimal(0))


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One invoice line: one unit in one event.

    Attributes:
        order_reference: the event.
        unit_ref: the settled unit.
        evse_ref: pseudonym of the EVSE where the unit is one, empty for a portfolio.
        baseline_reference: baseline rule and version; ``performance_reference`` likewise.
        counted_ordered_kwh: energy instructed in the half-hours that count; the performance factor follows from
            this and ``counted_delivered_kwh``, which is capped by the rule.
        performance_factor: six decimals, for reading only; the money came from the exact fraction.
        full_value_gbp: what full delivery would have earned.
        net_settlement_gbp: what is paid, 0 to ``full_value_gbp``.
        n_baseline_days: fewest eligible days behind any of its periods.
        periods: in time order.

    Raises:
        InvalidStatement: sums, order or decimals that do not hold.
    """

    order_reference: str
    unit_ref: str
    contract_id: str
    product: str
    congestion_point: str
    baseline_reference: str
    performance_reference: str
    direction: Direction
    counted_ordered_kwh: Decimal
    counted_delivered_kwh: Decimal
    performance_factor: Decimal
    price_gbp_per_mwh: Decimal
    full_value_gbp: Decimal
    net_settlement_gbp: Decimal
    n_baseline_days: int
    periods: tuple[StatementPeriod, ...]
    note: str = ""
    evse_ref: str = ""

    def __post_init__(self) -> None:
        _expect_texts(self.order_reference, self.unit_ref, self.contract_id, self.product, self.congestion_point)
        _expect_texts(self.baseline_reference, self.performance_reference, self.note, self.evse_ref)
        _expect(self.direction in ("turn_down", "turn_up"), f"direction is turn_down or turn_up, not {self.direction}")
        _expect_decimals(self.counted_ordered_kwh, ENERGY_DECIMALS, "energy in kWh")
        _expect_decimals(self.counted_delivered_kwh, ENERGY_DECIMALS, "energy in kWh")
        _expect_decimals(self.performance_factor, FACTOR_DECIMALS, "performance factor")
        _expect_decimals(self.price_gbp_per_mwh, PRICE_DECIMALS, "price in GBP/MWh")
        _expect_decimals(self.full_value_gbp, MONEY_DECIMALS, "money in GBP")
        _expect_decimals(self.net_settlement_gbp, MONEY_DECIMALS, "money in GBP")
        _expect(0 <= self.net_settlement_gbp <= self.full_value_gbp, "a line pays from 0 to its full value")
        _expect(self.n_baseline_days >= 0, "n_baseline_days is never negative")
        _expect(len(self.periods) > 0, f"line {self.order_reference} {self.unit_ref} has no periods")
        in_order = all(one.ends_at <= other.starts_at for one, other in pairwise(self.periods))
        _expect(in_order, f"periods of {self.order_reference} {self.unit_ref} must ascend without overlap")

    @property
    def ordered_kwh(self) -> Decimal:
        return sum((period.ordered_kwh for period in self.periods), Decimal(0))

    @property
    def delivered_kwh(self) -> Decimal:
        """Net energy over all its periods, uncapped."""
        return sum((period.delivered_kwh for period in self.periods), Decimal(0))

    @property
    def penalty_gbp(self) -> Decimal:
        return self.full_value_gbp - self.net_settlement_gbp


@dataclass(frozen=True, slots=True)
class StatementTotals:
    """What the trailer repeats, and a cover sheet may show: ``n_row`` counts lines and their periods."""

    n_row: int
    delivered_kwh: Decimal
    net_gbp: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """A header and its lines, sorted by order and unit.

    Raises:
        InvalidStatement: two lines for one order and unit, lines out of order, or a period outside the header's.
    """

    header: StatementHeader
    lines: tuple[StatementLine, ...]

    def __post_init__(self) -> None:
        keys = [(line.order_reference, line.unit_ref) for line in self.lines]
        ascending = all(one < other for one, other in pairwise(keys))
        _expect(ascending, "lines must be sorted by order_reference and unit_ref, each pair once")
        for line in self.lines:
            inside = (
                self.header.period_from_at <= line.periods[0].starts_at
                and line.periods[-1].ends_at <= self.header.period_to_at
            )
            _expect(inside, f"line {line.order_reference} {line.unit_ref} leaves the statement's period")

    @property
    def totals(self) -> StatementTotals:
        return StatementTotals(
            n_row=sum(1 + len(line.periods) for line in self.lines),
            delivered_kwh=sum((line.delivered_kwh for line in self.lines), Decimal(0)),
            net_gbp=sum((line.net_settlement_gbp for line in self.lines), Decimal(0)),
        )


def statement_of(header: StatementHeader, lines: Sequence[StatementLine]) -> Statement:
    """Sort the lines into a statement."""
    return Statement(header, tuple(sorted(lines, key=lambda line: (line.order_reference, line.unit_ref))))


def power_kw(energy_kwh: Decimal) -> Decimal:
    """Mean power of a settlement period's energy."""
    return energy_kwh * _PERIODS_PER_HOUR


def energy_kwh(mean_power_kw: Decimal) -> Decimal:
    """Energy of a settlement period's mean power."""
    return mean_power_kw / _PERIODS_PER_HOUR


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidStatement(message)


def _expect_times(*times: datetime) -> None:
    for at in times:
        is_utc = at.tzinfo is not None and at.utcoffset() == timedelta(0) and at.microsecond == 0
        _expect(is_utc and 1970 <= at.year < 2200, f"times are aware UTC on the second, found {at.isoformat()}")


def _expect_decimals(value: Decimal, n_decimals: int, what: str) -> None:
    """Refuse what the file could not show exactly: it rounds nothing."""
    is_exact = value.is_finite() and abs(value) < Decimal(10) ** 15 and value == round(value, n_decimals)
    _expect(is_exact, f"{what} has at most {n_decimals} decimals, found {value}")


def _expect_texts(*texts: str) -> None:
    for text in texts:
        clean = len(text) <= LONGEST_TEXT and not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
        _expect(clean, f"a text has at most {LONGEST_TEXT} characters, no NUL and no lone surrogate: {text[:40]!a}")
