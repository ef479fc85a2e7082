from decimal import ROUND_HALF_UP, Decimal
from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from markets.core.energy import QUANTUM_KWH, decimal_kwh, from_quanta, nearest_quanta, to_quanta


class TestNearestQuanta:
    def test_rounds_halves_away_from_zero(self):
        np.testing.assert_array_equal(nearest_quanta(np.array([0.5, -0.5, 1.5, 2.4, -2.6])), [1, -1, 2, 2, -3])

    def test_takes_float_noise_below_a_half_for_the_half(self):
        a_hair_below = np.nextafter(1.5, 0.0)

        np.testing.assert_array_equal(nearest_quanta(np.array([a_hair_below, -a_hair_below, 1.499])), [2, -2, 1])

    def test_keeps_missing_reads_and_knows_no_minus_zero(self):
        found = nearest_quanta(np.array([np.nan, -0.2]))

        assert np.isnan(found[0])
        assert not np.signbit(found[1])

    @given(numerator=st.integers(-(10**9), 10**9), denominator=st.integers(1, 480))
    def test_rounds_every_mean_as_exact_decimals_do(self, numerator, denominator):
        exact = (Decimal(numerator) / Decimal(denominator)).quantize(Decimal(1), ROUND_HALF_UP)

        assert nearest_quanta(np.array([numerator / denominator]))[0] == int(exact)


class TestToQuanta:
    @given(quanta=st.integers(-(10**12), 10**12))
    def test_is_undone_by_from_quanta(self, quanta):
        assert to_quanta(from_quanta(np.array([float(quanta)])))[0] == quanta

    def test_makes_sums_exact_in_any_order(self):
        energies = [0.1, 0.2, 0.3, 1e6]

        sums = {to_quanta(np.array(order)).sum() for order in permutations(energies)}

        assert sums == {10_000_006_000.0}
        assert len({sum(order) for order in permutations(energies)}) > 1  # what the grid is for


class TestDecimalKwh:
    @given(energy_kwh=st.decimals(-1000, 1000, places=4))
    def test_keeps_four_decimals(self, energy_kwh):
        assert decimal_kwh(float(energy_kwh)) == energy_kwh
        assert decimal_kwh(float(energy_kwh)).as_tuple().exponent == QUANTUM_KWH.as_tuple().exponent
