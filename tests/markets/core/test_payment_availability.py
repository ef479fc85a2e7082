from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import LONDON
from markets.core.payment import InvalidPayment
from markets.core.payment_availability import (
    Interval,
    PartAvailable,
    availability_payment_gbp,
    available_mw_h,
    effective_price_gbp_per_mwh,
)
from tests.markets.core.builders import ORACLES


def hours(n, *, starts_at=datetime(2026, 1, 15, 17, tzinfo=UTC)):
    return Interval(starts_at, starts_at + timedelta(hours=n))


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

    @pytest.mark.parametrize(
        "wrong",
        [
            {"accepted_mw": Decimal(-1)},
            {"price_gbp_per_mw_h": Decimal("NaN")},
            {"availability_factor": Decimal("1.01")},
            {"partly": [PartAvailable(hours(1), Decimal(-1))]},
        ],
    )
    def test_refuses_nonsense(self, wrong):
        stated = {"accepted_mw": Decimal(1), "windows": [hours(1)], "price_gbp_per_mw_h": Decimal(1)}
        with pytest.raises(InvalidPayment):
            availability_payment_gbp(**{**stated, **wrong})

    @pytest.mark.parametrize(("partial_power", "expected"), [("pro-rata", "25.00"), ("nothing", "20.00")])
    def test_pays_part_of_the_power_in_proportion_or_not_at_all(self, partial_power, expected):
        """1 MW for three hours at GBP 10, in one of them half the power."""
        half = PartAvailable(hours(1, starts_at=datetime(2026, 1, 15, 18, tzinfo=UTC)), Decimal("0.5"))

        payment_gbp = availability_payment_gbp(
            accepted_mw=Decimal(1),
            windows=[hours(3)],
            price_gbp_per_mw_h=Decimal(10),
            partly=[half, PartAvailable(half.interval, Decimal(2))],
            partial_power=partial_power,
        )

        assert payment_gbp == Decimal(expected)


class TestAvailableMwH:
    @given(
        cuts=st.lists(st.tuples(st.integers(-60, 240), st.integers(1, 120), st.integers(0, 120)), max_size=6),
        more=st.tuples(st.integers(-60, 240), st.integers(1, 120), st.integers(0, 120)),
        partial_power=st.sampled_from(["pro-rata", "nothing"]),
    )
    def test_is_what_a_count_of_minutes_says_and_never_rises_with_an_outage(self, cuts, more, partial_power):
        start = datetime(2026, 10, 24, 23, tzinfo=UTC)

        def ready(parts):
            return available_mw_h(
                accepted_mw=Decimal(1),
                windows=[Interval(start, start + timedelta(minutes=180))],
                partly=[
                    PartAvailable(
                        Interval(start + timedelta(minutes=at), start + timedelta(minutes=at + length)),
                        Decimal(power) / 100,
                    )
                    for at, length, power in parts
                ],
                partial_power=partial_power,
            )

        expected = Fraction(0)
        for minute in range(180):
            power = min([1, *(Fraction(power, 100) for at, length, power in cuts if at <= minute < at + length)])
            expected += 0 if power < 1 and partial_power == "nothing" else power
        assert ready(cuts) == expected / 60
        assert ready([*cuts, more]) <= ready(cuts)


class TestEffectivePriceGbpPerMwh:
    def test_adds_availability_over_the_share_dispatched(self):
        price = effective_price_gbp_per_mwh(
            utilisation_gbp_per_mwh=Decimal(250),
            availability_gbp_per_mw_h=Decimal(5),
            dispatched_share=Decimal("0.10"),
        )

        assert price == 300

    @pytest.mark.parametrize("wrong", [("250", "5", "0"), ("250", "5", "1.1"), ("-1", "5", "0.1"), ("1", "-5", "0.1")])
    def test_refuses_what_has_no_price(self, wrong):
        utilisation, availability, share = map(Decimal, wrong)
        with pytest.raises(InvalidPayment):
            effective_price_gbp_per_mwh(
                utilisation_gbp_per_mwh=utilisation, availability_gbp_per_mw_h=availability, dispatched_share=share
            )
