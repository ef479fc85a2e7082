"""A half-hourly retail tariff and the carbon intensity of the demo: invented, to a stated design."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import FloatArray
from markets.core.demo_calendar import N_HISTORY_DAY, day_types, demo_stream, utc_days_grid
from markets.core.demo_demand import remembering_noise

TARIFF_CODE = "northmoor-half-hourly"
# Wholesale shape over the day in £/kWh at London clock hours; between them it runs straight.
CLOCK_H = (0, 2, 4.5, 7, 8.5, 11, 14, 16, 17.5, 19, 21, 24)
WHOLESALE_GBP_PER_KWH = (0.066, 0.058, 0.056, 0.084, 0.096, 0.085, 0.078, 0.098, 0.132, 0.112, 0.084, 0.066)
# A supplier's mark-up for network and policy costs, and the addition in the network's peak hours.
MARK_UP, PEAK_ADDITION_GBP_PER_KWH, PEAK_START_H, PEAK_END_H = 2.0, 0.11, 16, 19
LEAST_GBP_PER_KWH, MOST_GBP_PER_KWH = 0.0, 0.95
NON_WORKING_FACTOR = 0.9
DAY_SPREAD, DAY_MEMORY = 0.17, 0.55  # windy and still days, in the logarithm
HALF_HOUR_SPREAD, HALF_HOUR_MEMORY = 0.05, 0.7
CARBON_G_PER_KWH = (118, 108, 104, 138, 152, 140, 136, 158, 182, 174, 146, 118)
# A windy day is cheap and clean: how far carbon follows price.
CARBON_FOLLOWS_PRICE = 1.6
CARBON_ERROR, ERROR_MEMORY = 0.09, 0.95  # of a forecast made two days ahead


@dataclass(frozen=True, slots=True)
class DemoPrices:
    """(n_period,) of ``utc_days_grid``: £/kWh without VAT, and gCO2/kWh as forecast and as it turned out."""

    price_gbp_per_kwh: FloatArray
    forecast_gco2_per_kwh: FloatArray
    actual_gco2_per_kwh: FloatArray


def demo_prices(seed: int) -> DemoPrices:
    """Draw prices and carbon intensity for every half-hour of the demo.

    Source: docs/demo.md
    """
    rng = demo_stream("prices", seed)
    grid = utc_days_grid()
    clock_h = np.arange(grid.n_period) % 48 / 2
    is_working = np.repeat(day_types().is_working, 48)
    still = np.repeat(DAY_SPREAD * remembering_noise((N_HISTORY_DAY + 2,), DAY_MEMORY, rng), 48)
    flutter = HALF_HOUR_SPREAD * remembering_noise((grid.n_period,), HALF_HOUR_MEMORY, rng)
    level = np.exp(still + flutter) * np.where(is_working, 1.0, NON_WORKING_FACTOR)
    is_peak = (clock_h >= PEAK_START_H) & (clock_h < PEAK_END_H)
    price = MARK_UP * np.interp(clock_h, CLOCK_H, WHOLESALE_GBP_PER_KWH) * level + PEAK_ADDITION_GBP_PER_KWH * is_peak
    actual = np.interp(clock_h, CLOCK_H, CARBON_G_PER_KWH) * np.exp(CARBON_FOLLOWS_PRICE * still + flutter)
    error = CARBON_ERROR * remembering_noise((grid.n_period,), ERROR_MEMORY, rng)
    return DemoPrices(
        price_gbp_per_kwh=np.round(np.clip(price, LEAST_GBP_PER_KWH, MOST_GBP_PER_KWH), 4),
        forecast_gco2_per_kwh=np.round(actual * np.exp(error)),
        actual_gco2_per_kwh=np.round(actual),
    )
