import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.portfolio import portfolio_kwh, read_throughout

NAN = np.nan


class TestPortfolioKwh:
    def test_sums_the_meters_of_each_unit(self):
        energy_kwh = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

        np.testing.assert_allclose(
            portfolio_kwh(energy_kwh, np.array([0, 1, 0]), n_unit=2, min_share=1.0), [[6.0, 8.0], [3.0, 4.0]]
        )

    def test_scales_up_for_meters_not_read(self):
        # 3 of 4 meters read 9 kWh together, so 4 meters are taken to have drawn 12.
        energy_kwh = np.array([[2.0], [3.0], [4.0], [NAN]])

        assert portfolio_kwh(energy_kwh, np.zeros(4, dtype=int), n_unit=1, min_share=0.75)[0, 0] == pytest.approx(12.0)

    def test_is_unknown_when_too_few_are_read(self):
        energy_kwh = np.array([[2.0], [3.0], [NAN], [NAN]])

        assert np.isnan(portfolio_kwh(energy_kwh, np.zeros(4, dtype=int), n_unit=1, min_share=0.75)).all()

    def test_is_unknown_for_a_unit_without_meters(self):
        assert np.isnan(portfolio_kwh(np.ones((1, 1)), np.array([0]), n_unit=2, min_share=0.5)[1, 0])

    @given(values=st.lists(st.floats(0, 100), min_size=1, max_size=20), seed=st.integers(0, 2**32 - 1))
    def test_does_not_depend_on_the_order_of_meters(self, values, seed):
        energy_kwh, unit = np.array(values)[:, np.newaxis], np.arange(len(values)) % 3
        order = np.random.default_rng(seed).permutation(len(values))

        np.testing.assert_allclose(
            portfolio_kwh(energy_kwh, unit, n_unit=3, min_share=0.5),
            portfolio_kwh(energy_kwh[order], unit[order], n_unit=3, min_share=0.5),
        )


class TestReadThroughout:
    def test_leaves_out_a_meter_with_one_gap(self):
        np.testing.assert_array_equal(read_throughout(np.array([[0.0, 1.0], [NAN, 1.0]])), [True, False])
