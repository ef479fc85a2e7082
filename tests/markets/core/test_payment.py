from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import LONDON
from markets.core.payment import (
    Interval,
    InvalidPayment,
    InvalidPerformanceRule,
    PerformanceRule,
    availability_payment_gbp,
    performance_factor,
    round_gbp,
    utilisation_payment_gbp,
)
from tests.markets.core.builders import ORACLES

SHARES = st.fractions(-1, 2, max_denominator=10_000)
RULES = st.builds(
    PerformanceRule,
    grace=st.decimals(0, 1, places=3),
    slope=st.decimals(0, 20, places=2),
    cutoff=st.none() | st.decimals(0, 1, places=2),
    step=st.sampled_from(["continuous", "whole-percent-floored"]),
)


def hours(n, *, starts_at=datetime(2026, 1, 15, 17, tzinfo=UTC)):
    return Interval(starts_at, starts_at + timedelta(hours=n))


class TestPerformanceRule:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"grace": Decimal("1.1")},
            {"cutoff": Decimal("-0.1")},
            {"slope": Decimal(-1)},
            {"slope": Decimal("Infinity")},
            {"min_present_share": Decimal(2)},
            {"step": "event"},
            {"missing": "guess"},
            {"cap": "none"},
            {"pays_on": "hope"},
        ],
    )
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(InvalidPerformanceRule):
            PerformanceRule(**wrong)


class TestPerformanceFactor:
    @pytest.mark.parametrize(("d", "factor"), ORACLES["performance_factor"]["cases"])
    def test_gives_the_published_rule(self, d, factor):
        rule = PerformanceRule(
            **{name: Decimal(value) for name, value in ORACLES["performance_factor"]["rule"].items()}
        )

        assert performance_factor(Decimal(d), rule) == Fraction(factor)

    @pytest.mark.parametrize(("d", "factor"), ORACLES["performance_factor"]["without_cutoff"])
    def test_follows_the_line_to_its_end_without_a_cutoff(self, d, factor):
        assert performance_factor(Decimal(d), PerformanceRule(cutoff=None)) == Fraction(factor)

    def test_reaches_zero_at_one_grace_and_a_third_below_full(self):
        assert performance_factor(Fraction(37, 60), PerformanceRule(cutoff=None)) == 0
        assert performance_factor(Fraction(37, 60) + Fraction(1, 10**6), PerformanceRule(cutoff=None)) > 0

    def test_floors_whole_percents_before_the_rule(self):
        rule = PerformanceRule(step="whole-percent-floored")

        assert performance_factor(Fraction(130, 140), rule) == Fraction("0.91")
        assert performance_factor(Decimal("0.63999"), rule) == Fraction("0.04")

    @given(rule=RULES, one=SHARES, other=SHARES)
    def test_never_falls_as_delivery_rises(self, rule, one, other):
        low, high = sorted((one, other))

        assert 0 <= performance_factor(low, rule) <= performance_factor(high, rule) <= 1


class TestUtilisationPaymentGbp:
    @pytest.mark.parametrize("case", ORACLES["utilisation_gbp"], ids=lambda case: case["name"])
    def test_pays_the_worked_and_published_amounts(self, case):
        factor = performance_factor(Decimal(case["d"]), PerformanceRule())

        payment_gbp = utilisation_payment_gbp(
            payable_kwh=Decimal(case["kwh"]), price_gbp_per_mwh=Decimal(case["price"]), factor=factor
        )

        assert payment_gbp == Decimal(case["gbp"])

    def test_pays_ten_times_the_printed_amount_for_150_chargers_in_the_right_unit(self):
        """The operator's page prints 0.0125 MW; 150 chargers of 0.83 kW are 0.1245 MW."""
        payable_kwh = 150 * Decimal("0.83") * 129

        payment_gbp = utilisation_payment_gbp(payable_kwh=payable_kwh, price_gbp_per_mwh=Decimal(1812))

        assert payable_kwh == Decimal("0.1245") * 1000 * 129
        assert payment_gbp == Decimal("29101.63")

    def test_pays_nothing_for_negative_energy(self):
        assert utilisation_payment_gbp(payable_kwh=Decimal(-5), price_gbp_per_mwh=Decimal(300)) == 0

    @pytest.mark.parametrize("price", [Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
    def test_refuses_a_price_that_is_none(self, price):
        with pytest.raises(InvalidPayment):
            utilisation_payment_gbp(payable_kwh=Decimal(1), price_gbp_per_mwh=price)

    def test_refuses_a_factor_above_one(self):
        with pytest.raises(InvalidPayment):
            utilisation_payment_gbp(payable_kwh=Decimal(1), price_gbp_per_mwh=Decimal(1), factor=Decimal("1.01"))

    @given(
        energy=st.decimals(0, 10**6, places=4), price=st.decimals(0, 6000, places=2), rule=RULES, d=SHARES, more=SHARES
    )
    def test_never_pays_more_than_full_value_and_never_less_for_more(self, energy, price, rule, d, more):
        low, high = sorted((d, more))
        full, less, payment = (
            utilisation_payment_gbp(payable_kwh=energy, price_gbp_per_mwh=price, factor=factor)
            for factor in (1, performance_factor(low, rule), performance_factor(high, rule))
        )

        assert 0 <= less <= payment <= full


class TestRoundGbp:
    def test_rounds_half_pennies_away_from_zero(self):
        assert [round_gbp(Fraction(pence, 1000)) for pence in (1005, 1004, -1005)] == [
            Decimal("1.01"),
            Decimal("1.00"),
            Decimal("-1.01"),
        ]


class TestAvailabilityPaymentGbp:
    @pytest.mark.parametrize("case", ORACLES["availability_gbp"], ids=lambda case: case["gbp"])
    def test_pays_the_worked_and_published_amounts(self, case):
        payment_gbp = availability_payment_gbp(
            accepted_mw=Decimal(case["mw"]),
            windows=[hours(case["h"])],
            price_gbp_per_mw_h=Decimal(case["price"]),
            availability_factor=Decimal(case["af"]),
        )

        assert payment_gbp == Decimal(case["gbp"])

    @pytest.mark.parametrize(
        ("day", "expected"), [((2026, 3, 29), "1.75"), ((2026, 10, 25), "2.45"), ((2026, 7, 1), "2.10")]
    )
    def test_counts_elapsed_hours_on_clock_change_days(self, day, expected):
        window = Interval(datetime(*day, 0, tzinfo=LONDON), datetime(*day, 6, tzinfo=LONDON))

        payment_gbp = availability_payment_gbp(
            accepted_mw=Decimal("0.07"), windows=[window], price_gbp_per_mw_h=Decimal(5)
        )

        assert payment_gbp == Decimal(expected)

    def test_scales_a_month_and_takes_an_outage_off_once(self):
        month = [hours(3, starts_at=datetime(2026, 1, day, 17, tzinfo=UTC)) for day in range(1, 21)]
        outage = hours(1.5, starts_at=datetime(2026, 1, 3, 18, 30, tzinfo=UTC))
        common = {"accepted_mw": Decimal("0.070"), "windows": month, "price_gbp_per_mw_h": Decimal(5)}

        assert availability_payment_gbp(**common) == Decimal("21.00")
        assert availability_payment_gbp(**common, availability_factor=Fraction(131, 140)) == Decimal("19.65")
        assert availability_payment_gbp(**common, unavailable=[outage, outage]) == Decimal("20.48")

    def test_ignores_outages_outside_the_window_and_counts_overlaps_once(self):
        payment_gbp = availability_payment_gbp(
            accepted_mw=Decimal(1),
            windows=[hours(2), hours(1), hours(0.5, starts_at=datetime(2026, 1, 15, 17, 30, tzinfo=UTC))],
            price_gbp_per_mw_h=Decimal(10),
            unavailable=[hours(4, starts_at=datetime(2026, 1, 15, 19, tzinfo=UTC))],
        )

        assert payment_gbp == Decimal("20.00")

    @pytest.mark.parametrize(
        "window",
        [
            Interval(datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001
            Interval(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        ],
    )
    def test_refuses_naive_and_empty_intervals(self, window):
        with pytest.raises(InvalidPayment):
            availability_payment_gbp(accepted_mw=Decimal(1), windows=[window], price_gbp_per_mw_h=Decimal(1))

    def test_refuses_negative_power(self):
        with pytest.raises(InvalidPayment):
            availability_payment_gbp(accepted_mw=Decimal(-1), windows=[hours(1)], price_gbp_per_mw_h=Decimal(1))
