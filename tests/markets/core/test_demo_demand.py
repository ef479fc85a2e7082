import numpy as np
import pytest

from markets.core.demo_calendar import BANK_HOLIDAYS, DEMO_SEED, FIRST_DAY, day_types, utc_days_grid
from markets.core.demo_demand import PEAK_KW_PER_HOME, demo_demand, home_demand_kw, remembering_noise
from markets.core.demo_network import demo_network

NODES = demo_network(DEMO_SEED)
DEMAND = demo_demand(NODES, DEMO_SEED)
N_HOME = np.array([{node.code: node.n_customers for node in NODES}[code] for code in DEMAND.node_codes])
POWER_KW = 2 * DEMAND.energy_kwh.reshape(len(N_HOME), -1, 48)
IS_WORKING = day_types().is_working


class TestDemoDemand:
    def test_covers_every_measured_phase_and_whole_days(self):
        assert sorted(DEMAND.node_codes) == sorted(node.code for node in NODES if node.is_measured)
        assert POWER_KW.shape == (39, 72, 48)
        assert DEMAND.energy_kwh.min() > 0

    def test_peaks_on_working_evenings_at_the_published_demand_a_home(self):
        per_home = POWER_KW.sum(axis=0)[IS_WORKING].mean(axis=0) / N_HOME.sum()
        assert per_home.max() == pytest.approx(PEAK_KW_PER_HOME, abs=0.06)
        assert 17 <= per_home.argmax() / 2 < 20

    def test_varies_more_on_few_homes_than_on_many(self):
        # The relative spread about the hour's mean: 0.72 over the root of 11 homes is 0.22; over 379, 0.04.
        def spread(power_kw):
            return (power_kw.std(axis=-2) / power_kw.mean(axis=-2)).mean()

        working = POWER_KW[:, IS_WORKING]
        assert spread(working) == pytest.approx(np.sqrt(0.72**2 / N_HOME.mean() + 0.07**2), abs=0.04)
        assert spread(working.sum(axis=0)) < 0.1

    def test_remembers_the_half_hour_before(self):
        residual = POWER_KW[:, IS_WORKING] / POWER_KW[:, IS_WORKING].mean(axis=1, keepdims=True) - 1
        lag = np.mean([np.corrcoef(day[:-1], day[1:])[0, 1] for phase in residual for day in phase])
        assert 0.3 < lag < 0.7


class TestHomeDemandKw:
    def test_takes_bank_holidays_for_sundays(self):
        by_day = home_demand_kw(utc_days_grid()).reshape(-1, 48)
        sunday = 3  # 6 November 2025 is a Thursday
        for holiday in BANK_HOLIDAYS:
            np.testing.assert_array_equal(by_day[(holiday - FIRST_DAY).days], by_day[sunday])
        assert not np.array_equal(by_day[0], by_day[sunday])


class TestRememberingNoise:
    @pytest.mark.parametrize("memory", [0.0, 0.5, 0.96])
    def test_has_mean_0_variance_1_and_the_memory_asked_for(self, memory):
        noise = remembering_noise((200, 5_000), memory, np.random.default_rng(1))
        assert noise.mean() == pytest.approx(0, abs=0.02)
        np.testing.assert_allclose(noise.var(axis=0).mean(), 1, atol=0.03)
        # Stationary from the first step on: its variance over the 200 series is 1 as well.
        assert noise[:, 0].var() == pytest.approx(1, abs=0.3)
        assert (noise[:, 1:] * noise[:, :-1]).mean() == pytest.approx(memory, abs=0.03)
