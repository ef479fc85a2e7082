import numpy as np
import pytest

from aggregator.arrays.calendar import bank_holidays
from aggregator.core.intervals import to_datetime64
from aggregator.core.timegrid import charging_day
from aggregator.core.virtual_evse import uncontrolled_power_kw
from markets.core.demo_area import EVENING_KW_PER_EVSE, demo_area
from markets.core.demo_calendar import (
    AS_OF,
    BANK_HOLIDAYS,
    CHARGING_DAY,
    FIRST_DAY,
    N_HISTORY_DAY,
    day_types,
    utc_day,
    utc_days_grid,
)
from markets.core.demo_network import POWER_FACTOR

AREA = demo_area()
DAY = charging_day(CHARGING_DAY)


def charging_day_kw() -> np.ndarray:
    """(n_evse, 48) what the charging day would look like without dispatch."""
    happened = AREA.sessions.select(AREA.sessions.plug_in_at < to_datetime64(DAY.ends_at))
    return uncontrolled_power_kw(happened, rated_kw=AREA.fleet.rated_kw[happened.evse], grid=DAY)


class TestDemoCalendar:
    def test_knows_the_bank_holidays_the_market_knows(self):
        assert set(BANK_HOLIDAYS) == bank_holidays(FIRST_DAY, utc_day(N_HISTORY_DAY + 1))

    def test_lies_in_winter_time_as_the_demand_and_prices_assume(self):
        assert N_HISTORY_DAY == 70
        for index in range(N_HISTORY_DAY + 1):
            day = charging_day(utc_day(index))
            assert (day.starts_at.hour, day.n_period) == (12, 48)


class TestDemoArea:
    def test_is_the_same_to_the_last_digit_every_time_and_another_with_another_seed(self):
        assert demo_area().fingerprint() == AREA.fingerprint()
        assert demo_area(AREA.seed + 1).fingerprint() != AREA.fingerprint()

    def test_holds_in_its_asset_meters_the_energy_of_the_sessions_before_the_charging_day(self):
        before = AREA.sessions.select(AREA.sessions.plug_in_at < to_datetime64(DAY.starts_at))
        by_evse = np.bincount(before.evse, before.energy_kwh, len(AREA.fleet))
        # A meter rounds each half-hour to the watt-hour.
        n_reading = (AREA.asset_kwh > 0).sum(axis=1)
        assert (abs(AREA.asset_kwh.sum(axis=1) - by_evse) <= 0.0005 * n_reading + 1e-6).all()
        assert (AREA.asset_kwh <= AREA.fleet.rated_kw[:, np.newaxis] / 2 + 1e-9).all()

    def test_leaves_the_asset_meters_of_the_charging_day_to_its_dispatch(self):
        on_the_day = AREA.sessions.plug_in_at >= to_datetime64(DAY.starts_at)
        assert on_the_day.sum() > 100
        after = AREA.asset_kwh[:, utc_days_grid().index_of(DAY.starts_at) :]
        # Only what was plugged in before noon may still be charging after it.
        assert after.sum() < 0.02 * AREA.sessions.energy_kwh[on_the_day].sum()

    def test_overloads_some_phases_on_the_charging_day_without_dispatch(self):
        power_kw = charging_day_kw()
        first = utc_days_grid().index_of(DAY.starts_at)
        background = dict(zip(AREA.demand.node_codes, 2 * AREA.demand.energy_kwh[:, first : first + 48], strict=True))
        n_over = 0
        for node in AREA.nodes:
            if node.kind == "phase" and node.is_measured:
                load_kw = background[node.code] + power_kw[AREA.fleet.node_codes == node.code].sum(axis=0)
                n_over += bool((load_kw > node.rating_kva * POWER_FACTOR).any())
        assert n_over >= 2

    def test_keeps_every_phase_within_its_rating_without_evs(self):
        limit_kw = {node.code: node.rating_kva * POWER_FACTOR * node.cyclic_factor for node in AREA.nodes}
        highest = 2 * AREA.demand.energy_kwh.max(axis=1)
        for code, kw in zip(AREA.demand.node_codes, highest, strict=True):
            assert kw < limit_kw[code]

    def test_has_an_ordinary_charging_day(self):
        evening = slice(34, 38)
        history_kw = 2 * AREA.asset_kwh.sum(axis=0).reshape(-1, 48)[:N_HISTORY_DAY, evening].mean(axis=1)
        working = history_kw[day_types().is_working[:N_HISTORY_DAY]]
        today_kw = charging_day_kw().sum(axis=0)[10:14].mean()
        assert abs(today_kw - working.mean()) < 2 * working.std()


class TestDemoRequest:
    def test_asks_for_half_of_what_published_figures_expect_of_the_fleet(self):
        # 9.1 kWh x 3 sessions / 7 days x 22 % in 2 h = 0.429 kW an EVSE; 300 of them draw 128.7 kW; half is 64.
        assert pytest.approx(0.429) == EVENING_KW_PER_EVSE
        assert AREA.request.target_kw == 64

    def test_takes_40_to_60_per_cent_off_an_uncontrolled_evening(self):
        evening_kw = charging_day_kw().sum(axis=0)[10:14].mean()
        assert 0.4 < 1 - AREA.request.target_kw / evening_kw < 0.6

    def test_is_known_when_the_cycle_runs_and_starts_after_it(self):
        assert AREA.request.received_at < AS_OF < AREA.request.starts_at
        assert DAY.starts_at <= AREA.request.starts_at < AREA.request.ends_at <= DAY.ends_at

    def test_prices_a_missing_kwh_as_dear_as_its_product_does(self):
        # Each per cent missed takes three off the payment.
        assert AREA.request.shortfall_gbp_per_kwh >= 3 * float(AREA.request.price_gbp_per_mwh) / 1000
