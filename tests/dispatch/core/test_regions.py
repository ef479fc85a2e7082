"""Regions are whole, keep their order, and give the same plan in one thread as in several."""

import numpy as np
import pytest

from dispatch.core import regions
from dispatch.core.greedy import greedy_power_kw, refill, safe_power_kw
from dispatch.core.network import Network
from dispatch.core.regions import side_by_side, split_by_region
from dispatch.core.rounding import round_plan
from dispatch.core.sessions import by_need
from tests.dispatch.core.problems import Ev, make_problem

ROOTS = 4


@pytest.fixture
def problem(monkeypatch):
    """Four roots, a feeder under each, and EVs that fill them."""
    monkeypatch.setattr(regions, "SESSIONS_A_THREAD", 5)
    rng = np.random.default_rng(8)
    evs = [
        Ev(float(rng.uniform(2, 20)), node=ROOTS + int(rng.integers(ROOTS)), unserved=float(rng.choice([1.0, 2.0])))
        for _ in range(60)
    ]
    parents = [-1] * ROOTS + list(range(ROOTS))
    return make_problem(*evs, prices=rng.uniform(0.1, 0.4, (1, 8)), parents=parents, limit_kw=25.0)


class TestSplitByRegion:
    def test_parts_whole_regions_in_their_own_order(self, problem):
        order = by_need(problem)
        parts = split_by_region(problem, order, 3)
        assert len(parts) == 3
        assert sorted(np.concatenate(parts).tolist()) == list(range(problem.n_session))
        root = problem.node_parent[problem.session_node]
        roots = [set(root[part].tolist()) for part in parts]
        assert sum(len(one) for one in roots) == ROOTS
        rank = np.argsort(order)
        for part in parts:
            for one in set(root[part].tolist()):
                assert (np.diff(rank[part[root[part] == one]]) > 0).all()

    def test_makes_one_part_of_few_sessions_and_none_of_nobody(self, problem):
        assert len(split_by_region(problem, np.arange(4), 2)) == 1
        assert split_by_region(problem, np.zeros(0, dtype=np.int64), 2) == []


class TestSideBySide:
    def test_raises_what_a_work_raised(self):
        def broken():
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            side_by_side([lambda: None, broken])


class TestThreads:
    def test_change_nothing(self, problem):
        network = Network.of(problem)
        rough_kw = np.random.default_rng(1).uniform(0, 7, (problem.n_session, problem.n_period)).astype(np.float32)
        tables = []
        for threads in (1, 3):
            greedy_kw = greedy_power_kw(problem, network, threads=threads)
            safe_kw = safe_power_kw(problem, network, rough_kw, threads=threads)
            refill(problem, network, safe_kw, threads=threads)
            rounded = round_plan(problem, network, greedy_kw, threads=threads)
            tables.append((greedy_kw, safe_kw, rounded.setpoint_a))
        for one, three in zip(*tables, strict=True):
            np.testing.assert_array_equal(one, three)
