"""A sample of a fleet: whole small subtrees, limits above in proportion, prices near the whole's."""

import math

import numpy as np
import pytest

from dispatch.core.bound import Prices, lower_bound_gbp
from dispatch.core.fast.engine import solve_fast
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, FlexRequest
from dispatch.core.sample import sample, sampled_prices
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem


def never_late() -> float:
    return math.inf


@pytest.fixture
def small_clusters(monkeypatch):
    monkeypatch.setattr("dispatch.core.sample.CLUSTER_SESSIONS", 2)


class TestSample:
    def problem(self):
        # Four feeders of two EVs each under a root, and two EVs on the root itself.
        evs = [Ev(7.0, node=1 + feeder) for feeder in range(4) for _ in range(2)]
        asked = (FlexRequest(0, 0, 1, TURN_DOWN, 20.0, 0.5), FlexRequest(1, 0, 1, TURN_DOWN, 5.0, 0.5))
        limit_kw = np.array([[35.0, 35.0], *[[9.0, 9.0]] * 4])
        return make_problem(
            *evs,
            Ev(7.0, node=0),
            Ev(7.0, node=0),
            parents=(-1, 0, 0, 0, 0),
            limit_kw=limit_kw,
            requests=asked,
            node_ramp_kw=np.array([10.0, *[np.inf] * 4]),
            ramp_gbp_per_kwh=0.1,
        )

    def test_takes_whole_feeders_and_one_in_so_many_above(self, small_clusters):
        problem = self.problem()
        part = sample(problem, Network.of(problem), every=2)
        assert part.session_node.tolist() == [2, 2, 4, 4, 0]

    def test_scales_what_is_above_by_the_power_taken(self, small_clusters):
        problem = self.problem()
        part = sample(problem, Network.of(problem), every=2)
        assert part.node_limit_kw[0] == pytest.approx([17.5, 17.5])
        assert part.node_limit_kw[2] == pytest.approx([9.0, 9.0])
        assert part.node_ramp_kw[0] == pytest.approx(5.0)
        assert part.node_ramp_kw[1] == np.inf
        assert [one.target_kw for one in part.requests] == pytest.approx([10.0, 5.0])


class TestSampledPrices:
    def test_are_not_made_of_few_sessions(self):
        problem = make_problem(Ev(7.0))
        assert sampled_prices(problem, Network.of(problem), never_late) is None

    def test_prove_most_of_what_the_wholes_own_prove(self, monkeypatch):
        monkeypatch.setattr("tests.benchmarks.fleets.SUBSTATIONS_PER_PRIMARY", 8)
        monkeypatch.setattr("dispatch.core.sample.SAMPLE_SESSIONS", 1_000)
        problem = national_fleet(Shape(4_000, n_period=24, requests=True, ramps=True))
        network = Network.of(problem)
        whole = solve_fast(problem, network, gap=1e-4, left_s=never_late, threads=1)
        few = sampled_prices(problem, network, never_late)
        assert few is not None
        lost_gbp = [
            whole.bound_gbp - self.with_root(problem, network, whole.prices, at_root)
            for at_root in (few, Prices.zero(problem))
        ]
        assert lost_gbp[0] < 0.1 * lost_gbp[1]

    @staticmethod
    def with_root(problem, network, prices: Prices, at_root: Prices) -> float:
        """The bound in GBP at these prices, those of the root's rows taken from elsewhere; requests are the root's."""
        above = (np.arange(problem.n_node) < 1)[:, np.newaxis]
        mixed = Prices(
            cap=np.where(above, at_root.cap, prices.cap),
            request=at_root.request,
            ramp_up=np.where(above, at_root.ramp_up, prices.ramp_up),
            ramp_down=np.where(above, at_root.ramp_down, prices.ramp_down),
        )
        return lower_bound_gbp(problem, network, mixed)
