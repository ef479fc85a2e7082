from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.trading_offers import (
    ActivationRefused,
    OfferRefused,
    OptionTerms,
    activate,
    check_options,
    price_of_mwh,
    refuse_undeliverable,
    target_of_orders,
)

ASKED = np.array([20.0, 20.0])


def option(power=(10.0, 10.0), price="5.00", factor="0.50", reference="1") -> OptionTerms:
    return OptionTerms(reference, np.array(power, dtype=float), Decimal(price), Decimal(factor))


def check(*options: OptionTerms) -> None:
    check_options(options, requested_kw=ASKED, min_kw=5.0)


class TestCheckOptions:
    def test_takes_what_is_asked_for(self):
        check(option(), option((0.0, 20.0), "0.00", "1.00", "2"), option((5.0, 0.0), "0.01", "0.01", "3"))

    @pytest.mark.parametrize(
        ("power", "said"),
        [
            ((10.0,), "expected 2: one a half-hour"),
            ((10.0, 21.0), "no more than is requested"),
            ((10.0, 4.0), "5 kW or more, which is the market's least"),
            ((10.0, -5.0), "0, or 5 kW or more"),
            ((np.nan, 10.0), "0, or 5 kW or more"),
            ((np.inf, 10.0), "0, or 5 kW or more"),
            ((0.0, 0.0), "something in at least one"),
        ],
    )
    def test_refuses_a_volume_that_is_not_asked_for(self, power, said):
        with pytest.raises(OfferRefused, match=said):
            check(option(power))

    @pytest.mark.parametrize("factor", ["0.00", "0.001", "0.505", "1.01", "NaN"])
    def test_refuses_an_activation_factor_out_of_uftps_bounds(self, factor):
        with pytest.raises(OfferRefused, match=r"expected 0\.01 to 1\.00"):
            check(option(factor=factor))

    @pytest.mark.parametrize("price", ["-0.01", "0.005", "Infinity", "10000000000.00"])
    def test_refuses_what_is_no_price(self, price):
        with pytest.raises(OfferRefused, match="no price in whole pence"):
            check(option(price=price))

    def test_refuses_none_and_two_of_a_name(self):
        for options in ((), (option(), option())):
            with pytest.raises(OfferRefused, match="reference of its own"):
                check(*options)


class TestRefuseUndeliverable:
    def test_lets_pass_what_is_registered_and_no_more(self):
        refuse_undeliverable(np.array([10.0, 10.0]), np.array([4.0, 5.0]), firm_kw=15.0, node="F1")
        with pytest.raises(OfferRefused, match=r"half-hour 2 .* 10 kW beside 5.5 kW .* where 15 kW"):
            refuse_undeliverable(np.array([10.0, 10.0]), np.array([4.0, 5.5]), firm_kw=15.0, node="F1")

    def test_knows_firm_volume_by_half_hour(self):
        with pytest.raises(OfferRefused, match="half-hour 1"):
            refuse_undeliverable(np.array([10.0, 10.0]), np.zeros(2), firm_kw=np.array([9.0, 11.0]), node="F1")

    def test_refuses_nothing_where_it_is_not_known(self):
        refuse_undeliverable(np.array([1e9]), np.zeros(1), firm_kw=float("inf"), node="F1")


class TestActivate:
    def test_buys_a_share(self):
        # 10 kW for an hour is 10 kWh for 5.00 GBP: 500 GBP/MWh whatever the share.
        bought = activate(option(), Decimal("0.75"), step_h=0.5)
        np.testing.assert_allclose(bought.power_kw, [7.5, 7.5])
        assert (bought.price_gbp, bought.price_gbp_per_mwh) == (Decimal("3.7500"), Decimal("500.00"))

    @pytest.mark.parametrize("factor", ["0.49", "1.01", "0.555", "0"])
    def test_refuses_less_than_the_least_and_more_than_all(self, factor):
        with pytest.raises(ActivationRefused, match=r"0\.50 to 1\.00"):
            activate(option(), Decimal(factor), step_h=0.5)

    def test_refuses_a_price_beyond_what_is_stored(self):
        with pytest.raises(ActivationRefused, match="above"):
            price_of_mwh(Decimal("9999999999.99"), np.array([0.01]), step_h=0.5)

    @given(hundredths=st.integers(1, 100), pence=st.integers(0, 10**6), kw=st.floats(1, 1e4))
    def test_pays_the_price_back_to_the_rounding(self, hundredths, pence, kw):
        terms = option((kw, kw), str(Decimal(pence) / 100), "0.01")
        bought = activate(terms, Decimal(hundredths) / 100, step_h=0.5)
        energy_mwh = Decimal(float(bought.power_kw.sum()) / 2000)
        assert abs(bought.price_gbp_per_mwh * energy_mwh - bought.price_gbp) <= Decimal("0.005001") * energy_mwh
        assert bought.price_gbp == terms.price_gbp * hundredths / 100


class TestTargetOfOrders:
    def test_asks_for_what_the_hardest_period_needs(self):
        # 60 + 40 = 100 less 30; 50 + 30 = 80 less 20.
        expected = np.array([[60.0, 50.0], [40.0, 30.0]])
        assert target_of_orders(expected, np.array([30.0, 20.0]), direction="turn_down") == 60.0
        assert target_of_orders(expected, np.array([30.0, 20.0]), direction="turn_up") == 130.0

    def test_looks_only_at_periods_ordered(self):
        assert target_of_orders(np.array([[10.0, 90.0]]), np.array([0.0, 30.0]), direction="turn_down") == 60.0

    def test_asks_for_nothing_below_zero(self):
        assert target_of_orders(np.array([[10.0]]), np.array([30.0]), direction="turn_down") == 0.0

    def test_is_unknown_where_nothing_is_expected(self):
        assert np.isnan(target_of_orders(np.array([[np.nan]]), np.array([30.0]), direction="turn_down"))
