import numpy as np
import pytest

from dispatch.core.problem import TURN_DOWN, FlexRequest, InvalidPlan
from dispatch.core.solve import solve
from dispatch.core.validate import InvalidProblem
from tests.dispatch.core.problems import Ev, make_problem

TWO = (Ev(3.0), Ev(4.0))


def refusal(**changes):
    with pytest.raises(InvalidProblem) as caught:
        make_problem(*TWO, **changes)
    assert caught.value.code == "dispatch.problem_invalid"
    return caught.value


class TestDispatchProblem:
    @pytest.mark.parametrize(
        ("field", "value", "who"),
        [
            ("session_energy_kwh", [3.0, np.nan], "ev-1"),
            ("session_energy_kwh", [-0.1, 1.0], "ev-0"),
            ("session_energy_kwh", [np.inf, 1.0], "ev-0"),
            ("session_max_kw", [7.0, -7.0], "ev-1"),
            ("session_max_kw", [np.inf, 7.0], "ev-0"),
            ("session_min_kw", [np.nan, 1.38], "ev-0"),
            ("session_unserved_gbp_per_kwh", [2.0, np.nan], "ev-1"),
            ("session_unserved_gbp_per_kwh", [2.0, -1.0], "ev-1"),
            ("session_node", [0, 1], "ev-1"),
            ("session_node", [-1, 0], "ev-0"),
            ("session_phases", [1, 2], "ev-1"),
            ("session_start", [-1, 0], "ev-0"),
            ("session_start", [2, 0], "ev-0"),
            ("session_end", [0, 2], "ev-0"),
            ("session_end", [2, 3], "ev-1"),
            ("session_tariff", [0, 1], "ev-1"),
            ("node_diversity", [np.nan], "node-0"),
            ("node_diversity", [1.01], "node-0"),
            ("node_diversity", [-0.5], "node-0"),
            ("node_ramp_kw", [-1.0], "node-0"),
            ("node_ramp_kw", [np.nan], "node-0"),
            ("node_limit_kw", [[5.0, np.nan]], "node-0"),
            ("node_limit_kw", [[-np.inf, 1.0]], "node-0"),
            ("node_parent", [0], "node-0"),
            ("node_parent", [-2], "node-0"),
            ("price_gbp_per_kwh", [[0.1, np.inf]], "0"),
        ],
    )
    def test_refuses_what_cannot_be_meant_by_field_id_and_value(self, field, value, who):
        error = refusal(**{field: np.array(value)})
        assert error.details["field"] == field
        assert error.details["id"] == who
        assert field in error.message
        assert who in error.message
        assert str(error.details["value"]) in error.message

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("session_energy_kwh", np.array([1.0])),
            ("node_limit_kw", np.array([5.0, 5.0])),
            ("node_limit_kw", np.zeros((1, 0))),
            ("price_gbp_per_kwh", np.array([[0.1, 0.2, 0.3]])),
            ("price_gbp_per_kwh", np.array([0.1, 0.2])),
            ("session_start", np.array([0.0, 0.0])),
            ("session_max_kw", np.array(["7", "7"])),
            ("session_max_kw", np.array([True, True])),
            ("node_is_phase", np.array([0])),
            ("session_ids", np.array(["same", "same"])),
            ("session_ids", np.array([1.5, 2.5])),
            ("node_ids", np.array([["node"]])),
            ("step_h", 0.0),
            ("step_h", np.nan),
            ("ramp_gbp_per_kwh", -0.1),
            ("ramp_gbp_per_kwh", np.inf),
        ],
    )
    def test_refuses_wrong_shapes_and_types_by_field(self, field, value):
        assert refusal(**{field: value}).details["field"] == field

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"node": 1}, "node"),
            ({"start": 2, "end": 3}, "start"),
            ({"end": 0}, "end"),
            ({"end": 3}, "end"),
            ({"direction": 0}, "direction"),
            ({"target_kw": -1.0}, "target_kw"),
            ({"target_kw": np.nan}, "target_kw"),
            ({"shortfall_gbp_per_kwh": np.inf}, "shortfall_gbp_per_kwh"),
        ],
    )
    def test_refuses_a_request_it_cannot_place(self, change, named):
        asked = {
            "node": 0,
            "start": 0,
            "end": 1,
            "direction": TURN_DOWN,
            "target_kw": 1.0,
            "shortfall_gbp_per_kwh": 1.0,
        }
        error = refusal(requests=(FlexRequest(**(asked | change)),))
        assert named in error.message
        assert "request 0" in error.message

    @pytest.mark.parametrize("form", ["{}", "evse-{}", "{:08d}", "\U0001f50c{}"])
    def test_tells_shuffled_text_ids_apart_and_finds_the_one_twice(self, form):
        evs, numbers = [Ev(1.0)] * 5_000, np.random.default_rng(1).permutation(5_000)
        ids = np.array([form.format(number) for number in numbers])
        assert make_problem(*evs, session_ids=ids).session_ids.tolist() == ids.tolist()
        ids[4_321] = ids[17]
        with pytest.raises(InvalidProblem) as caught:
            make_problem(*evs, session_ids=ids)
        assert caught.value.details["id"] == ids[17]

    def test_refuses_a_three_phase_session_on_one_phase(self):
        with pytest.raises(InvalidProblem, match="ev-0"):
            make_problem(Ev(3.0, phases=3), parents=(-1, 0), node_is_phase=np.array([False, True]))

    def test_refuses_a_parent_that_comes_after_its_child(self):
        with pytest.raises(InvalidProblem, match="node-0"):
            make_problem(parents=(1, -1))

    def test_names_the_period_of_a_bad_limit(self):
        assert refusal(node_limit_kw=np.array([[5.0, np.nan]])).details["period"] == 1

    def test_takes_no_limit_no_ramp_and_limits_below_zero(self):
        problem = make_problem(*TWO, limit_kw=[[np.inf, -3.0]], node_ramp_kw=np.array([np.inf]))
        assert problem.node_limit_kw[0].tolist() == [np.inf, -3.0]

    def test_takes_integer_ids_and_narrow_numbers(self):
        problem = make_problem(
            *TWO,
            session_ids=np.array([7, 9]),
            session_start=np.array([0, 1], dtype=np.int8),
            session_max_kw=np.array([7, 7], dtype=np.float32),
        )
        assert problem.session_start.dtype == np.int64
        assert problem.session_max_kw.dtype == np.float64

    def test_keeps_its_arrays_from_being_written(self):
        with pytest.raises(ValueError, match="read-only"):
            make_problem(*TWO).session_energy_kwh[0] = 99.0

    def test_may_have_no_session_and_several_roots(self):
        problem = make_problem(parents=(-1, -1))
        assert (problem.n_node, problem.n_session, problem.n_period, problem.n_request) == (2, 0, 2, 0)


class TestDispatchPlan:
    def test_refuses_arrays_that_do_not_belong_together(self):
        plan = solve(make_problem(*TWO), method="greedy")
        values = {name: getattr(plan, name) for name in plan.__slots__}
        with pytest.raises(InvalidPlan, match="unserved_kwh"):
            type(plan)(**(values | {"unserved_kwh": np.zeros(3)}))
        with pytest.raises(InvalidPlan, match="rung"):
            type(plan)(**(values | {"rung": "hopeful"}))
