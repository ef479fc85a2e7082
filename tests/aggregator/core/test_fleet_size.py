import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.control import ActFigures
from aggregator.core.fleet_size import ControllableGauge, FleetSize, moved_by_request

NONE = FleetSize(0, 0.0, 0.0)
STREET = FleetSize(n_evse=100, rated_kw=740.0, kw_per_minute=74.0)
SIZES = st.builds(
    FleetSize, n_evse=st.integers(1, 5_000), rated_kw=st.floats(1, 50_000), kw_per_minute=st.floats(0.1, 50_000)
)
DIRECTIONS = st.sampled_from(["turn_down", "turn_up"])


class TestMovedByRequest:
    @pytest.mark.parametrize(
        ("direction", "target_kw", "moved_mw"),
        [
            ("turn_down", 0, 0.74),
            ("turn_down", 370, 0.37),
            ("turn_down", 740, 0),
            ("turn_down", 10_000, 0),
            ("turn_up", 0, 0),
            ("turn_up", 370, 0.37),
            ("turn_up", 10_000, 0.74),
        ],
    )
    def test_is_from_all_charging_to_the_target_or_from_none(self, direction, target_kw, moved_mw):
        moved = moved_by_request(STREET, direction=direction, target_kw=target_kw)
        assert moved.total_mw == pytest.approx(moved_mw)
        assert moved.mw_per_minute == pytest.approx(moved_mw / 10)
        assert moved.n_evse == (100 if moved_mw else 0)

    @pytest.mark.parametrize("direction", ["turn_down", "turn_up"])
    def test_is_nothing_where_there_is_no_evse(self, direction):
        assert moved_by_request(NONE, direction=direction, target_kw=100) == ActFigures()

    @given(size=SIZES, direction=DIRECTIONS, target_kw=st.floats(0, 100_000))
    def test_is_never_more_than_the_group_could_do(self, size, direction, target_kw):
        moved = moved_by_request(size, direction=direction, target_kw=target_kw)
        assert moved.total_mw <= size.rated_kw / 1000 * (1 + 1e-12)
        assert moved.mw_per_minute <= size.kw_per_minute / 1000 * (1 + 1e-12)

    @given(size=SIZES, direction=DIRECTIONS, target_kw=st.floats(0, 100_000))
    def test_is_no_smaller_in_coarse_figures(self, size, direction, target_kw):
        fine = moved_by_request(size, direction=direction, target_kw=target_kw)
        coarse = moved_by_request(size.coarse(), direction=direction, target_kw=target_kw)
        assert coarse.total_mw >= fine.total_mw
        assert coarse.n_evse >= fine.n_evse


class TestCoarse:
    @pytest.mark.parametrize(("n_evse", "told"), [(0, 0), (1, 5), (4, 5), (5, 5), (6, 10), (100, 100)])
    def test_tells_no_more_than_groups_of_five(self, n_evse, told):
        assert FleetSize(n_evse, 7.4, 0.74).coarse() == FleetSize(told, 50.0, 5.0)

    def test_leaves_nothing_nothing(self):
        assert NONE.coarse() == NONE

    @given(size=SIZES)
    def test_is_at_least_as_much_and_not_a_whole_step_more(self, size):
        coarse = size.coarse()
        assert 0 <= coarse.n_evse - size.n_evse < 5
        assert -1e-6 <= coarse.rated_kw - size.rated_kw < 50
        assert -1e-6 <= coarse.kw_per_minute - size.kw_per_minute < 5 + 1e-6


class TestControllableGauge:
    def test_shows_shares_and_what_is_left(self):
        gauge = ControllableGauge(mw=150.0, committed_mw=174.0, cap_mw=290.0, threshold_mw=300.0, mw_by_dsrsp={})
        assert gauge.share_of_threshold == pytest.approx(0.5)
        assert (gauge.share_of_cap, gauge.left_mw) == (pytest.approx(0.6), pytest.approx(116.0))

    def test_knows_a_cap_of_nothing(self):
        assert ControllableGauge(0.0, 0.0, 0.0, 300.0, {}).share_of_cap == 0
        assert ControllableGauge(1.0, 1.0, 0.0, 300.0, {}).share_of_cap == float("inf")
        assert ControllableGauge(1.0, 1.0, 0.5, 300.0, {}).left_mw == 0
