from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from aggregator.core.fleet import Fleet, ForecastSessions
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import NotOnGrid, charging_day
from dispatch.core.assemble import (
    Assembled,
    InvalidRunParameters,
    RunParameters,
    SessionWithoutEvse,
    assemble_problem,
    request_window,
)
from dispatch.core.network import share_matrix
from dispatch.core.problem import TURN_DOWN, FlexRequest
from dispatch.core.solve import solve
from dispatch.core.validate import InvalidProblem

GRID = charging_day(date(2026, 1, 15))

# feeder 0 with phases 1, 2, 3; beside it the fleet: one three-phase and one of unknown phase on the feeder, one on C
AREA = NetworkArea(
    node_pks=np.array([10, 11, 12, 13]),
    codes=np.array(["street", "street-A", "street-B", "street-C"]),
    kinds=np.array(["feeder", "phase", "phase", "phase"]),
    parent=np.array([-1, 0, 0, 0]),
    rating_kva=np.array([100.0, 40.0, 40.0, 40.0]),
    power_factor=np.full(4, 0.95),
    cyclic_factor=np.full(4, 1.2),
    diversity=np.ones(4),
    ramp_kw=np.array([6.0, np.inf, np.inf, np.inf]),
    n_customers=np.array([0, 10, 10, 10]),
    admd_kw=np.full(4, 1.5),
)
FLEET = Fleet(
    evse_pks=np.array([1, 2, 3]),
    evse_ids=np.array(["evse_a", "evse_b", "evse_c"]),
    dsrsp_pks=np.array([7, 8, 7]),
    meter_pks=np.array([21, 22, 23]),
    node=np.array([0, 0, 3]),
    phases=np.array([3, 1, 1]),
    rated_kw=np.array([22.08, 7.36, 3.68]),
    min_current_a=np.array([6.0, 8.0, 6.0]),
    scenarios=np.array(["off_street_residential"] * 3),
    delay_max_s=np.full(3, 600),
    enrolled_on=np.array(["2020-01-01"] * 3, dtype="datetime64[D]"),
)


def sessions(*evse_ids: str) -> ForecastSessions:
    n = len(evse_ids)
    return ForecastSessions(
        evse_pks=np.array([ord(evse_id[-1]) - ord("a") + 1 for evse_id in evse_ids], dtype=np.int64),
        evse_ids=np.array(evse_ids, dtype=np.str_),
        start=np.arange(n) + 10,
        end=np.arange(n) + 30,
        energy_kwh=np.arange(n) + 8.0,
        probability=np.full(n, 0.9),
    )


def assemble(
    *,
    area: NetworkArea = AREA,
    fleet: Fleet = FLEET,
    planned: ForecastSessions | None = None,
    background_kw: float | np.ndarray = 20.0,
    reserve_kw: float = 2.0,
    price: float = 0.2,
    carbon: float = 0.0,
    requests: tuple[FlexRequest, ...] = (),
    parameters: RunParameters | None = None,
) -> Assembled:
    shape = (area.n_node, GRID.n_period)
    return assemble_problem(
        area=area,
        fleet=fleet,
        sessions=sessions("evse_a", "evse_b", "evse_c") if planned is None else planned,
        grid=GRID,
        background_kw=np.array(np.broadcast_to(background_kw, shape)),
        reserve_kw=np.full(shape, reserve_kw),
        price_gbp_per_kwh=np.full(GRID.n_period, price),
        carbon_gco2_per_kwh=np.full(GRID.n_period, carbon),
        requests=requests,
        parameters=parameters or RunParameters(),
    )


class TestAssembleProblem:
    def test_leaves_the_rating_less_background_and_reserve(self):
        made = assemble()
        assert made.rating_kw == pytest.approx([114.0, 45.6, 45.6, 45.6])  # kVA x 0.95 x 1.2
        assert made.limit_kw[:, 0] == pytest.approx([92.0, 23.6, 23.6, 23.6])
        np.testing.assert_array_equal(made.problem.node_limit_kw, made.limit_kw)
        assert made.findings == ()

    def test_gives_each_session_its_own_evse(self):
        problem = assemble().problem
        assert problem.session_ids.tolist() == ["evse_a", "evse_b", "evse_c"]
        assert problem.session_node.tolist() == [0, 0, 3]
        assert problem.session_phases.tolist() == [3, 1, 1]
        assert problem.session_max_kw.tolist() == [22.08, 7.36, 3.68]
        assert problem.session_min_kw == pytest.approx([6 * 0.23 * 3, 8 * 0.23, 6 * 0.23])
        assert problem.session_start.tolist() == [10, 11, 12]
        assert problem.session_end.tolist() == [30, 31, 32]
        assert problem.session_energy_kwh.tolist() == [8.0, 9.0, 10.0]
        assert problem.step_h == 0.5

    def test_matches_by_id_and_never_by_position(self):
        made = assemble(planned=sessions("evse_c", "evse_a"))
        assert made.evse.tolist() == [2, 0]
        assert made.problem.session_max_kw.tolist() == [3.68, 22.08]

    def test_matches_a_fleet_in_any_order(self):
        turned = replace(
            FLEET,
            **{
                name: getattr(FLEET, name)[::-1]
                for name in ("evse_pks", "evse_ids", "node", "phases", "rated_kw", "min_current_a")
            },
        )
        made = assemble(fleet=turned, planned=sessions("evse_a", "evse_b"))
        assert made.evse.tolist() == [2, 1]
        assert made.problem.session_max_kw.tolist() == [22.08, 7.36]

    def test_loads_the_phases_by_a_third_or_by_the_worst(self):
        shares = share_matrix(assemble().problem).toarray()
        np.testing.assert_allclose(shares[:, 0], [1, 1 / 3, 1 / 3, 1 / 3])
        np.testing.assert_allclose(shares[:, 1], [1, 1, 1, 1])
        np.testing.assert_allclose(shares[:, 2], [1, 0, 0, 1])

    def test_prices_carbon_by_its_weight(self):
        parameters = RunParameters(carbon_gbp_per_tonne=50.0)
        problem = assemble(price=0.20, carbon=300.0, parameters=parameters).problem
        np.testing.assert_allclose(problem.price_gbp_per_kwh, 0.215)  # 300 g at 50 GBP/t is 1.5 p

    def test_takes_weights_from_the_parameters(self):
        problem = assemble(parameters=RunParameters(unserved_gbp_per_kwh=3.5, ramp_gbp_per_kwh=0.7)).problem
        assert problem.session_unserved_gbp_per_kwh.tolist() == [3.5] * 3
        assert problem.ramp_gbp_per_kwh == 0.7
        assert problem.node_ramp_kw.tolist() == [6.0, np.inf, np.inf, np.inf]

    @pytest.mark.parametrize("unknown", [("evse_x",), ("evse_a", "evse_x"), ("evse_d", "evse_e")])
    def test_refuses_a_session_of_an_evse_that_is_not_there(self, unknown):
        with pytest.raises(SessionWithoutEvse) as refused:
            assemble(planned=sessions(*unknown))
        assert refused.value.details["evse"] == next(evse for evse in unknown if evse not in FLEET.evse_ids)

    def test_refuses_a_session_of_an_empty_fleet(self):
        with pytest.raises(SessionWithoutEvse):
            assemble(fleet=_nobody(), planned=sessions("evse_a"))

    @pytest.mark.parametrize("fleet", [FLEET, None], ids=["fleet", "nobody"])
    def test_plans_nothing_where_nobody_is_expected(self, fleet):
        made = assemble(fleet=fleet or _nobody(), planned=sessions())
        plan = solve(made.problem)
        assert (made.problem.n_session, plan.cost_gbp, plan.max_violation_kw) == (0, 0.0, 0.0)

    def test_names_a_node_that_is_over_its_rating_before_any_ev(self):
        background_kw = np.full((4, GRID.n_period), 20.0)
        background_kw[1, 5] = 50.0
        made = assemble(background_kw=background_kw)
        assert [(note.code, note.subject, note.severity) for note in made.findings] == [
            ("network.no_headroom", "street-A", "alarm")
        ]
        assert made.findings[0].details["over_kw"] == pytest.approx(50.0 + 2.0 - 45.6)
        assert made.limit_kw[1, 5] == pytest.approx(45.6 - 52.0)
        assert made.network.cap_kw[1, 5] == 0.0

    @pytest.mark.parametrize("background_kw", [112.0, 500.0])
    def test_leaves_everything_unserved_where_no_headroom_is_left(self, background_kw):
        """112 kW and 2 kW of reserve use the feeder up exactly; 500 kW is far above it."""
        made = assemble(background_kw=np.array([[background_kw], [0.0], [0.0], [0.0]]))
        plan = solve(made.problem)
        assert plan.rounded_unserved_kwh == pytest.approx([8.0, 9.0, 10.0])
        assert not plan.setpoint_a.any()

    def test_holds_a_node_without_rating_to_half_of_the_connected_evs(self):
        area = replace(AREA, rating_kva=np.full(4, np.inf), diversity=np.full(4, 0.5))
        made = assemble(area=area)
        assert [(note.code, note.subject) for note in made.findings] == [
            ("network.no_rating", code) for code in area.codes.tolist()
        ]
        all_connected = made.network.cap_kw[:, 15]
        assert all_connected == pytest.approx(
            [0.5 * (22.08 + 7.36 + 3.68), 0.5 * (7.36 + 7.36), 0.5 * (7.36 + 7.36), 0.5 * (7.36 + 7.36 + 3.68)]
        )

    def test_keeps_the_rating_where_no_phase_has_one(self):
        area = replace(AREA, rating_kva=np.array([100.0, np.inf, np.inf, np.inf]))
        made = assemble(area=area)
        assert made.rating_kw[0] == 114.0
        assert np.isinf(made.rating_kw[1:]).all()
        assert len(made.findings) == 3

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_refuses_a_price_that_is_no_number(self, bad):
        with pytest.raises(InvalidProblem):
            assemble(price=bad)

    @pytest.mark.parametrize("target_kw", [-1.0, np.nan, np.inf])
    def test_refuses_a_target_that_is_no_power(self, target_kw):
        with pytest.raises(InvalidProblem):
            assemble(requests=(FlexRequest(0, 0, 4, TURN_DOWN, target_kw, 1.0),))

    def test_refuses_a_three_phase_evse_on_one_phase(self):
        with pytest.raises(InvalidProblem, match="evse_a"):
            assemble(fleet=replace(FLEET, node=np.array([1, 0, 3])))


def _nobody() -> Fleet:
    return Fleet(**{name: getattr(FLEET, name)[:0] for name in FLEET.__dataclass_fields__})


class TestRunParameters:
    @pytest.mark.parametrize(
        "field", ["unserved_gbp_per_kwh", "carbon_gbp_per_tonne", "ramp_gbp_per_kwh", "gap", "time_limit_s"]
    )
    @pytest.mark.parametrize("value", [-0.01, np.nan, np.inf, 1e7])
    def test_refuses_what_cannot_be_meant_or_stored(self, field, value):
        with pytest.raises(InvalidRunParameters, match=field):
            RunParameters(**{field: value})

    @pytest.mark.parametrize("field", ["background_quantile", "override_alpha", "spare_price_share"])
    @pytest.mark.parametrize("value", [0.0, 1.0, -0.5, np.nan])
    def test_refuses_a_share_outside_0_to_1(self, field, value):
        with pytest.raises(InvalidRunParameters, match=field):
            RunParameters(**{field: value})

    @pytest.mark.parametrize("days", [0, -7])
    def test_refuses_to_look_back_on_no_day(self, days):
        with pytest.raises(InvalidRunParameters):
            RunParameters(background_days=days)


class TestRequestWindow:
    @pytest.mark.parametrize(
        ("starts", "ends", "window"),
        [
            (0, 48, (0, 48)),
            (10, 14, (10, 14)),
            (-4, 2, (0, 2)),
            (46, 60, (46, 48)),
            (-9, 99, (0, 48)),
            (47, 48, (47, 48)),
        ],
    )
    def test_keeps_the_part_that_lies_on_the_grid(self, starts, ends, window):
        assert request_window(GRID, reference="r", starts=starts, ends=ends) == window

    @pytest.mark.parametrize(("starts", "ends"), [(-4, 0), (48, 52), (-9, -5), (50, 60), (5, 5)])
    def test_refuses_one_that_lies_elsewhere(self, starts, ends):
        with pytest.raises(NotOnGrid, match="request r"):
            request_window(GRID, reference="r", starts=starts, ends=ends)
