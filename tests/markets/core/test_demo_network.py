import numpy as np
import pytest

from markets.core.demo_calendar import DEMO_SEED
from markets.core.demo_demand import PEAK_KW_PER_HOME
from markets.core.demo_network import POWER_FACTOR, SUBSTATIONS, demo_network, homes_by_phase

NODES = demo_network(DEMO_SEED)
BY_CODE = {node.code: node for node in NODES}


def homes_below(code: str) -> int:
    below = sum(homes_below(node.code) for node in NODES if node.parent == code)
    return BY_CODE[code].n_customers + below


class TestDemoNetwork:
    def test_is_one_tree_with_parents_first(self):
        seen: set[str] = set()
        for node in NODES:
            assert (node.parent is None) == (node.kind == "primary")
            assert node.parent is None or node.parent in seen
            assert node.code not in seen
            seen.add(node.code)

    def test_has_four_substations_and_fifteen_feeders_of_three_phases(self):
        kinds = [node.kind for node in NODES]
        assert (kinds.count("distribution"), kinds.count("feeder"), kinds.count("phase")) == (4, 15, 45)
        for feeder in (node for node in NODES if node.kind == "feeder"):
            assert [node.phase for node in NODES if node.parent == feeder.code] == ["A", "B", "C"]

    def test_keeps_every_home_of_the_plan(self):
        assert homes_below("NM") == 420
        for substation in SUBSTATIONS:
            for feeder in substation.feeders:
                assert homes_below(feeder.code) == feeder.n_home

    def test_rates_a_400_a_way_as_published(self):
        # 400 A at 230 V: 92 kW a phase, 276 kVA for three. Here: 100 A, a quarter of it.
        assert BY_CODE["NM-ALD-2-A"].rating_kva == pytest.approx(92 / 4)
        assert BY_CODE["NM-ALD-2"].rating_kva == pytest.approx(276 / 4)

    def test_leaves_two_feeders_without_a_monitor(self):
        unmeasured = {node.parent for node in NODES if node.kind == "phase" and not node.is_measured}
        assert unmeasured == {"NM-BEC-4", "NM-DEN-2"}

    def test_leaves_some_phases_with_room_for_two_evses_in_the_evening_and_some_with_plenty(self):
        spare_kw = [
            node.rating_kva * POWER_FACTOR - node.n_customers * PEAK_KW_PER_HOME
            for node in NODES
            if node.kind == "phase"
        ]
        assert min(spare_kw) > 0
        assert sum(spare < 2 * 7.36 for spare in spare_kw) >= 10
        assert sum(spare > 3 * 7.36 for spare in spare_kw) >= 10

    @pytest.mark.parametrize("seed", range(5))
    def test_overloads_nothing_without_evs(self, seed):
        for node in demo_network(seed):
            if node.kind == "phase":
                assert node.n_customers * PEAK_KW_PER_HOME < node.rating_kva * POWER_FACTOR


class TestHomesByPhase:
    @pytest.mark.parametrize("n_home", [6, 15, 24, 25, 26, 39])
    def test_keeps_the_number_and_leaves_no_phase_empty_or_double(self, n_home):
        for seed in range(20):
            homes = homes_by_phase(n_home, np.random.default_rng(seed))
            assert homes.sum() == n_home
            assert abs(homes - n_home / 3).max() < 3
