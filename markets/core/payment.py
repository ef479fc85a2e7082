"""What delivered volume is worth: exact fractions, rounded once per line to the penny."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from aggregator.core.errors import FlexError
from markets.core.delivered import MissingPolicy

PENNY = Decimal("0.01")
Step = Literal["continuous", "whole-percent-floored"]
Cap = Literal["interval", "event"]
PaysOn = Literal["instructed", "delivered"]
Scale = tuple[tuple[Decimal, Decimal], ...]


class InvalidPerformanceRule(FlexError):
    code = "payment.invalid_rule"


class InvalidPayment(FlexError):
    code = "payment.invalid"


@dataclass(frozen=True, slots=True)
class PerformanceRule:
    """How under-delivery cuts the payment, as data; the defaults are Flexible Power's published 2018 rule.

    Attributes:
        grace: share of under-delivery that costs nothing.
        slope: payment lost per unit of under-delivery beyond the grace.
        cutoff: below this delivered share nothing is paid; None is no cut-off.
        step: whether the delivered share is floored to whole percents first.
        missing: a missing read delivers 0 (*strict*) or leaves both sums (*exclude*).
        min_present_share: share of half-hours that must be read before any may be excluded.
        cap: delivery is capped at what was instructed per half-hour (*interval*) or in sum (*event*).
        pays_on: the factor scales the energy instructed or the energy delivered.
        scale: (delivered share, factor) points, both ascending, in place of grace and slope: straight between two
            points, nothing below the first, the last one's factor above it. None is no scale.
        penalty_gbp_per_mwh: taken off for each MWh that was instructed beyond the grace and not delivered; never more
            than the event pays. With a scale there is no grace.
        cap_gbp_per_event: most that an event pays; None is no cap.

    Raises:
        InvalidPerformanceRule: a share outside 0 to 1, a negative slope, penalty or cap, a scale that falls or an
            unknown word.

    Source: docs/methods/settlement.md
    """

    name: str = "flexible-power-2018"
    version: str = "1"
    grace: Decimal = Decimal("0.05")
    slope: Decimal = Decimal(3)
    cutoff: Decimal | None = Decimal("0.63")
    step: Step = "continuous"
    missing: MissingPolicy = "strict"
    min_present_share: Decimal = Decimal(1)
    cap: Cap = "event"
    pays_on: PaysOn = "instructed"
    scale: Scale | None = None
    penalty_gbp_per_mwh: Decimal = Decimal(0)
    cap_gbp_per_event: Decimal | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_words()
        if self.scale is not None and not _is_scale(self.scale):
            raise InvalidPerformanceRule(
                f"{self.name}: scale needs points in 0 to 1, shares rising and factors not falling, found {self.scale}",
                field="scale",
            )

    def _check_numbers(self) -> None:
        for name, share in (("grace", self.grace), ("cutoff", self.cutoff), ("min_present", self.min_present_share)):
            if share is not None and not 0 <= share <= 1:
                raise InvalidPerformanceRule(f"{self.name}: {name} must lie in 0 to 1, found {share}", field=name)
        if not (self.slope.is_finite() and self.slope >= 0):
            raise InvalidPerformanceRule(
                f"{self.name}: slope must be finite and not negative, found {self.slope}", field="slope"
            )
        for name, amount in (
            ("penalty_gbp_per_mwh", self.penalty_gbp_per_mwh),
            ("cap_gbp_per_event", self.cap_gbp_per_event),
        ):
            if amount is not None and not (amount.is_finite() and amount >= 0):
                raise InvalidPerformanceRule(
                    f"{self.name}: {name} must be finite and not negative, found {amount}", field=name
                )

    def _check_words(self) -> None:
        words = (
            (self.step, ("continuous", "whole-percent-floored")),
            (self.missing, ("strict", "exclude")),
            (self.cap, ("interval", "event")),
            (self.pays_on, ("instructed", "delivered")),
        )
        for word, known in words:
            if word not in known:
                raise InvalidPerformanceRule(f"{self.name}: expected one of {', '.join(known)}, found {word}")


@dataclass(frozen=True, slots=True)
class EventValue:
    """What an event is worth before rounding; exact.

    Attributes:
        performance_factor: in 0 to 1; 0 where nothing was instructed.
        full_gbp: of full delivery, uncapped.
        utilisation_gbp: earned, at most the cap.
        penalty_gbp: taken off, at most ``utilisation_gbp``.
    """

    performance_factor: Fraction
    full_gbp: Fraction
    utilisation_gbp: Fraction
    penalty_gbp: Fraction


@dataclass(frozen=True, slots=True)
class EventPayment:
    """What an event pays, in pence: utilisation less penalty, never below 0."""

    performance_factor: Fraction
    full_value_gbp: Decimal
    utilisation_gbp: Decimal
    penalty_gbp: Decimal

    @property
    def payment_gbp(self) -> Decimal:
        return self.utilisation_gbp - self.penalty_gbp


def round_gbp(amount: Fraction) -> Decimal:
    """Round an exact amount to the penny, halves away from zero."""
    pence = int(abs(amount) * 100 + Fraction(1, 2))
    return Decimal(pence if amount >= 0 else -pence) * PENNY


def performance_factor(d: Fraction | Decimal, rule: PerformanceRule) -> Fraction:
    """Share of the payment earned by the delivered share ``d``, exactly, in 0 to 1.

    Source: docs/methods/settlement.md
    """
    share = min(max(Fraction(d), Fraction(0)), Fraction(1))
    if rule.step == "whole-percent-floored":
        share = Fraction(int(share * 100), 100)
    if rule.cutoff is not None and share < Fraction(rule.cutoff):
        return Fraction(0)
    if rule.scale is not None:
        return _on_scale(share, rule.scale)
    beyond_grace = max(1 - Fraction(rule.grace) - share, Fraction(0))
    return max(1 - Fraction(rule.slope) * beyond_grace, Fraction(0))


def utilisation_payment_gbp(
    *, payable_kwh: Decimal, price_gbp_per_mwh: Decimal, factor: Fraction | Decimal = Fraction(1)
) -> Decimal:
    """Price energy at the performance factor; a line of zero or negative energy pays 0.00.

    Raises:
        InvalidPayment: a price that is negative or not a number, or a factor outside 0 to 1.

    Source: docs/methods/settlement.md
    """
    return round_gbp(_value_gbp(payable_kwh, price_gbp_per_mwh, Fraction(factor)))


def steepest_slope(rule: PerformanceRule) -> Fraction:
    """Most of its full value that a payment loses per share under-delivered, jumps at a cut-off or step left out."""
    if rule.scale is None:
        slope = Fraction(rule.slope)
    else:
        slopes = (Fraction(other[1] - one[1]) / Fraction(other[0] - one[0]) for one, other in pairwise(rule.scale))
        slope = max(slopes, default=Fraction(0))
    return slope if rule.pays_on == "instructed" else slope + 1


def event_value(
    *,
    ordered_kwh: Decimal,
    delivered_kwh: Decimal,
    price_gbp_per_mwh: Decimal,
    rule: PerformanceRule,
    factor: Fraction | None = None,
) -> EventValue:
    """Say exactly what an event is worth.

    Args:
        ordered_kwh: energy instructed in the half-hours that count.
        delivered_kwh: energy delivered in them; more than was instructed pays no more, and it may be negative.
        factor: a month's performance factor, where the month's performance counts; None is the event's own.

    Raises:
        InvalidPayment: energy instructed below 0, a price that is negative or not a number, a factor outside 0 to 1.

    Source: docs/methods/settlement.md
    """
    if ordered_kwh < 0:
        raise InvalidPayment(f"energy instructed is 0 or more, found {ordered_kwh} kWh")
    delivered_kwh = min(delivered_kwh, ordered_kwh)
    own = performance_factor(Fraction(delivered_kwh) / Fraction(ordered_kwh), rule) if ordered_kwh else Fraction(0)
    used = own if factor is None else factor
    payable_kwh = ordered_kwh if rule.pays_on == "instructed" else delivered_kwh
    earned = _value_gbp(payable_kwh, price_gbp_per_mwh, used)
    capped = earned if rule.cap_gbp_per_event is None else min(earned, Fraction(rule.cap_gbp_per_event))
    return EventValue(
        performance_factor=used,
        full_gbp=_value_gbp(ordered_kwh, price_gbp_per_mwh, Fraction(1)),
        utilisation_gbp=capped,
        penalty_gbp=min(_penalty_gbp(ordered_kwh, delivered_kwh, rule), capped),
    )


def event_payment(
    *,
    ordered_kwh: Decimal,
    delivered_kwh: Decimal,
    price_gbp_per_mwh: Decimal,
    rule: PerformanceRule,
    factor: Fraction | None = None,
) -> EventPayment:
    """What an event pays as a line of its own: ``event_value``, each amount rounded to the penny.

    Raises:
        InvalidPayment: as for ``event_value``.

    Source: docs/methods/settlement.md
    """
    value = event_value(
        ordered_kwh=ordered_kwh,
        delivered_kwh=delivered_kwh,
        price_gbp_per_mwh=price_gbp_per_mwh,
        rule=rule,
        factor=factor,
    )
    return EventPayment(
        performance_factor=value.performance_factor,
        full_value_gbp=round_gbp(value.full_gbp),
        utilisation_gbp=round_gbp(value.utilisation_gbp),
        penalty_gbp=round_gbp(value.penalty_gbp),
    )


def _value_gbp(payable_kwh: Decimal, price_gbp_per_mwh: Decimal, factor: Fraction) -> Fraction:
    if not (price_gbp_per_mwh.is_finite() and price_gbp_per_mwh >= 0):
        raise InvalidPayment(f"a utilisation price must be finite and not negative, found {price_gbp_per_mwh} GBP/MWh")
    if not 0 <= factor <= 1:
        raise InvalidPayment(f"a performance factor lies in 0 to 1, found {factor}")
    return max(Fraction(payable_kwh), Fraction(0)) / 1000 * Fraction(price_gbp_per_mwh) * factor


def _penalty_gbp(ordered_kwh: Decimal, delivered_kwh: Decimal, rule: PerformanceRule) -> Fraction:
    free = Fraction(rule.grace) if rule.scale is None else Fraction(0)
    missed_kwh = (1 - free) * Fraction(ordered_kwh) - max(Fraction(delivered_kwh), Fraction(0))
    return max(missed_kwh, Fraction(0)) / 1000 * Fraction(rule.penalty_gbp_per_mwh)


def _is_scale(scale: Scale) -> bool:
    in_range = all(0 <= share <= 1 and 0 <= factor <= 1 for share, factor in scale)
    rises = all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(scale))
    return bool(scale) and in_range and rises


def _on_scale(share: Fraction, scale: Scale) -> Fraction:
    if share < Fraction(scale[0][0]):
        return Fraction(0)
    for (low, low_factor), (high, high_factor) in pairwise(scale):
        if share <= Fraction(high):
            along = (share - Fraction(low)) / (Fraction(high) - Fraction(low))
            return Fraction(low_factor) + along * (Fraction(high_factor) - Fraction(low_factor))
    return Fraction(scale[-1][1])
