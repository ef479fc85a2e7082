"""What a month under a product is worth: its events, its availability and its cap, as lines of an invoice."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from markets.core.payment import EventValue, InvalidPayment, PerformanceRule, event_value, performance_factor, round_gbp
from markets.core.payment_availability import Interval, PartAvailable, PartialPower, available_mw_h

Aggregation = Literal["event", "month"]
AvailabilityFactor = Literal["one", "month", "previous-month"]
WithoutCall = Literal["one", "previous-month"]
Rounding = Literal["event", "month"]
LineKind = Literal["utilisation", "penalty", "availability", "cap"]
NOTHING = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class MonthTerms:
    """What a product says of a month; event by event its ``PerformanceRule`` holds.

    Attributes:
        aggregation: each event is paid at its own performance, or all at the month's.
        availability_gbp_per_mw_h: None is no availability.
        availability_factor: availability is paid whole, at this month's or at the month before's performance.
        without_call: what a month without an event counts as.
        partial_power: less power than accepted is paid in proportion or not at all.
        cap_gbp_per_month: most that a month pays; None is no cap.
        rounding: each event is a line of the invoice, or all are one; a line is rounded once.
    """

    aggregation: Aggregation = "event"
    availability_gbp_per_mw_h: Decimal | None = None
    availability_factor: AvailabilityFactor = "one"
    without_call: WithoutCall = "one"
    partial_power: PartialPower = "pro-rata"
    cap_gbp_per_month: Decimal | None = None
    rounding: Rounding = "event"


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """An event's energies in the half-hours that count; ``delivered_kwh`` as its rule capped it."""

    reference: str
    ordered_kwh: Decimal
    delivered_kwh: Decimal
    price_gbp_per_mwh: Decimal


@dataclass(frozen=True, slots=True)
class HeldReady:
    """Power accepted for windows under one contract, and where it was not there."""

    reference: str
    accepted_mw: Decimal
    windows: Sequence[Interval]
    unavailable: Sequence[Interval] = ()
    partly: Sequence[PartAvailable] = ()


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """One line in pence; penalties and the cap are below 0. ``reference`` is empty for a line of the whole month."""

    kind: LineKind
    reference: str
    amount_gbp: Decimal


@dataclass(frozen=True, slots=True)
class MonthPayment:
    """A month's lines.

    Attributes:
        performance: of the month, 0 to 1; None where nothing was called.
        availability_factor: by which availability was scaled.
    """

    lines: tuple[PaymentLine, ...]
    performance: Fraction | None
    availability_factor: Fraction

    @property
    def total_gbp(self) -> Decimal:
        """Sum of the lines; there is no other rounding."""
        return sum((line.amount_gbp for line in self.lines), NOTHING)


def month_performance(
    events: Sequence[SettledEvent], rule: PerformanceRule, *, aggregation: Aggregation = "event"
) -> Fraction | None:
    """Performance of a month, weighted by the energy instructed; None where nothing was instructed.

    By event it is the mean of the events' factors, by month the factor of their mean delivered share.
    """
    ordered = sum((Fraction(event.ordered_kwh) for event in events), Fraction(0))
    if ordered == 0:
        return None
    if aggregation == "month":
        counted = sum((Fraction(min(event.delivered_kwh, event.ordered_kwh)) for event in events), Fraction(0))
        return performance_factor(counted / ordered, rule)
    earned = sum(
        (Fraction(event.ordered_kwh) * _value(event, rule, None).performance_factor for event in events), ordered * 0
    )
    return earned / ordered


def month_payment(
    *,
    events: Sequence[SettledEvent],
    held_ready: Sequence[HeldReady],
    rule: PerformanceRule,
    terms: MonthTerms,
    previous_performance: Fraction | None = None,
) -> MonthPayment:
    """Add up a month: utilisation, penalties, availability, and the cap as a line of its own.

    Args:
        previous_performance: of the month before; None where there was none, which counts as full.

    Raises:
        InvalidPayment: power held ready under a product that pays none, and what ``event_value`` and
            ``available_mw_h`` refuse.

    Source: docs/methods/settlement.md
    """
    performance = month_performance(events, rule, aggregation=terms.aggregation)
    shared = performance if terms.aggregation == "month" else None
    factor = _availability_factor(terms, performance, previous_performance)
    lines = [
        *_event_lines([(event, _value(event, rule, shared)) for event in events], terms.rounding),
        *(_availability_line(held, terms, factor) for held in held_ready),
    ]
    total_gbp = sum((line.amount_gbp for line in lines), NOTHING)
    if terms.cap_gbp_per_month is not None and total_gbp > terms.cap_gbp_per_month:
        lines.append(PaymentLine("cap", "", terms.cap_gbp_per_month - total_gbp))
    return MonthPayment(tuple(lines), performance, factor)


def _value(event: SettledEvent, rule: PerformanceRule, factor: Fraction | None) -> EventValue:
    return event_value(
        ordered_kwh=event.ordered_kwh,
        delivered_kwh=event.delivered_kwh,
        price_gbp_per_mwh=event.price_gbp_per_mwh,
        rule=rule,
        factor=factor,
    )


def _event_lines(valued: list[tuple[SettledEvent, EventValue]], rounding: Rounding) -> list[PaymentLine]:
    """Utilisation and penalty of each event, or of all together; a line of nothing taken off is left out."""
    if rounding == "event":
        amounts = [(event.reference, value.utilisation_gbp, value.penalty_gbp) for event, value in valued]
    else:
        earned = sum((value.utilisation_gbp for _, value in valued), Fraction(0))
        amounts = [("", earned, sum((value.penalty_gbp for _, value in valued), Fraction(0)))] if valued else []
    lines = []
    for reference, earned_gbp, penalty_gbp in amounts:
        lines.append(PaymentLine("utilisation", reference, round_gbp(earned_gbp)))
        if penalty_gbp > 0:
            lines.append(PaymentLine("penalty", reference, round_gbp(-penalty_gbp)))
    return lines


def _availability_line(held: HeldReady, terms: MonthTerms, factor: Fraction) -> PaymentLine:
    if terms.availability_gbp_per_mw_h is None:
        raise InvalidPayment(f"{held.reference}: power was held ready under a product that pays no availability")
    ready_mw_h = available_mw_h(
        accepted_mw=held.accepted_mw,
        windows=held.windows,
        unavailable=held.unavailable,
        partly=held.partly,
        partial_power=terms.partial_power,
    )
    return PaymentLine(
        "availability", held.reference, round_gbp(ready_mw_h * Fraction(terms.availability_gbp_per_mw_h) * factor)
    )


def _availability_factor(terms: MonthTerms, this: Fraction | None, previous: Fraction | None) -> Fraction:
    full = Fraction(1)
    if terms.availability_factor == "one":
        return full
    if terms.availability_factor == "month" and this is not None:
        return this
    if terms.availability_factor == "month" and terms.without_call == "one":
        return full
    return full if previous is None else previous
