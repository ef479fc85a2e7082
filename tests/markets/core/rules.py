"""Every combination of payment rules that a product may state, as hypothesis strategies."""

from decimal import Decimal

from hypothesis import strategies as st

from markets.core.payment import PerformanceRule
from markets.core.payment_month import MonthTerms

ENERGIES = st.decimals(0, 10**5, places=4)
PENCE = st.decimals(0, 10**4, places=2)
SHARES = st.integers(0, 100).map(lambda percent: Decimal(percent) / 100)


@st.composite
def scales(draw: st.DrawFn) -> tuple[tuple[Decimal, Decimal], ...]:
    """Points of a scale, shares rising and factors not falling."""
    shares = sorted(draw(st.sets(SHARES, min_size=1, max_size=5)))
    factors = sorted(draw(st.lists(SHARES, min_size=len(shares), max_size=len(shares))))
    return tuple(zip(shares, factors, strict=True))


def every_rule() -> st.SearchStrategy[PerformanceRule]:
    """Rules of an event."""
    return st.builds(
        PerformanceRule,
        grace=SHARES,
        slope=st.decimals(0, 20, places=2),
        cutoff=st.none() | SHARES,
        step=st.sampled_from(["continuous", "whole-percent-floored"]),
        cap=st.sampled_from(["interval", "event"]),
        pays_on=st.sampled_from(["instructed", "delivered"]),
        scale=st.none() | scales(),
        penalty_gbp_per_mwh=st.just(Decimal(0)) | PENCE,
        cap_gbp_per_event=st.none() | PENCE,
    )


def every_month() -> st.SearchStrategy[MonthTerms]:
    """Terms of a month, with a price for availability."""
    return st.builds(
        MonthTerms,
        aggregation=st.sampled_from(["event", "month"]),
        availability_gbp_per_mw_h=st.decimals(0, 100, places=4),
        availability_factor=st.sampled_from(["one", "month", "previous-month"]),
        without_call=st.sampled_from(["one", "previous-month"]),
        partial_power=st.sampled_from(["pro-rata", "nothing"]),
        cap_gbp_per_month=st.none() | PENCE,
        rounding=st.sampled_from(["event", "month"]),
    )
