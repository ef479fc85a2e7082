from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import charging_day
from dispatch.core.check import CheckFailed
from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.rounding import least_a, most_a
from dispatch.core.spare import FleetCeilings, fleet_problem, node_links, offer_spare, open_periods
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw
from tests.strategies import network_trees

TREE = {"parents": (-1, 0, 1, 2, 2, 2, 1), "node_is_phase": np.array([0, 0, 0, 1, 1, 1, 0], dtype=bool)}


def request(start: int, end: int, direction: int = TURN_DOWN) -> FlexRequest:
    return FlexRequest(0, start, end, direction, 5.0, 1.0)


def cheap(price: list[float], *requests: FlexRequest, share: float = 0.5) -> list[int]:
    """Open periods of an EVSE that is planned until the very end, so that only the price opens any."""
    until_the_end = np.zeros((1, len(price)), dtype=np.int16)
    until_the_end[0, -1] = 16
    return np.flatnonzero(open_periods(np.array(price), until_the_end, requests, share=share)[0]).tolist()


def after(planned_a: list[int], *requests: FlexRequest) -> list[int]:
    """Open periods of an EVSE with this plan on a day whose price falls all the time, so that it is dear but late."""
    price = np.linspace(1.0, 0.9, len(planned_a))
    return np.flatnonzero(open_periods(price, np.array([planned_a], dtype=np.int16), requests, share=0.01)[0]).tolist()


class TestOpenPeriods:
    @pytest.mark.parametrize("share", [0.5, 0.75])
    @pytest.mark.parametrize("n_cheap", [1, 3, 5])
    def test_opens_the_lower_of_two_prices_alone(self, n_cheap, share):
        assert cheap([0.30] * (6 - n_cheap) + [0.08] * n_cheap, share=share) == list(range(6 - n_cheap, 6))

    @pytest.mark.parametrize("price", [0.2, 0.0, -0.05])
    def test_opens_every_period_under_a_flat_price(self, price):
        assert cheap([price] * 5) == [0, 1, 2, 3, 4]

    def test_opens_the_cheaper_share_of_a_slope(self):
        assert cheap([1.0, 2.0, 3.0, 4.0, 5.0]) == [0, 1, 2]
        assert cheap([5.0, 4.0, 3.0, 2.0, 1.0]) == [2, 3, 4]
        assert cheap([1.0, 2.0, 3.0, 4.0, 5.0], share=0.75) == [0, 1, 2, 3]

    def test_opens_no_more_than_its_share_beside_a_spike(self):
        assert cheap([0.10, 0.11, 0.12, 0.13, 9.0]) == [0, 1, 2]

    def test_never_opens_the_highest_price_for_being_frequent(self):
        assert cheap([0.30, 0.30, 0.30, -0.50, 0.30], share=0.75) == [3]

    def test_opens_from_the_end_of_the_plan_on_at_any_price(self):
        assert after([0, 16, 0, 10, 0, 0]) == [4, 5]
        assert after([16, 0, 0, 0, 0, 0]) == [1, 2, 3, 4, 5]

    def test_opens_all_day_for_an_evse_without_a_plan(self):
        assert after([0, 0, 0, 0]) == [0, 1, 2, 3]

    def test_opens_each_evse_by_its_own_plan(self):
        planned_a = np.array([[6, 0, 0], [0, 0, 6], [0, 0, 0]], dtype=np.int16)
        is_open = open_periods(np.array([0.3, 0.2, 0.1]), planned_a, (), share=0.01)
        assert is_open.tolist() == [[False, True, True], [False, False, True], [True, True, True]]

    def test_closes_the_windows_of_turn_downs_for_all(self):
        assert cheap([0.1] * 6, request(1, 3), request(4, 5, TURN_UP)) == [0, 3, 4, 5]
        assert after([16, 0, 0, 0, 0, 0], request(2, 4)) == [1, 4, 5]

    def test_may_open_nothing(self):
        assert cheap([0.1] * 3, request(0, 3)) == []

    def test_has_a_row_for_each_evse_even_if_there_is_none(self):
        assert open_periods(np.ones(4), np.zeros((0, 4), dtype=np.int16), (), share=0.5).shape == (0, 4)

    def test_leaves_prices_and_plan_as_they_are(self):
        price, planned_a = np.array([0.1, 0.2]), np.array([[6, 0]], dtype=np.int16)
        open_periods(price, planned_a, (request(0, 2),), share=0.5)
        assert price.tolist() == [0.1, 0.2]
        assert planned_a.tolist() == [[6, 0]]

    @given(st.lists(st.floats(-1, 1), min_size=1, max_size=48), st.floats(0.01, 0.99))
    def test_always_opens_the_cheapest_and_never_a_dearer_one_before(self, price, share):
        is_open = np.isin(np.arange(len(price)), cheap(price, share=share))
        assert is_open[np.argmin(price)]
        assert max(np.array(price)[is_open]) <= min(np.array(price)[~is_open], default=np.inf)


class TestNodeLinks:
    def test_holds_the_share_of_each_node_and_pads_the_rest(self):
        problem = make_problem(Ev(1.0, node=2, phases=3), Ev(1.0, node=6), Ev(1.0, node=4), **TREE)
        links = node_links(problem)
        dense = np.zeros((7, 3))
        for evse, place in enumerate(links.place):
            for link in np.flatnonzero(links.loads[place]):
                dense[links.node[place, link], evse] += links.share[place, link]
        third = 1 / 3
        np.testing.assert_allclose(dense[:, 0], [1, 1, 1, third, third, third, 0])
        np.testing.assert_allclose(dense[:, 1], [1, 1, 0, 0, 0, 0, 1])
        np.testing.assert_allclose(dense[:, 2], [1, 1, 1, 0, 1, 0, 0])

    def test_is_empty_for_an_empty_fleet(self):
        links = node_links(make_problem(**TREE))
        assert links.node.shape == (0, 1)
        assert links.n_node == 7


@dataclass(frozen=True)
class Street:
    problem: DispatchProblem
    planned_a: np.ndarray
    is_open: np.ndarray
    order: np.ndarray

    def offer(self) -> FleetCeilings:
        return offer_spare(self.problem, self.planned_a, is_open=self.is_open, order=self.order)


@st.composite
def streets(draw: st.DrawFn) -> Street:
    """Any small tree and fleet with a plan within its caps: found by dropping what does not fit."""
    parents, phases = draw(network_trees())
    n_node, n_period = len(parents), draw(st.integers(1, 4))
    evs = []
    for _ in range(draw(st.integers(0, 6))):
        node = draw(st.integers(0, n_node - 1))
        evs.append(
            Ev(
                0.0,
                max_kw=draw(st.sampled_from([1.0, 3.68, 7.36, 11.04, 22.08])),
                node=node,
                phases=1 if phases[node] else draw(st.sampled_from([1, 3])),
                min_kw=draw(st.sampled_from([0.0, 1.38, 2.3, 4.14])),
            )
        )
    problem = make_problem(
        *evs,
        prices=[0.1] * n_period,
        parents=parents,
        node_is_phase=np.array(phases),
        limit_kw=np.array(
            [[draw(st.sampled_from([np.inf, 0.0, 1.5, 5.0, 12.3, 40.0])) for _ in range(n_period)] for _ in parents]
        ),
    )
    planned_a = np.zeros((len(evs), n_period), dtype=np.int16)
    for evse, period in np.ndindex(*planned_a.shape):
        low, high = int(least_a(problem)[evse]), int(most_a(problem)[evse])
        wanted = draw(st.sampled_from([0, low, high]))
        planned_a[evse, period] = wanted if low <= wanted <= high else 0
        if (node_kw(problem, planned_a)[:, period] > problem.node_limit_kw[:, period]).any():
            planned_a[evse, period] = 0
    is_open = np.array([[draw(st.booleans()) for _ in range(n_period)] for _ in evs], dtype=bool).reshape(
        planned_a.shape
    )
    return Street(problem, planned_a, is_open, np.array(draw(st.permutations(range(len(evs)))), dtype=np.int64))


def node_kw(problem: DispatchProblem, amperes: np.ndarray) -> np.ndarray:
    return added_up_kw(problem, amperes * 0.23 * problem.session_phases[:, np.newaxis])


class TestOfferSpare:
    @given(streets())
    def test_keeps_every_node_within_its_cap_if_all_draw_at_once(self, street):
        assert (node_kw(street.problem, street.offer().setpoint_a) <= street.problem.node_limit_kw + 1e-6).all()

    @given(streets())
    def test_never_goes_below_the_plan(self, street):
        assert (street.offer().setpoint_a >= street.planned_a).all()

    @given(streets())
    def test_tells_whole_amperes_from_the_minimum_to_the_rating_or_none(self, street):
        setpoint_a = street.offer().setpoint_a
        assert setpoint_a.dtype == np.int16
        most = most_a(street.problem)[:, np.newaxis]
        assert ((setpoint_a == 0) | (setpoint_a >= least_a(street.problem)[:, np.newaxis])).all()
        assert (setpoint_a <= most).all()

    @given(streets())
    def test_changes_nothing_where_it_is_closed(self, street):
        assert (street.offer().setpoint_a[~street.is_open] == street.planned_a[~street.is_open]).all()

    @given(streets())
    def test_states_the_same_in_amperes_kw_and_at_the_nodes(self, street):
        found = street.offer()
        unit_kw = 0.23 * street.problem.session_phases[:, np.newaxis]
        np.testing.assert_allclose(found.setpoint_kw, found.setpoint_a * unit_kw)
        np.testing.assert_allclose(found.planned_kw, street.planned_a * unit_kw)
        np.testing.assert_allclose(found.node_kw, node_kw(street.problem, found.setpoint_a), atol=1e-9)

    @given(streets())
    def test_leaves_nobody_idle_where_one_minimum_would_fit(self, street):
        found = street.offer().setpoint_a
        low, high = least_a(street.problem), most_a(street.problem)
        for evse, period in np.argwhere((found == 0) & street.is_open).tolist():
            if high[evse] == 0:
                continue
            if found[:, period].any():  # others were served first, and what they have depends on the order
                continue
            alone = found.copy()
            alone[evse, period] = low[evse]
            over_kw = node_kw(street.problem, alone) - street.problem.node_limit_kw
            assert (over_kw[:, period] > -1e-6).any()

    def test_shares_what_is_left_equally_by_hand(self):
        """16 A planned and two raised to 6 A make 6.44 kW; of 13.56 kW left each may take 4.52, as 32 A and 25.6 A."""
        problem = make_problem(*[Ev(0.0, max_kw=7.36)] * 3, prices=[0.1], limit_kw=20.0)
        found = offer_spare(problem, amperes(16, 0, 0), is_open=all_open(problem), order=np.arange(3))
        assert found.setpoint_a.ravel().tolist() == [32, 25, 25]

    def test_serves_the_first_in_the_order_where_one_minimum_fits(self):
        problem = make_problem(*[Ev(0.0, max_kw=7.36)] * 3, prices=[0.1], limit_kw=2.0)
        for first in range(3):
            order = np.roll(np.arange(3), -first)
            found = offer_spare(problem, amperes(0, 0, 0), is_open=all_open(problem), order=order)
            assert np.flatnonzero(found.setpoint_a.ravel()).tolist() == [first]
            assert found.setpoint_a.max() == 8  # 8 A is 1.84 kW; 9 A would be 2.07

    def test_holds_an_unknown_phase_against_every_phase(self):
        limit_kw = np.array([np.inf, np.inf, np.inf, 1.5, 9.0, 9.0, np.inf])[:, np.newaxis]
        problem = make_problem(
            Ev(0.0, max_kw=7.36, node=2),
            Ev(0.0, max_kw=22.08, node=2, phases=3),
            prices=[0.1],
            limit_kw=limit_kw,
            **TREE,
        )
        found = offer_spare(problem, amperes(0, 0), is_open=all_open(problem), order=np.arange(2))
        assert found.setpoint_a.ravel().tolist() == [6, 0]  # 1.38 kW of phase A; a third of 4.14 does not fit beside it

    def test_answers_an_empty_fleet(self):
        problem = make_problem(prices=[0.1, 0.2], **TREE)
        found = offer_spare(
            problem, np.zeros((0, 2), dtype=np.int16), is_open=all_open(problem), order=np.zeros(0, dtype=np.int64)
        )
        assert found.setpoint_a.shape == (0, 2)
        assert found.node_kw.shape == (7, 2)

    def test_never_answers_with_a_plan_that_breaks_a_cap(self):
        problem = make_problem(Ev(0.0), prices=[0.1], limit_kw=1.0)
        with pytest.raises(CheckFailed):
            offer_spare(problem, amperes(16), is_open=all_open(problem), order=np.arange(1))


def all_open(problem: DispatchProblem) -> np.ndarray:
    return np.ones((problem.n_session, problem.n_period), dtype=bool)


def amperes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int16)[:, np.newaxis]


class TestFleetProblem:
    def test_has_every_evse_plugged_in_all_day(self):
        grid = charging_day(date(2026, 3, 28))
        area = NetworkArea(
            node_pks=np.array([1]),
            codes=np.array(["street"]),
            kinds=np.array(["feeder"]),
            parent=np.array([-1]),
            rating_kva=np.array([50.0]),
            power_factor=np.ones(1),
            cyclic_factor=np.ones(1),
            diversity=np.array([0.5]),
            ramp_kw=np.array([1.0]),
            n_customers=np.array([0]),
            admd_kw=np.array([1.5]),
        )
        fleet = Fleet(
            evse_pks=np.array([1, 2]),
            evse_ids=np.array(["a", "b"]),
            dsrsp_pks=np.array([1, 1]),
            meter_pks=np.array([1, 2]),
            node=np.array([0, 0]),
            phases=np.array([1, 3]),
            rated_kw=np.array([7.36, 22.08]),
            min_current_a=np.array([6.0, 8.0]),
            scenarios=np.array(["on_street", "on_street"]),
            delay_max_s=np.array([0, 0]),
            enrolled_on=np.array(["2020-01-01"] * 2, dtype="datetime64[D]"),
        )
        cap_kw = np.full((1, 46), 12.0)

        problem = fleet_problem(area, fleet, grid, cap_kw)

        assert problem.session_ids.tolist() == ["a", "b"]
        assert problem.session_start.tolist() == [0, 0]
        assert problem.session_end.tolist() == [46, 46]
        assert problem.session_min_kw == pytest.approx([1.38, 5.52])
        assert (problem.node_limit_kw == 12.0).all()  # the cap holds the diversity and the ramp already
        assert (problem.node_diversity[0], problem.node_ramp_kw[0]) == (1.0, np.inf)
