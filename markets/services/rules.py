"""A product's parameters as the rules the core computes with."""

from decimal import Decimal
from typing import cast

from markets.core.baseline import BaselineRule
from markets.core.delivered import MissingPolicy
from markets.core.payment import Cap, PaysOn, PerformanceRule, Step
from markets.models import Product


def baseline_rule(product: Product) -> BaselineRule:
    """The product's baseline, at portfolio level."""
    return BaselineRule(
        name=product.baseline_method,
        version=str(product.version),
        n_working_days=product.n_working_days,
        n_non_working_days=product.n_non_working_days,
        n_drop_working=product.n_drop_working,
        n_drop_non_working=product.n_drop_non_working,
        lookback_days=product.lookback_days,
        adjustment_periods=product.adjustment_periods,
        adjustment_gap_periods=product.adjustment_gap_periods,
        min_adjustment_periods=product.min_adjustment_periods,
        adjustment_cap_share=product.adjustment_cap_share,
        floor_at_zero=product.floor_at_zero,
    )


def performance_rule(product: Product) -> PerformanceRule:
    """The product's payment rule; shares are taken as the decimals they were written in."""
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
    )


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))
