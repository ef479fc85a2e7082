from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.payment import (
    InvalidPayment,
    InvalidPerformanceRule,
    PerformanceRule,
    event_payment,
    event_value,
    performance_factor,
    round_gbp,
    utilisation_payment_gbp,
)
from tests.markets.core.builders import ORACLES
from tests.markets.core.rules import ENERGIES, every_rule

SHARES = st.fractions(-1, 2, max_denominator=10_000)
RULES = st.builds(
    PerformanceRule,
    grace=st.decimals(0, 1, places=3),
    slope=st.decimals(0, 20, places=2),
    cutoff=st.none() | st.decimals(0, 1, places=2),
    step=st.sampled_from(["continuous", "whole-percent-floored"]),
)
HALF_SCALE = ((Decimal("0.5"), Decimal("0.5")), (Decimal(1), Decimal(1)))


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
            {"penalty_gbp_per_mwh": Decimal(-1)},
            {"cap_gbp_per_event": Decimal("NaN")},
            {"scale": ()},
            {"scale": ((Decimal("0.5"), Decimal("1.5")),)},
            {"scale": ((Decimal("0.5"), Decimal("0.5")), (Decimal("0.5"), Decimal(1)))},
            {"scale": ((Decimal("0.5"), Decimal(1)), (Decimal(1), Decimal("0.5")))},
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

    @pytest.mark.parametrize(
        ("d", "factor"), [("0.49", "0"), ("0.5", "0.5"), ("0.75", "0.75"), ("1", "1"), ("1.3", "1"), ("-1", "0")]
    )
    def test_goes_straight_between_the_points_of_a_scale(self, d, factor):
        assert performance_factor(Decimal(d), PerformanceRule(cutoff=None, scale=HALF_SCALE)) == Fraction(factor)

    def test_stays_at_the_last_point_of_a_scale(self):
        rule = PerformanceRule(cutoff=Decimal("0.3"), scale=((Decimal("0.4"), Decimal("0.9")),))

        assert [performance_factor(Decimal(d), rule) for d in ("0.2", "0.39", "0.4", "1")] == [
            0,
            0,
            Fraction(9, 10),
            Fraction(9, 10),
        ]

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


def paid(rule=None, *, delivered="130", ordered="140", price="300", **rest):
    return event_payment(
        ordered_kwh=Decimal(ordered),
        delivered_kwh=Decimal(delivered),
        price_gbp_per_mwh=Decimal(price),
        rule=rule or PerformanceRule(),
        **rest,
    )


class TestEventPayment:
    @pytest.mark.parametrize(
        ("rule", "delivered", "gbp"),
        [
            ({}, "130", "39.30"),
            ({}, "129", "38.40"),
            ({"step": "whole-percent-floored"}, "130", "38.22"),
            ({"pays_on": "delivered", "grace": Decimal(1)}, "130", "39.00"),
            ({}, "160", "42.00"),
            ({}, "100", "12.30"),
            ({}, "-20", "0.00"),
            # SSEN's way: what was delivered, on a scale of 50 to 100 %: 0.129 MWh x 300 x 129/140.
            ({"pays_on": "delivered", "cutoff": None, "scale": HALF_SCALE}, "129", "35.66"),
            ({"pays_on": "delivered", "cutoff": None, "scale": HALF_SCALE}, "69", "0.00"),
        ],
    )
    def test_pays_the_worked_amounts(self, rule, delivered, gbp):
        payment = paid(PerformanceRule(**rule), delivered=delivered)

        assert (payment.full_value_gbp, payment.payment_gbp) == (Decimal("42.00"), Decimal(gbp))

    def test_takes_a_penalty_off_for_what_is_missed_beyond_the_grace(self):
        """133 kWh are free of a penalty; 3 kWh less at GBP 1,000/MWh are GBP 3."""
        payment = paid(PerformanceRule(penalty_gbp_per_mwh=Decimal(1000)))

        assert (payment.utilisation_gbp, payment.penalty_gbp, payment.payment_gbp) == (
            Decimal("39.30"),
            Decimal("3.00"),
            Decimal("36.30"),
        )
        assert paid(PerformanceRule(penalty_gbp_per_mwh=Decimal(1000)), delivered="133").penalty_gbp == 0

    def test_takes_no_more_than_the_event_pays(self):
        payment = paid(PerformanceRule(penalty_gbp_per_mwh=Decimal(10**6)), delivered="100")

        assert (payment.utilisation_gbp, payment.penalty_gbp, payment.payment_gbp) == (
            Decimal("12.30"),
            Decimal("12.30"),
            Decimal("0.00"),
        )

    def test_pays_no_more_than_the_cap(self):
        assert paid(PerformanceRule(cap_gbp_per_event=Decimal("20.00"))).payment_gbp == 20

    def test_goes_by_a_months_factor_where_it_is_given(self):
        assert paid(factor=Fraction(1, 2), delivered="0").payment_gbp == 21

    def test_is_void_where_nothing_was_instructed(self):
        payment = paid(ordered="0", delivered="5")

        assert (payment.performance_factor, payment.full_value_gbp, payment.payment_gbp) == (0, 0, 0)

    @pytest.mark.parametrize("wrong", [{"ordered": "-1"}, {"price": "NaN"}, {"factor": Fraction(2)}])
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(InvalidPayment):
            paid(**wrong)

    @given(
        rule=every_rule(),
        ordered=ENERGIES,
        one=st.decimals(-(10**6), 10**6, places=4),
        other=st.decimals(-(10**6), 10**6, places=4),
        price=st.decimals(0, 6000, places=2),
    )
    def test_never_rises_when_delivery_falls_and_stays_below_every_cap(self, rule, ordered, one, other, price):
        less, more = (
            event_payment(ordered_kwh=ordered, delivered_kwh=delivered, price_gbp_per_mwh=price, rule=rule)
            for delivered in sorted((one, other))
        )

        assert 0 <= less.payment_gbp <= more.payment_gbp <= more.full_value_gbp
        assert more.payment_gbp == more.utilisation_gbp - more.penalty_gbp
        if rule.cap_gbp_per_event is not None:
            assert more.payment_gbp <= rule.cap_gbp_per_event


class TestEventValue:
    @given(rule=every_rule(), ordered=ENERGIES, delivered=st.decimals(-100, 10**6, places=4))
    def test_is_within_half_a_penny_of_the_lines(self, rule, ordered, delivered):
        facts = {
            "ordered_kwh": ordered,
            "delivered_kwh": delivered,
            "price_gbp_per_mwh": Decimal("300.01"),
            "rule": rule,
        }
        exact, lines = event_value(**facts), event_payment(**facts)

        assert abs(exact.utilisation_gbp - Fraction(lines.utilisation_gbp)) <= Fraction(1, 200)
        assert abs(exact.penalty_gbp - Fraction(lines.penalty_gbp)) <= Fraction(1, 200)
