"""Offers and orders in numbers: what may be offered, what an activation buys, what a dispatch asks of a zone.

Source: docs/methods/trading.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray
from markets.core.delivered import Direction

LEAST_FACTOR, WHOLE = Decimal("0.01"), Decimal("1.00")
PENNY = Decimal("0.01")
HIGHEST_PRICE_GBP = Decimal("9999999999.99")
HIGHEST_PRICE_GBP_PER_MWH = Decimal("99999999.99")
MOST_OPTIONS = 20
TOLERANCE_KW = 1e-6
KWH_PER_MWH = 1000


class OfferRefused(FlexError):
    code = "trading.offer_refused"


class ActivationRefused(FlexError):
    code = "trading.activation_refused"


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """One way to take an offer.

    Attributes:
        power_kw: (n_period,) in the market's direction, 0 or more.
        price_gbp: for the whole option.
        min_activation_factor: the smallest share of it that may be ordered.
    """

    reference: str
    power_kw: FloatArray
    price_gbp: Decimal
    min_activation_factor: Decimal


@dataclass(frozen=True, slots=True)
class Activated:
    """What is ordered of an option.

    Attributes:
        power_kw: (n_period,).
        price_gbp: to the hundredth of a penny, as a share of pence is.
        price_gbp_per_mwh: the same for each MWh, to the penny.
    """

    power_kw: FloatArray
    price_gbp: Decimal
    price_gbp_per_mwh: Decimal


def check_options(options: Sequence[OptionTerms], *, requested_kw: FloatArray, min_kw: float) -> None:
    """Refuse options that a request does not ask for.

    Args:
        requested_kw: (n_period,) power asked for.
        min_kw: the least that is offered in a period, unless nothing is.

    Raises:
        OfferRefused: no option, too many or two of one name; a power that is not finite, negative, above what is
            requested, below the market's least or nowhere above 0; a price or a factor that is none.
    """
    names = [option.reference for option in options]
    if not 1 <= len(names) <= MOST_OPTIONS or len(set(names)) < len(names):
        raise OfferRefused(
            f"an offer has 1 to {MOST_OPTIONS} options, each with a reference of its own, found {names}",
            field="options",
        )
    for option in options:
        _check_power(option, requested_kw, min_kw)
        _check_price(option)


def _check_power(option: OptionTerms, requested_kw: FloatArray, min_kw: float) -> None:
    power_kw = option.power_kw
    if power_kw.shape != requested_kw.shape:
        raise OfferRefused(
            f"option {option.reference} states {power_kw.size} powers, expected {requested_kw.size}: one a half-hour",
            field="power_kw",
            id=option.reference,
        )
    is_wrong = ~np.isfinite(power_kw) | (power_kw < 0) | ((power_kw > 0) & (power_kw < min_kw))
    expected = f"0, or {min_kw:g} kW or more, which is the market's least"
    if not is_wrong.any():
        is_wrong = power_kw > requested_kw + TOLERANCE_KW
        expected = "no more than is requested"
    if is_wrong.any() or not power_kw.any():
        period = int(np.argmax(is_wrong))
        raise OfferRefused(
            f"option {option.reference} offers {power_kw[period]:g} kW in half-hour {period + 1} of "
            f"{power_kw.size}, where {requested_kw[period]:g} kW are requested; expected {expected}"
            f"{'' if power_kw.any() else ', and something in at least one'}",
            field="power_kw",
            id=option.reference,
            value=str(power_kw[period]),
        )


def _check_price(option: OptionTerms) -> None:
    price, factor = option.price_gbp, option.min_activation_factor
    is_price = price.is_finite() and 0 <= price <= HIGHEST_PRICE_GBP
    if not is_price or price != price.quantize(PENNY):
        raise OfferRefused(
            f"option {option.reference}: {price} is no price in whole pence of 0 to {HIGHEST_PRICE_GBP} GBP",
            field="price_gbp",
            id=option.reference,
            value=str(price),
        )
    if not _is_factor(factor):
        raise OfferRefused(
            f"option {option.reference}: the least activation factor is {factor}, expected 0.01 to 1.00 in hundredths",
            field="min_activation_factor",
            id=option.reference,
            value=str(factor),
        )


def _is_factor(factor: Decimal) -> bool:
    return factor.is_finite() and LEAST_FACTOR <= factor <= WHOLE and factor == factor.quantize(LEAST_FACTOR)


def refuse_undeliverable(
    offered_kw: FloatArray, committed_kw: FloatArray, *, firm_kw: FloatArray | float, node: str
) -> None:
    """Refuse an offer that could not be delivered together with what its DSRSP has offered and sold already.

    Args:
        offered_kw: (n_period,) the largest of the new offer's options, period by period: one at most is ordered.
        committed_kw: (n_period,) the same of each live offer, added up, and the orders to come.
        firm_kw: what the DSRSP can move at the node, in each period or throughout; infinite where it is not known.

    Raises:
        OfferRefused: some period is promised beyond it.
    """
    spare_kw = np.broadcast_to(np.asarray(firm_kw, dtype=np.float64), offered_kw.shape) - committed_kw - offered_kw
    worst = int(np.argmin(spare_kw))
    if spare_kw[worst] < -TOLERANCE_KW:
        firm = float(spare_kw[worst] + committed_kw[worst] + offered_kw[worst])
        raise OfferRefused(
            f"half-hour {worst + 1} would be promised {offered_kw[worst]:g} kW beside {committed_kw[worst]:g} kW in "
            f"live offers and orders at and below {node}, where {firm:g} kW are registered: offers must be deliverable "
            "together",
            field="power_kw",
            id=node,
            value=float(offered_kw[worst]),
        )


def activate(option: OptionTerms, factor: Decimal, *, step_h: float) -> Activated:
    """What ordering a share of an option buys.

    Raises:
        ActivationRefused: a factor below the option's smallest, above 1, or not in hundredths.
    """
    if not _is_factor(factor) or factor < option.min_activation_factor:
        raise ActivationRefused(
            f"option {option.reference} is taken by a factor of {option.min_activation_factor} to 1.00 in hundredths, "
            f"found {factor}",
            field="activation_factor",
            id=option.reference,
            value=str(factor),
        )
    power_kw = np.round(option.power_kw * float(factor), 6)
    price_gbp = option.price_gbp * factor
    return Activated(power_kw, price_gbp, price_of_mwh(price_gbp, power_kw, step_h=step_h))


def price_of_mwh(price_gbp: Decimal, power_kw: FloatArray, *, step_h: float) -> Decimal:
    """GBP for each MWh, to the penny, half up; the price a whole order comes to may differ by that rounding.

    Raises:
        ActivationRefused: more than a price can be stored as.
    """
    energy_kwh = Decimal(repr(float(power_kw.sum()) * step_h))
    price = (price_gbp * KWH_PER_MWH / energy_kwh).quantize(PENNY, ROUND_HALF_UP)
    if price > HIGHEST_PRICE_GBP_PER_MWH:
        raise ActivationRefused(
            f"{price_gbp} GBP for {energy_kwh} kWh are {price} GBP/MWh, above {HIGHEST_PRICE_GBP_PER_MWH}",
            field="price_gbp",
            value=str(price_gbp),
        )
    return price


def target_of_orders(expected_kw: FloatArray, ordered_kw: FloatArray, *, direction: Direction) -> float:
    """EV power to ask of a zone so that every period moves by what is ordered in it; NaN where nothing is known.

    One request has one target: the period that needs the lowest (turn-up: the highest) sets it.

    Args:
        expected_kw: (n_unit, n_period) power expected without it, NaN where a unit's is not known.
        ordered_kw: (n_period,) ordered in all.
    """
    total_kw = expected_kw.sum(axis=0)
    asked = ordered_kw > 0
    if direction == "turn_down":
        return float(np.maximum(total_kw - ordered_kw, 0.0)[asked].min(initial=np.inf))
    return float((total_kw + ordered_kw)[asked].max(initial=0.0))
