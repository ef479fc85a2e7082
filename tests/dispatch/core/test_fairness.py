from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dispatch.core.fairness import InvalidShortfall, PastShortfall, alike, priority, unserved_share
from dispatch.core.problem import DispatchProblem
from dispatch.core.solve import solve
from tests.dispatch.core.problems import Ev, make_problem

N_EVSE, N_DAY, N_PERIOD = 30, 30, 48
MOST, LOOK_BACK_DAYS = 1.5, 14
ONE_GROUP = np.zeros(N_EVSE, dtype=np.int64)


def past(asked: object, left: object) -> PastShortfall:
    return PastShortfall(np.atleast_2d(np.array(asked, dtype=float)), np.atleast_2d(np.array(left, dtype=float)))


class TestPastShortfall:
    def test_refuses_more_unserved_than_was_asked(self):
        with pytest.raises(InvalidShortfall, match=r"EVSE 1 on day 0 has 5.0 of 4.0 kWh unserved"):
            past([[4.0], [4.0]], [[1.0], [5.0]])

    def test_refuses_tables_of_different_days(self):
        with pytest.raises(InvalidShortfall, match=r"serveable has shape \(1, 2\), unserved \(1, 1\)"):
            past([[4.0, 4.0]], [[1.0]])


class TestUnservedShare:
    def test_is_of_all_days_together_and_newer_ones_weigh_more(self):
        # Two days, so the weight halves in one: (0 * 1/2 + 4 * 1) / (4 * 1/2 + 4 * 1).
        assert unserved_share(past([[4.0, 4.0]], [[0.0, 4.0]])).tolist() == pytest.approx([2 / 3])
        assert unserved_share(past([[4.0, 4.0]], [[4.0, 0.0]])).tolist() == pytest.approx([1 / 3])

    def test_is_unknown_without_a_session(self):
        assert np.isnan(unserved_share(past([[0.0, 0.0]], [[0.0, 0.0]]))).all()
        assert np.isnan(unserved_share(PastShortfall.none(3))).tolist() == [True, True, True]


class TestPriority:
    def test_is_proportional_to_the_share_beside_the_mean_of_the_group(self):
        # Shares 0, 0.2 and 0.4 with a mean of 0.2; the other group's mean is its own.
        found = priority(past([[10.0]] * 4, [[0.0], [2.0], [4.0], [9.0]]), np.array([0, 0, 0, 1]), most=1.5)
        assert found.tolist() == pytest.approx([1.0, 1.25, 1.5, 1.25])

    def test_stands_at_the_mean_for_who_was_not_seen(self):
        found = priority(past([[10.0], [10.0], [0.0]], [[0.0], [4.0], [0.0]]), np.zeros(3, dtype=int), most=1.5)
        assert found.tolist() == pytest.approx([1.0, 1.5, 1.25])

    def test_treats_all_alike_without_a_past_or_a_factor(self):
        assert priority(PastShortfall.none(3), np.array([0, 1, 1]), most=2.0).tolist() == [1.0, 1.0, 1.0]
        assert priority(past([[9.0], [0.0]], [[0.0], [0.0]]), np.zeros(2, dtype=int), most=2.0).tolist() == [1.0, 1.0]
        assert priority(past([[9.0], [9.0]], [[0.0], [9.0]]), np.zeros(2, dtype=int), most=1.0).tolist() == [1.0, 1.0]

    @pytest.mark.parametrize("most", [0.9, np.inf, np.nan])
    def test_refuses_a_factor_that_is_no_bound(self, most):
        with pytest.raises(InvalidShortfall, match="expected a finite factor of at least 1"):
            priority(PastShortfall.none(1), np.zeros(1, dtype=int), most=most)

    @given(
        asked=arrays(float, (5, 4), elements=st.floats(0, 60)),
        part=arrays(float, (5, 4), elements=st.floats(0, 1)),
        group=arrays(np.int64, 5, elements=st.integers(0, 2)),
        most=st.floats(1, 10),
    )
    def test_is_bounded_and_never_smaller_for_a_larger_share_in_the_group(self, asked, part, group, most):
        before = PastShortfall(asked, asked * part)
        found, share = priority(before, group, most=most), unserved_share(before)
        assert ((found >= 1.0) & (found <= most + 1e-9)).all()
        for a, b in np.argwhere((group[:, np.newaxis] == group) & (share[:, np.newaxis] > share)):
            assert found[a] >= found[b] - 1e-12


class TestAlike:
    def test_needs_the_same_node_phases_and_rating(self):
        class Five:
            node = np.array([1, 1, 1, 2, 1])
            phases = np.array([1, 1, 3, 1, 1])
            rated_kw = np.array([7.36, 7.36, 7.36, 7.36, 3.68])

        group = alike(Five())
        assert group[0] == group[1]
        assert len(set(group[1:].tolist())) == 4


class Street:
    """Thirty homes on a feeder that carries about two thirds of what they ask for; each has its habits."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.arrives = self.rng.uniform(8, 16, N_EVSE)
        self.leaves = self.rng.uniform(34, 44, N_EVSE)
        self.needs_kwh = self.rng.uniform(8, 16, N_EVSE)

    def day(self) -> tuple[DispatchProblem, np.ndarray]:
        """Four evenings in five each home plugs in, about when it always does; and which homes did."""
        here = np.flatnonzero(self.rng.random(N_EVSE) < 0.8)
        start = np.clip(np.rint(self.arrives + self.rng.normal(0, 2, N_EVSE)), 0, 30).astype(int)
        end = np.clip(np.rint(self.leaves + self.rng.normal(0, 2, N_EVSE)), 31, N_PERIOD).astype(int)
        energy_kwh = self.needs_kwh * self.rng.lognormal(0, 0.3, N_EVSE)
        evs = [Ev(energy_kwh[i], max_kw=7.36, start=int(start[i]), end=int(end[i])) for i in here]
        hour = np.arange(N_PERIOD) / 2
        problem = make_problem(*evs, prices=0.2 + 0.1 * np.cos(hour / 24 * 2 * np.pi), limit_kw=12.0)
        return replace(problem, step_h=0.5), here


def thirty_days(seed: int, *, most: float, method: str = "greedy") -> np.ndarray:
    """(n_evse,) share of the serveable energy left unserved, after rounding, over all days."""
    street = Street(seed)
    asked_kwh, left_kwh = np.zeros((N_EVSE, N_DAY)), np.zeros((N_EVSE, N_DAY))
    for day in range(N_DAY):
        problem, here = street.day()
        before = slice(max(day - LOOK_BACK_DAYS, 0), day)
        factor = priority(PastShortfall(asked_kwh[:, before], left_kwh[:, before]), ONE_GROUP, most=most)
        problem = replace(problem, session_unserved_gbp_per_kwh=2.0 * factor[here])
        plan = solve(problem, method=method, time_limit_s=np.inf)
        asked_kwh[here, day] = problem.session_energy_kwh - plan.unserveable_kwh
        left_kwh[here, day] = plan.rounded_unserved_kwh
    return left_kwh.sum(axis=1) / asked_kwh.sum(axis=1)


class TestThirtyDays:
    """On a feeder too small for its fleet."""

    @pytest.mark.parametrize("seed", range(6))
    def test_leaves_nobody_more_than_twice_the_mean_unserved(self, seed):
        share = thirty_days(seed, most=MOST)
        assert share.mean() > 0.15
        assert share.max() <= 2.0 * share.mean()

    @pytest.mark.parametrize("seed", range(6))
    def test_would_do_so_without_the_factor(self, seed):
        share = thirty_days(seed, most=1.0)
        assert share.mean() > 0.15
        assert share.max() > 2.0 * share.mean()

    def test_holds_for_the_optimum_as_well(self):
        share = thirty_days(0, most=MOST, method="reference")
        assert share.mean() > 0.15
        assert share.max() <= 2.0 * share.mean()
