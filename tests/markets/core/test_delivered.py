from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.delivered import UnknownCounting, UnknownUnit, counted_periods, delivered_kwh, unit_volume

NAN = np.nan
QUANTA = st.integers(0, 10**6)


def volume(baseline, metered, *, units=("u",), row_units=None, direction="turn_down", counting="net"):
    return unit_volume(
        np.array(baseline, dtype=float),
        np.array(metered, dtype=float),
        direction,
        row_units=row_units or ["u"] * len(baseline),
        unit_ids=units,
        counting=counting,
    )


class TestDeliveredKwh:
    def test_is_what_a_turn_down_saved_and_a_turn_up_added(self):
        baseline, metered = np.array([45.0, 3.0]), np.array([12.0, 5.0])

        np.testing.assert_array_equal(delivered_kwh(baseline, metered, "turn_down"), [33.0, -2.0])
        np.testing.assert_array_equal(delivered_kwh(baseline, metered, "turn_up"), [-33.0, 2.0])

    def test_is_exact_where_floats_are_not(self):
        assert delivered_kwh(np.array([0.3]), np.array([0.1]), "turn_down")[0] == 0.2
        assert 0.3 - 0.1 != 0.2

    def test_stays_unknown_without_a_read_or_a_baseline(self):
        for counting in ("net", "positive-only"):
            found = delivered_kwh(np.array([1.0, NAN]), np.array([NAN, 1.0]), "turn_down", counting=counting)

            assert np.isnan(found).all()

    def test_is_33_kwh_against_an_adjusted_baseline_of_45(self):
        assert delivered_kwh(np.array([45.0]), np.array([12.0]), "turn_down")[0] == 33.0

    def test_takes_the_wrong_way_as_nothing_where_only_positive_volumes_count(self):
        baseline, metered = np.array([3.5, 3.5]), np.array([3.6, 1.0])

        np.testing.assert_array_equal(
            delivered_kwh(baseline, metered, "turn_down", counting="positive-only"), [0.0, 2.5]
        )
        np.testing.assert_array_equal(delivered_kwh(baseline, metered, "turn_up", counting="positive-only"), [0.1, 0.0])

    def test_refuses_a_counting_it_does_not_know(self):
        with pytest.raises(UnknownCounting, match="gross"):
            delivered_kwh(np.array([1.0]), np.array([1.0]), "turn_down", counting="gross")

    @given(
        baseline=QUANTA,
        metered=QUANTA,
        more=st.integers(1, 10**6),
        direction=st.sampled_from(["turn_down", "turn_up"]),
        counting=st.sampled_from(["net", "positive-only"]),
    )
    def test_falls_as_metered_energy_moves_against_the_direction(self, baseline, metered, more, direction, counting):
        kwh = np.array([baseline, baseline]) / 10_000, np.array([metered, metered + more]) / 10_000
        less, greater = delivered_kwh(*kwh, direction, counting=counting)

        change = greater - less if direction == "turn_up" else less - greater
        assert change >= 0
        if counting == "net":
            assert round(change * 10_000) == more


class TestUnitVolume:
    def test_is_net_of_the_assets_that_went_the_wrong_way(self):
        found = volume([[3.5], [3.5], [3.5]], [[0.0], [0.0], [3.6]])

        np.testing.assert_array_equal(found.delivered_kwh, [[6.9]])

    def test_leaves_out_the_assets_that_went_the_wrong_way_where_only_positive_volumes_count(self):
        found = volume([[3.5], [3.5], [3.5]], [[0.0], [0.0], [3.6]], counting="positive-only")

        np.testing.assert_array_equal(found.delivered_kwh, [[7.0]])
        np.testing.assert_array_equal(found.baseline_kwh, [[10.5]])
        np.testing.assert_array_equal(found.metered_kwh, [[3.6]])

    def test_follows_ids_not_positions(self):
        found = volume([[1.0], [2.0], [4.0]], [[0.0]] * 3, units=("a", "b"), row_units=["b", "a", "b"])

        np.testing.assert_array_equal(found.delivered_kwh, [[2.0], [5.0]])

    def test_counts_missing_reads_and_baselines_as_nothing_delivered(self):
        found = volume([[5.0, 5.0, NAN], [1.0, 1.0, NAN]], [[2.0, NAN, 1.0], [0.5, NAN, 1.0]])

        np.testing.assert_array_equal(found.delivered_kwh, [[3.5, 0.0, 0.0]])
        np.testing.assert_array_equal(found.metered_kwh, [[2.5, NAN, 2.0]])
        np.testing.assert_array_equal(found.baseline_kwh, [[6.0, 6.0, NAN]])
        np.testing.assert_array_equal(found.n_missing, [[0, 2, 0]])
        np.testing.assert_array_equal(found.n_no_baseline, [[0, 0, 2]])
        assert found.reasons().tolist() == [["measured", "missing-read", "no-baseline"]]

    def test_lets_the_assets_that_were_read_count(self):
        found = volume([[5.0], [5.0]], [[2.0], [NAN]])

        np.testing.assert_array_equal(found.delivered_kwh, [[3.0]])

    def test_refuses_a_row_of_a_unit_it_does_not_settle(self):
        with pytest.raises(UnknownUnit):
            volume([[1.0]], [[1.0]], row_units=["stranger"])

    @given(
        rows=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30), data=st.data()
    )
    def test_is_the_same_in_any_order_of_assets(self, rows, data):
        shuffled = data.draw(st.permutations(rows))
        one, other = (
            volume([[baseline / 10_000] for baseline, _ in order], [[metered / 10_000] for _, metered in order])
            for order in (rows, shuffled)
        )

        assert one.delivered_kwh[0, 0] == other.delivered_kwh[0, 0]
        assert one.delivered_kwh[0, 0] == sum(baseline - metered for baseline, metered in rows) / 10_000


class TestCountedPeriods:
    IS_MISSING = np.array([[False, True, False, False], [True, True, True, True], [False, False, False, False]])

    def test_counts_all_when_strict(self):
        found = counted_periods(self.IS_MISSING, "strict", min_present_share=Decimal(0))

        assert found.counts.all()
        assert found.n_missing.tolist() == [1, 4, 0]
        assert not found.is_refused.any()

    def test_leaves_missing_periods_out_where_enough_are_present(self):
        found = counted_periods(self.IS_MISSING, "exclude", min_present_share=Decimal("0.75"))

        assert found.counts[0].tolist() == [True, False, True, True]
        assert found.is_refused.tolist() == [False, True, False]

    def test_falls_back_to_strict_below_the_share(self):
        found = counted_periods(self.IS_MISSING, "exclude", min_present_share=Decimal("0.76"))

        assert found.counts.all()
        assert found.is_refused.tolist() == [True, True, False]

    def test_never_leaves_every_period_out(self):
        found = counted_periods(self.IS_MISSING, "exclude", min_present_share=Decimal(0))

        assert found.counts[1].all()
        assert found.is_refused[1]

    @given(n_period=st.integers(1, 50), n_present=st.integers(0, 50), percent=st.integers(0, 100))
    def test_compares_the_share_exactly(self, n_period, n_present, percent):
        n_present = min(n_present, n_period)
        is_missing = np.arange(n_period)[np.newaxis, :] >= n_present

        found = counted_periods(is_missing, "exclude", min_present_share=Decimal(percent) / 100)

        allowed = n_present >= 1 and n_present * 100 >= percent * n_period
        assert found.counts.sum() == (n_present if allowed else n_period)
