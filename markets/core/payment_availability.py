"""What availability is worth: power held ready over elapsed hours, outages and part power taken off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal, NamedTuple

from markets.core.payment import InvalidPayment, round_gbp

PartialPower = Literal["pro-rata", "nothing"]


class Interval(NamedTuple):
    """Half-open ``[starts_at, ends_at)``, aware."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class PartAvailable:
    """Only ``available_mw`` of the power accepted was there in an interval; 0 is an outage."""

    interval: Interval
    available_mw: Decimal


def availability_payment_gbp(
    *,
    accepted_mw: Decimal,
    windows: Sequence[Interval],
    price_gbp_per_mw_h: Decimal,
    availability_factor: Fraction | Decimal = Fraction(1),
    unavailable: Sequence[Interval] = (),
    partly: Sequence[PartAvailable] = (),
    partial_power: PartialPower = "pro-rata",
) -> Decimal:
    """Price accepted power over the hours it was available, rounded once; arguments as ``available_mw_h``.

    Args:
        availability_factor: the month's factor by contract, 0 to 1.

    Raises:
        InvalidPayment: negative power or price, a factor outside 0 to 1, a naive or reversed interval.

    Source: docs/methods/settlement.md
    """
    if not (price_gbp_per_mw_h.is_finite() and price_gbp_per_mw_h >= 0 and 0 <= availability_factor <= 1):
        raise InvalidPayment(
            "availability needs a price not negative and a factor in 0 to 1, found "
            f"{price_gbp_per_mw_h} GBP/MW/h, {availability_factor}"
        )
    ready_mw_h = available_mw_h(
        accepted_mw=accepted_mw, windows=windows, unavailable=unavailable, partly=partly, partial_power=partial_power
    )
    return round_gbp(ready_mw_h * Fraction(price_gbp_per_mw_h) * Fraction(availability_factor))


def available_mw_h(
    *,
    accepted_mw: Decimal,
    windows: Sequence[Interval],
    unavailable: Sequence[Interval] = (),
    partly: Sequence[PartAvailable] = (),
    partial_power: PartialPower = "pro-rata",
) -> Fraction:
    """Power times the hours it was available, exactly; hours are elapsed UTC, whatever a clock on the wall did.

    Args:
        windows: accepted windows; where two overlap, the time counts once.
        unavailable: outages; only what falls inside a window is taken off, once.
        partly: where less than the power accepted was there; the least of several counts.
        partial_power: such time is paid in proportion or not at all.

    Raises:
        InvalidPayment: power that is negative or not a number, a naive or reversed interval.
    """
    reductions = [PartAvailable(outage, Decimal(0)) for outage in unavailable] + list(partly)
    for power_mw in (accepted_mw, *(part.available_mw for part in reductions)):
        if not (power_mw.is_finite() and power_mw >= 0):
            raise InvalidPayment(f"availability needs power not negative, found {power_mw} MW")
    reduced = [(_in_utc(part.interval), Fraction(part.available_mw)) for part in reductions]
    return sum(
        (_window_mw_h(window, Fraction(accepted_mw), reduced, partial_power) for window in _merged(windows)),
        Fraction(0),
    )


def effective_price_gbp_per_mwh(
    *, utilisation_gbp_per_mwh: Decimal, availability_gbp_per_mw_h: Decimal, dispatched_share: Fraction | Decimal
) -> Fraction:
    """Price of a delivered MWh with the availability that is paid for it: U + A / share.

    Args:
        dispatched_share: dispatched hours over available hours, above 0 and at most 1.

    Raises:
        InvalidPayment: a share outside that, or a negative price.
    """
    if not 0 < dispatched_share <= 1:
        raise InvalidPayment(f"the dispatched share lies above 0 and at most at 1, found {dispatched_share}")
    if utilisation_gbp_per_mwh < 0 or availability_gbp_per_mw_h < 0:
        raise InvalidPayment(
            f"prices are not negative, found {utilisation_gbp_per_mwh} GBP/MWh, {availability_gbp_per_mw_h} GBP/MW/h"
        )
    return Fraction(utilisation_gbp_per_mwh) + Fraction(availability_gbp_per_mw_h) / Fraction(dispatched_share)


def _window_mw_h(
    window: Interval, accepted_mw: Fraction, reduced: list[tuple[Interval, Fraction]], partial_power: PartialPower
) -> Fraction:
    """Cut the window wherever its power changes, and add up the pieces."""
    inside = [(part, power) for part, power in reduced if part.starts_at < window.ends_at and part.ends_at > window[0]]
    edges = {edge for part, _ in inside for edge in part if window.starts_at < edge < window.ends_at}
    total = Fraction(0)
    for starts_at, ends_at in pairwise(sorted({*window, *edges})):
        powers = [power for part, power in inside if part.starts_at <= starts_at < part.ends_at]
        power_mw = min([accepted_mw, *powers])
        if power_mw < accepted_mw and partial_power == "nothing":
            continue
        total += power_mw * Fraction((ends_at - starts_at) // timedelta(microseconds=1), 3_600_000_000)
    return total


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
