from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.diversity import (
    NO_NODE,
    InvalidDiversityInput,
    NodeLinks,
    admd_kw,
    coincidence_count,
    override_reserve_kw,
    spare_ceilings_kw,
)

# Node 0 is a feeder, 1 to 3 its phases.
FEEDER = NodeLinks(
    node=np.array([[1, 0, NO_NODE, NO_NODE], [1, 0, NO_NODE, NO_NODE], [2, 0, NO_NODE, NO_NODE], [0, 1, 2, 3]]),
    share=np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1 / 3, 1 / 3, 1 / 3]]),
    n_node=4,
)


@st.composite
def spare_cases(draw: st.DrawFn):
    n_period = draw(st.integers(1, 3))
    rated_kw = np.array([7.36, 3.68, 7.36, 11.0])
    fraction = np.array(
        draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0]), min_size=4 * n_period, max_size=4 * n_period))
    )
    limits = draw(st.lists(st.floats(-5, 40), min_size=4 * n_period, max_size=4 * n_period))
    is_open = draw(st.lists(st.booleans(), min_size=4 * n_period, max_size=4 * n_period))
    return {
        "setpoint_kw": fraction.reshape(4, n_period) * rated_kw[:, np.newaxis],
        "rated_kw": rated_kw,
        "min_kw": np.array([1.38, 1.38, 1.38, 4.14]),
        "links": FEEDER,
        "limit_kw": np.array(limits).reshape(4, n_period),
        "order": np.array(draw(st.permutations(range(4)))),
        "is_open": np.array(is_open).reshape(4, n_period),
    }


def tail(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1, n + 1))


class TestCoincidenceCount:
    @pytest.mark.parametrize(
        ("p", "counts"),
        [
            (0.118571, {5: 3, 10: 4, 20: 6, 50: 12, 100: 20, 200: 35}),
            (0.25, {5: 4, 10: 6, 20: 10, 50: 20, 100: 35, 200: 65}),
        ],
    )
    def test_gives_the_design_counts(self, p, counts):
        found = coincidence_count(np.array(list(counts)), np.array(p), 0.01)

        assert found.tolist() == list(counts.values())

    @given(n=st.integers(0, 40), p=st.floats(0, 1), alpha=st.sampled_from([0.001, 0.01, 0.05, 0.3]))
    def test_is_the_smallest_count_within_the_risk(self, n, p, alpha):
        count = int(coincidence_count(np.array(n), np.array(p), alpha))

        assert 0 <= count <= n
        assert tail(count, n, p) <= alpha + 1e-12
        assert count == 0 or tail(count - 1, n, p) > alpha - 1e-12

    @pytest.mark.parametrize(("n", "p", "alpha"), [(-1, 0.1, 0.01), (5, 1.1, 0.01), (5, np.nan, 0.01), (5, 0.1, 0.0)])
    def test_refuses_what_is_no_probability(self, n, p, alpha):
        with pytest.raises(InvalidDiversityInput):
            coincidence_count(np.array(n), np.array(p), alpha)


class TestAdmd:
    def test_is_the_highest_mean_of_those_present(self):
        demand_kw = np.array([[1.0, 4.0, 9.0], [2.0, 0.0, np.nan], [3.0, np.nan, np.nan]])

        assert admd_kw(demand_kw, min_present=0.6) == pytest.approx(2.0)
        assert admd_kw(demand_kw, min_present=0.3) == pytest.approx(9.0)

    def test_is_refused_where_too_few_are_present(self):
        with pytest.raises(InvalidDiversityInput):
            admd_kw(np.full((3, 4), np.nan))


class TestOverrideReserve:
    def test_holds_back_the_largest_ratings_of_those_expected_at_once(self):
        links = NodeLinks(np.zeros((20, 1), dtype=np.int64), np.ones((20, 1)), n_node=2)
        rated_kw = np.array([7.36] * 17 + [11.0] * 3)
        probability = np.column_stack([np.full(20, 0.118571), np.zeros(20), np.ones(20)])

        reserve_kw = override_reserve_kw(rated_kw=rated_kw, override_probability=probability, links=links)

        assert reserve_kw[0].tolist() == pytest.approx([3 * 11.0 + 3 * 7.36, 0.0, rated_kw.sum()])
        assert not reserve_kw[1].any()

    def test_counts_a_three_phase_evse_by_its_share_of_each_phase(self):
        certain = np.ones((4, 1))

        reserve_kw = override_reserve_kw(
            rated_kw=np.array([7.0, 7.0, 7.0, 12.0]), override_probability=certain, links=FEEDER
        )

        assert reserve_kw[:, 0].tolist() == pytest.approx([33.0, 18.0, 11.0, 4.0])

    @given(chances=st.lists(st.floats(0, 0.5), min_size=1, max_size=8))
    def test_covers_unequal_probabilities_within_the_risk(self, chances):
        n = len(chances)
        links = NodeLinks(np.zeros((n, 1), dtype=np.int64), np.ones((n, 1)), n_node=1)

        reserve_kw = override_reserve_kw(
            rated_kw=np.ones(n), override_probability=np.array(chances)[:, np.newaxis], links=links, alpha=0.01
        )

        exact = np.array([1.0])
        for chance in chances:
            exact = np.convolve(exact, [1 - chance, chance])
        assert exact[round(reserve_kw[0, 0]) + 1 :].sum() <= 0.01 + 1e-12

    def test_refuses_shapes_that_do_not_fit(self):
        with pytest.raises(InvalidDiversityInput):
            override_reserve_kw(rated_kw=np.ones(3), override_probability=np.ones((4, 1)), links=FEEDER)


class TestSpareCeilings:
    def test_gives_the_minimum_in_order_and_shares_the_rest(self):
        found = spare_ceilings_kw(
            setpoint_kw=np.array([[3.0, 3.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
            rated_kw=np.array([7.0, 7.0, 7.0, 12.0]),
            min_kw=np.array([1.4, 1.4, 1.4, 4.2]),
            links=FEEDER,
            limit_kw=np.array([[10.0, 4.4], [6.0, 10.0], [10.0, 10.0], [10.0, 10.0]]),
            order=np.array([1, 2, 3, 0]),
        )

        # First period: EVSEs 1 and 2 reach 1.4, 3 does not fit; 4.2 kW are left on the feeder and 1.6 kW on phase 1.
        # Three EVSEs may share the feeder's, two of them phase 1's.
        np.testing.assert_allclose(found[:, 0], [3.8, 2.2, 2.8, 0.0])
        np.testing.assert_allclose(found[:, 1], [3.0, 1.4, 0.0, 0.0])

    @given(case=spare_cases())
    def test_keeps_limits_ratings_and_minima_and_takes_nothing_away(self, case):
        found = spare_ceilings_kw(**case)

        raised = found > case["setpoint_kw"]
        assert (found >= case["setpoint_kw"]).all()
        assert not (raised & ~case["is_open"]).any()
        assert (found <= case["rated_kw"][:, np.newaxis] + 1e-9).all()
        assert (found[raised] >= np.broadcast_to(case["min_kw"][:, np.newaxis], found.shape)[raised] - 1e-9).all()
        planned_kw = FEEDER.sum_up(case["setpoint_kw"])
        assert (FEEDER.sum_up(found) <= np.maximum(case["limit_kw"], planned_kw) + 1e-9).all()

    def test_raises_all_to_their_rating_where_nothing_limits(self):
        rated_kw = np.array([7.0, 7.0, 7.0, 12.0])

        found = spare_ceilings_kw(
            setpoint_kw=np.zeros((4, 2)),
            rated_kw=rated_kw,
            min_kw=np.full(4, 1.38),
            links=FEEDER,
            limit_kw=np.full((4, 2), 1000.0),
            order=np.arange(4),
        )

        np.testing.assert_allclose(found, np.column_stack([rated_kw, rated_kw]))

    @pytest.mark.parametrize("wrong", [{"order": np.array([0, 1, 2, 2])}, {"rated_kw": np.ones(3)}])
    def test_refuses_what_does_not_fit(self, wrong):
        case = {
            "setpoint_kw": np.zeros((4, 2)),
            "rated_kw": np.ones(4),
            "min_kw": np.ones(4),
            "links": FEEDER,
            "limit_kw": np.ones((4, 2)),
            "order": np.arange(4),
        }
        with pytest.raises(InvalidDiversityInput):
            spare_ceilings_kw(**(case | wrong))


class TestNodeLinks:
    @pytest.mark.parametrize(
        ("node", "share"),
        [
            ([[4, 0]], [[1.0, 1.0]]),
            ([[-2, 0]], [[1.0, 1.0]]),
            ([[1, 0]], [[1.1, 1.0]]),
            ([[0, 0]], [[1.0, 1.0]]),
            ([[0]], [[1.0, 1.0]]),
        ],
    )
    def test_refuse_what_is_no_network(self, node, share):
        with pytest.raises(InvalidDiversityInput):
            NodeLinks(np.array(node), np.array(share), n_node=4)
