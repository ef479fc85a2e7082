import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.scenario import drawn_power_kw, node_power_kw, uncontrolled_power_kw
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, serveable_kwh
from tests.strategies import dispatch_problems


class TestUncontrolledPowerKw:
    def test_charges_at_full_power_from_plug_in_until_full(self):
        # 10 kWh at 7 kW from period 1: a full hour, then 3 kWh in the next, nothing after.
        problem = make_problem(Ev(10.0, start=1), prices=(0.1, 0.1, 0.1, 0.1))
        assert uncontrolled_power_kw(problem).tolist() == [[0.0, 7.0, 3.0, 0.0]]

    def test_stops_at_departure_and_heeds_no_limit(self):
        problem = make_problem(Ev(50.0, end=1), limit_kw=1.0)
        assert uncontrolled_power_kw(problem).tolist() == [[7.0, 0.0]]

    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems())
    def test_delivers_all_a_session_could_take(self, problem):
        power_kw = uncontrolled_power_kw(problem)
        np.testing.assert_allclose(problem.step_h * power_kw.sum(axis=1), serveable_kwh(problem), atol=1e-9)
        assert (power_kw <= problem.session_max_kw[:, np.newaxis]).all()


class TestDrawnPowerKw:
    def test_stops_when_the_energy_is_in(self):
        assert drawn_power_kw(make_problem(Ev(5.0)), np.array([[4.0, 4.0]])) == pytest.approx(np.array([[4.0, 1.0]]))


class TestNodePowerKw:
    @settings(max_examples=30, deadline=None)
    @given(problem=dispatch_problems())
    def test_adds_every_session_at_each_node_it_loads(self, problem):
        power_kw = uncontrolled_power_kw(problem)
        np.testing.assert_allclose(node_power_kw(problem, power_kw), added_up_kw(problem, power_kw), atol=1e-9)
