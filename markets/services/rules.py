"""A product's parameters as the rules the core computes with."""

from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

from markets.core.baseline import BaselineRule, InvalidBaselineRule
from markets.core.baseline_methods import METHODS, Rule, history_rule, method_rule
from markets.core.delivered import MissingPolicy
from markets.core.payment import Cap, InvalidPerformanceRule, PaysOn, PerformanceRule, Scale, Step
from markets.core.payment_availability import PartialPower
from markets.core.payment_month import Aggregation, AvailabilityFactor, MonthTerms, Rounding, WithoutCall
from markets.models import Product

# Columns of a product that are settings of a rule over past days, by the same names.
HISTORY_TERMS = (
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
)


def baseline_method(product: Product) -> Rule:
    """The product's baseline method with its parameters, at portfolio level.

    A method over past days takes the product's columns; any other what ``baseline_parameters`` states.

    Raises:
        UnknownBaselineMethod: no method has the product's name for it.
        InvalidBaselineRule: a parameter the method has not, or out of its range.
    """
    stated = _parameters(product.baseline_parameters)
    method = METHODS.get(product.baseline_method)
    if method is not None and method.is_historical:
        stated = {**{name: getattr(product, name) for name in HISTORY_TERMS}, **stated}
    try:
        return method_rule(product.baseline_method, version=str(product.version), **stated)
    except TypeError as error:
        raise InvalidBaselineRule(
            f"{product.baseline_method} has no such parameter: {', '.join(stated)}", field="baseline_parameters"
        ) from error


def baseline_rule(product: Product) -> BaselineRule:
    """Which readings the product's baseline needs; for a method over past days this is the method itself."""
    return history_rule(baseline_method(product))


def standard_terms(method: str) -> dict[str, object]:
    """A product's columns as a method over past days has them in its sources; nothing for any other method.

    Raises:
        UnknownBaselineMethod: no method has this name.
    """
    rule = method_rule(method)
    return {name: getattr(rule, name) for name in HISTORY_TERMS} if isinstance(rule, BaselineRule) else {}


def performance_rule(product: Product) -> PerformanceRule:
    """The product's payment rule; shares are taken as the decimals they were written in.

    Raises:
        InvalidPerformanceRule: as for ``PerformanceRule``, or a scale that is no list of pairs of numbers.
    """
    return PerformanceRule(
        name=product.code,
        version=str(product.version),
        grace=_decimal(product.grace),
        slope=_decimal(product.slope),
        cutoff=None if product.cutoff is None else _decimal(product.cutoff),
        step=cast(Step, product.step),
        missing=cast(MissingPolicy, product.missing),
        min_present_share=_decimal(product.min_present_share),
        cap=cast(Cap, product.cap),
        pays_on=cast(PaysOn, product.pays_on),
        scale=_scale(product),
        penalty_gbp_per_mwh=product.penalty_gbp_per_mwh,
        cap_gbp_per_event=product.cap_gbp_per_event,
    )


def month_terms(product: Product) -> MonthTerms:
    """What the product says of a month: its availability, its caps, how lines are rounded."""
    return MonthTerms(
        aggregation=cast(Aggregation, product.aggregation),
        availability_gbp_per_mw_h=product.availability_gbp_per_mw_h,
        availability_factor=cast(AvailabilityFactor, product.availability_factor),
        without_call=cast(WithoutCall, product.availability_without_call),
        partial_power=cast(PartialPower, product.partial_availability),
        cap_gbp_per_month=product.cap_gbp_per_month,
        rounding=cast(Rounding, product.rounding),
    )


def _scale(product: Product) -> Scale | None:
    if product.scale is None:
        return None
    try:
        return tuple((_decimal(share), _decimal(factor)) for share, factor in product.scale)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InvalidPerformanceRule(
            f"{product.code}: scale is a list of pairs [share, factor], found {product.scale!r}", field="scale"
        ) from error


def _powers(value: Any) -> tuple[float, ...]:
    return tuple(float(power) for power in (value if isinstance(value, list) else [value]))


# How JSON is read where a rule wants another type.
_READ: Mapping[str, Callable[[Any], Any]] = MappingProxyType({"reference_kw": _powers, "deadline": time.fromisoformat})


def _parameters(stated: Any) -> dict[str, Any]:
    if not isinstance(stated, dict):
        raise InvalidBaselineRule(f"parameters are a JSON object, found {stated!r}", field="baseline_parameters")
    try:
        return {name: _READ[name](value) if name in _READ else value for name, value in stated.items()}
    except (TypeError, ValueError) as error:
        raise InvalidBaselineRule(f"a parameter is not read: {stated}", field="baseline_parameters") from error


def _decimal(value: float | str) -> Decimal:
    return Decimal(str(value))
