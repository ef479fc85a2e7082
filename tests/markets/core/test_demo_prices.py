import numpy as np

from markets.core.demo_calendar import DEMO_SEED, day_types
from markets.core.demo_prices import demo_prices

PRICES = demo_prices(DEMO_SEED)
PRICE = PRICES.price_gbp_per_kwh.reshape(-1, 48)


class TestDemoPrices:
    def test_cover_the_history_and_the_two_dates_of_the_charging_day(self):
        assert PRICE.shape == (72, 48)

    def test_are_cheap_in_the_night_and_dear_in_the_evening_on_every_day(self):
        night, evening, rest = PRICE[:, 3:10], PRICE[:, 32:38], PRICE[:, 20:31]
        assert (night.max(axis=1) < evening.min(axis=1)).all()
        assert (night.mean(axis=1) < rest.mean(axis=1)).all()
        assert PRICE.min() >= 0
        assert PRICE.max() <= 0.95

    def test_are_near_a_gb_retail_price_on_average(self):
        assert 0.15 < PRICE.mean() < 0.25
        assert 0.08 < PRICE[:, 3:10].mean() < 0.15
        assert 0.28 < PRICE[:, 32:38].mean() < 0.40

    def test_differ_from_day_to_day(self):
        working = PRICE[day_types().is_working].mean(axis=1)
        assert 0.05 < working.std() / working.mean() < 0.3

    def test_give_clean_power_when_it_is_cheap(self):
        carbon = PRICES.actual_gco2_per_kwh.reshape(-1, 48)
        assert np.corrcoef(PRICE.mean(axis=1), carbon.mean(axis=1))[0, 1] > 0.6
        assert carbon.min() > 20
        assert carbon.max() < 400

    def test_forecast_carbon_about_right(self):
        error = PRICES.forecast_gco2_per_kwh / PRICES.actual_gco2_per_kwh - 1
        assert abs(error.mean()) < 0.05
        assert 0.03 < error.std() < 0.15
