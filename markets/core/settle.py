"""Settle one event: history to baseline, baseline to delivered volume, volume to money."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray
from markets.core.baseline import BaselineHistory, BaselineRule, EventBaseline
from markets.core.baseline_methods import BaselineFacts, Rule, baseline_kwh
from markets.core.delivered import CountedPeriods, Counting, Direction, UnitVolume, counted_periods, unit_volume
from markets.core.energy import from_quanta, kwh_of_quanta, to_quanta
from markets.core.gaming_findings import gaming_findings
from markets.core.method_findings import method_findings
from markets.core.payment import PerformanceRule, event_payment
from markets.core.settle_findings import baseline_findings, volume_findings


class InvalidSettlementInputs(FlexError):
    code = "settle.invalid_inputs"


@dataclass(frozen=True, slots=True)
class Displaced:
    """Delivered energy that another product is paid for; arrays (n_unit, n_period) in kWh, 0 or more.

    Attributes:
        void_kwh: taken from what was ordered, too: nothing is due for it and nothing was missed.
        penalised_kwh: the order stands, so it counts as not delivered.
    """

    void_kwh: FloatArray
    penalised_kwh: FloatArray


@dataclass(frozen=True, slots=True)
class SettlementInputs:
    """Everything one event's settlement reads.

    At portfolio level each row of ``history`` and ``metered_kwh`` is a unit, in the order of ``unit_ids``;
    at asset level rows are assets and ``row_units`` names each one's unit.

    Attributes:
        unit_ids: (n_unit,) settled units (a DSRSP's portfolio in the zone), unique.
        direction: what was asked.
        instructed_kw: (n_unit, n_period) mean power asked per half-hour, in that direction, 0 or more.
        price_gbp_per_mwh: (n_unit,) utilisation price of each unit.
        history: candidate days and adjustment window per row; its grid is the event.
        metered_kwh: (n_row, n_period) energy metered in the event, import positive; NaN is a missing read.
        row_units: (n_row,) unit of each row; None at portfolio level.
        method: how the baseline is made where it does not come from past days; ``baseline_rule`` then only says what
            was read (``baseline_methods.history_rule``).
        facts: what such a method needs.
        counting: how a row that went the wrong way counts.
        displaced: what the ledger does not let this event be paid for; None where it is all payable.

    Raises:
        InvalidSettlementInputs: shapes or ids that do not fit, infinite readings, negative instructions.
    """

    unit_ids: tuple[str, ...]
    direction: Direction
    instructed_kw: FloatArray
    price_gbp_per_mwh: tuple[Decimal, ...]
    history: BaselineHistory
    metered_kwh: FloatArray
    baseline_rule: BaselineRule
    performance_rule: PerformanceRule
    row_units: tuple[str, ...] | None = None
    method: Rule | None = None
    facts: BaselineFacts = field(default_factory=BaselineFacts)
    counting: Counting = "net"
    displaced: Displaced | None = None

    def __post_init__(self) -> None:
        n_unit, n_row, n_period = len(self.unit_ids), len(self.history.row_ids), self.history.grid.n_period
        _expect(len(set(self.unit_ids)) == n_unit, "unit_ids must be unique")
        _expect(self.direction in ("turn_down", "turn_up"), f"direction is turn_down or turn_up, not {self.direction}")
        _expect(
            self.instructed_kw.shape == (n_unit, n_period),
            f"instructed_kw must have shape {(n_unit, n_period)}, found {self.instructed_kw.shape}",
        )
        _expect(
            bool((np.isfinite(self.instructed_kw) & (self.instructed_kw >= 0)).all()),
            "instructed_kw must be finite and not negative",
        )
        _expect(len(self.price_gbp_per_mwh) == n_unit, f"{n_unit} units need as many prices")
        _expect(
            self.metered_kwh.shape == (n_row, n_period),
            f"metered_kwh must have shape {(n_row, n_period)}, found {self.metered_kwh.shape}",
        )
        _expect(not np.isinf(self.metered_kwh).any(), "metered_kwh holds infinite energy")
        if self.displaced is not None:
            for energy_kwh in (self.displaced.void_kwh, self.displaced.penalised_kwh):
                _expect(
                    energy_kwh.shape == (n_unit, n_period) and bool((energy_kwh >= 0).all()),
                    f"displaced energy must have shape {(n_unit, n_period)} and not be negative",
                )
        if self.baseline_rule.level == "portfolio":
            _expect(self.row_units is None, "rows are units at portfolio level: row_units must be None")
            _expect(self.history.row_ids == self.unit_ids, "at portfolio level row_ids must be the unit_ids, in order")
        else:
            row_units = self.row_units or ()
            _expect(len(row_units) == n_row, f"at asset level {n_row} rows need as many row_units")
            _expect(set(row_units) == set(self.unit_ids), "at asset level each unit needs rows, and each row a unit")


@dataclass(frozen=True, slots=True)
class UnitSettlement:
    """One settled line; energies have four decimals and money two.

    Attributes:
        ordered_kwh: energy instructed over the whole event.
        delivered_kwh: net energy delivered over the whole event, uncapped, missing reads as 0.
        counted_ordered_kwh: energy instructed in the half-hours that count.
        counted_delivered_kwh: energy delivered in them, capped by the rule; may be negative.
        delivered_share: ``counted_delivered_kwh / counted_ordered_kwh``; None when the line is void.
        performance_factor: exact, 0 for a void line.
        full_value_gbp: what full delivery of the counted energy would have earned.
        penalty_gbp: taken off what the delivery earned; in ``payment_gbp`` already.
        payment_gbp: what is paid, never more than ``full_value_gbp`` and never below 0.
        n_days: fewest eligible days found for any half-hour of the event.
        is_void: nothing was instructed in the half-hours that count.
    """

    unit_id: str
    ordered_kwh: Decimal
    delivered_kwh: Decimal
    counted_ordered_kwh: Decimal
    counted_delivered_kwh: Decimal
    delivered_share: Fraction | None
    performance_factor: Fraction
    price_gbp_per_mwh: Decimal
    full_value_gbp: Decimal
    penalty_gbp: Decimal
    payment_gbp: Decimal
    n_days: int
    is_void: bool


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What one event was worth, per unit, with the arrays that explain it.

    Attributes:
        units: (n_unit,) settled lines in the order asked.
        ordered_kwh: (n_unit, n_period) energy instructed.
        volume: baseline, metered and delivered energy (n_unit, n_period) with reasons.
        counted: which half-hours count.
        baseline: per row, with adjustment and days found.
        findings: oddities, unit by unit.
    """

    grid: TimeGrid
    direction: Direction
    baseline_rule: BaselineRule
    performance_rule: PerformanceRule
    units: tuple[UnitSettlement, ...]
    ordered_kwh: FloatArray
    volume: UnitVolume
    counted: CountedPeriods
    baseline: EventBaseline
    findings: tuple[FindingNote, ...]

    @property
    def payment_gbp(self) -> Decimal:
        """Total of the lines; there is no other rounding."""
        return sum((unit.payment_gbp for unit in self.units), Decimal("0.00"))


def settle(inputs: SettlementInputs) -> SettlementResult:
    """Settle one event for all its units.

    The same readings give the same pennies in any order of units, rows or assets: see ``markets.core.energy``.

    Source: docs/methods/settlement.md
    """
    rule = inputs.performance_rule
    baseline = baseline_kwh(inputs.method or inputs.baseline_rule, inputs.history, inputs.facts)
    volume = unit_volume(
        baseline.baseline_kwh,
        inputs.metered_kwh,
        inputs.direction,
        row_units=inputs.row_units or inputs.unit_ids,
        unit_ids=inputs.unit_ids,
        counting=inputs.counting,
    )
    counted = counted_periods(volume.n_missing > 0, rule.missing, min_present_share=rule.min_present_share)
    ordered = to_quanta(inputs.instructed_kw * inputs.history.grid.step_h)
    units = _settled_units(inputs, ordered, baseline, volume, counted)
    findings = [
        *_baseline_findings(inputs, baseline),
        *_gaming_findings(inputs),
        *volume_findings(inputs.unit_ids, inputs.direction, from_quanta(ordered), volume, counted),
    ]
    return SettlementResult(
        grid=inputs.history.grid,
        direction=inputs.direction,
        baseline_rule=inputs.baseline_rule,
        performance_rule=rule,
        units=units,
        ordered_kwh=from_quanta(ordered),
        volume=volume,
        counted=counted,
        baseline=baseline,
        findings=tuple(sorted(findings, key=lambda finding: (finding.subject, finding.code))),
    )


def claimed_kwh(result: SettlementResult) -> FloatArray:
    """(n_unit, n_period) energy the result pays for, if the ledger lets it.

    Half-hours that do not count are not paid, so nothing is claimed in them.
    """
    delivered, ordered = to_quanta(result.volume.delivered_kwh), to_quanta(result.ordered_kwh)
    return from_quanta(_payable(delivered, ordered, result.counted.counts, result.performance_rule))


def _payable(delivered: FloatArray, ordered: FloatArray, counts: BoolArray, rule: PerformanceRule) -> FloatArray:
    """(n_unit, n_period) quanta of what was delivered that the rule's cap lets count.

    Capped in each half-hour it is what was delivered up to what was ordered. Capped over the event, more than was
    ordered in one half-hour makes up for less in others, the earliest first.
    """
    order = np.where(counts, ordered, 0.0)
    done = np.where(counts, delivered, 0.0)
    within = np.clip(done, 0.0, order)
    if rule.cap == "interval":
        return within
    more, wrong_way = np.maximum(done - order, 0.0), np.minimum(done, 0.0)
    missing = (order - within - wrong_way).sum(axis=1, keepdims=True)
    before = np.cumsum(more, axis=1) - more
    payable: FloatArray = within + np.clip(missing - before, 0.0, more)
    return payable


def _baseline_findings(inputs: SettlementInputs, baseline: EventBaseline) -> Iterator[FindingNote]:
    method = inputs.method or inputs.baseline_rule
    if isinstance(method, BaselineRule):
        return baseline_findings(inputs.history, method, baseline)
    return method_findings(method, inputs.history, inputs.facts, baseline)


def _gaming_findings(inputs: SettlementInputs) -> Iterator[FindingNote]:
    method = inputs.method or inputs.baseline_rule
    return gaming_findings(inputs.history, method, inputs.direction) if isinstance(method, BaselineRule) else iter(())


def _settled_units(
    inputs: SettlementInputs,
    ordered: FloatArray,
    baseline: EventBaseline,
    volume: UnitVolume,
    counted: CountedPeriods,
) -> tuple[UnitSettlement, ...]:
    delivered = to_quanta(volume.delivered_kwh)
    row_units = np.array(inputs.row_units or inputs.unit_ids)
    fewest_days = baseline.n_days.min(axis=1)
    nothing = np.zeros_like(ordered)
    void = to_quanta(inputs.displaced.void_kwh) if inputs.displaced else nothing
    penalised = to_quanta(inputs.displaced.penalised_kwh) if inputs.displaced else nothing
    payable = _payable(delivered, ordered, counted.counts, inputs.performance_rule)
    # A loop over units: money is Decimal, and an event settles a handful of portfolios.
    return tuple(
        _settled_unit(
            unit_id,
            ordered[index],
            delivered[index],
            counted.counts[index],
            inputs.price_gbp_per_mwh[index],
            inputs.performance_rule,
            payable=payable[index],
            void=void[index],
            penalised=penalised[index],
            n_days=int(fewest_days[row_units == unit_id].min()),
        )
        for index, unit_id in enumerate(inputs.unit_ids)
    )


def _settled_unit(
    unit_id: str,
    ordered: FloatArray,
    delivered: FloatArray,
    counts: BoolArray,
    price_gbp_per_mwh: Decimal,
    rule: PerformanceRule,
    *,
    payable: FloatArray,
    void: FloatArray,
    penalised: FloatArray,
    n_days: int,
) -> UnitSettlement:
    """Settle one unit from (n_period,) whole quanta ordered, delivered, payable and displaced.

    What is displaced comes off what is payable: energy beyond that was not claimed, so it can't stand in.
    """
    due, done = ordered - void, np.minimum(delivered, payable) - void - penalised
    counted_ordered = int(due[counts].sum())
    counted_delivered = min(int(done[counts].sum()), counted_ordered)
    share = Fraction(counted_delivered, counted_ordered) if counted_ordered else None
    paid = event_payment(
        ordered_kwh=kwh_of_quanta(counted_ordered),
        delivered_kwh=kwh_of_quanta(counted_delivered),
        price_gbp_per_mwh=price_gbp_per_mwh,
        rule=rule,
    )
    return UnitSettlement(
        unit_id=unit_id,
        ordered_kwh=kwh_of_quanta(int(ordered.sum())),
        delivered_kwh=kwh_of_quanta(int(delivered.sum())),
        counted_ordered_kwh=kwh_of_quanta(counted_ordered),
        counted_delivered_kwh=kwh_of_quanta(counted_delivered),
        delivered_share=share,
        performance_factor=paid.performance_factor,
        price_gbp_per_mwh=price_gbp_per_mwh,
        full_value_gbp=paid.full_value_gbp,
        penalty_gbp=paid.penalty_gbp,
        payment_gbp=paid.payment_gbp,
        n_days=n_days,
        is_void=share is None,
    )


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidSettlementInputs(message)
