"""What delivered volume and availability are worth: exact fractions, rounded once per line to the penny."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

from aggregator.core.errors import FlexError
from markets.core.delivered import MissingPolicy

PENNY = Decimal("0.01")
Step = Literal["continuous", "whole-percent-floored"]
Cap = Literal["interval", "event"]
PaysOn = Literal["instructed", "delivered"]


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

    Raises:
        InvalidPerformanceRule: a share outside 0 to 1, a negative slope or an unknown word.

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

    def __post_init__(self) -> None:
        for name, share in (("grace", self.grace), ("cutoff", self.cutoff), ("min_present", self.min_present_share)):
            if share is not None and not 0 <= share <= 1:
                raise InvalidPerformanceRule(f"{self.name}: {name} must lie in 0 to 1, found {share}", field=name)
        if not (self.slope.is_finite() and self.slope >= 0):
            raise InvalidPerformanceRule(f"{self.name}: slope must be finite and not negative, found {self.slope}")
        words = (
            (self.step, ("continuous", "whole-percent-floored")),
            (self.missing, ("strict", "exclude")),
            (self.cap, ("interval", "event")),
            (self.pays_on, ("instructed", "delivered")),
        )
        for word, known in words:
            if word not in known:
                raise InvalidPerformanceRule(f"{self.name}: expected one of {', '.join(known)}, found {word}")


class Interval(NamedTuple):
    """Half-open ``[starts_at, ends_at)``, aware."""

    starts_at: datetime
    ends_at: datetime


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
    if not (price_gbp_per_mwh.is_finite() and price_gbp_per_mwh >= 0):
        raise InvalidPayment(f"a utilisation price must be finite and not negative, found {price_gbp_per_mwh} GBP/MWh")
    if not 0 <= factor <= 1:
        raise InvalidPayment(f"a performance factor lies in 0 to 1, found {factor}")
    energy_mwh = max(Fraction(payable_kwh), Fraction(0)) / 1000
    return round_gbp(energy_mwh * Fraction(price_gbp_per_mwh) * Fraction(factor))


def availability_payment_gbp(
    *,
    accepted_mw: Decimal,
    windows: Sequence[Interval],
    price_gbp_per_mw_h: Decimal,
    availability_factor: Fraction | Decimal = Fraction(1),
    unavailable: Sequence[Interval] = (),
) -> Decimal:
    """Price accepted power over the hours it was available, hours being elapsed UTC.

    Args:
        windows: accepted windows; where two overlap, the time counts once.
        availability_factor: the month's factor by contract, 0 to 1.
        unavailable: outages; only what falls inside a window is taken off, once.

    Raises:
        InvalidPayment: negative power or price, a factor outside 0 to 1, a naive or reversed interval.

    Source: docs/methods/settlement.md
    """
    if accepted_mw < 0 or price_gbp_per_mw_h < 0 or not 0 <= availability_factor <= 1:
        raise InvalidPayment(
            f"availability needs power and price not negative and a factor in 0 to 1, found {accepted_mw} MW, "
            f"{price_gbp_per_mw_h} GBP/MW/h, {availability_factor}"
        )
    offered, out = _merged(windows), _merged(unavailable)
    lost = sum((_overlap(window, outage) for window in offered for outage in out), timedelta(0))
    available = sum((window.ends_at - window.starts_at for window in offered), timedelta(0)) - lost
    hours = Fraction(available // timedelta(microseconds=1), 3_600_000_000)
    return round_gbp(Fraction(accepted_mw) * hours * Fraction(price_gbp_per_mw_h) * Fraction(availability_factor))


def _merged(intervals: Sequence[Interval]) -> list[Interval]:
    """Disjoint union in UTC: two aware times of one zone would subtract by the clock on the wall."""
    merged: list[Interval] = []
    for starts_at, ends_at in sorted(_in_utc(interval) for interval in intervals):
        if merged and starts_at <= merged[-1].ends_at:
            merged[-1] = Interval(merged[-1].starts_at, max(merged[-1].ends_at, ends_at))
        else:
            merged.append(Interval(starts_at, ends_at))
    return merged


def _in_utc(interval: Interval) -> Interval:
    if interval.starts_at.tzinfo is None or interval.ends_at.tzinfo is None:
        raise InvalidPayment(f"aware times are needed, found {interval.starts_at} to {interval.ends_at}")
    in_utc = Interval(interval.starts_at.astimezone(UTC), interval.ends_at.astimezone(UTC))
    if in_utc.ends_at <= in_utc.starts_at:
        raise InvalidPayment(f"an interval ends after it starts, found {in_utc.starts_at} to {in_utc.ends_at}")
    return in_utc


def _overlap(one: Interval, other: Interval) -> timedelta:
    shared = min(one.ends_at, other.ends_at) - max(one.starts_at, other.starts_at)
    return max(shared, timedelta(0))
