from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.belief import BeliefRule, InvalidBelief, Need, UsualVisits, believe
from aggregator.core.fleet_state import LEFT, PLUGGED_IN, FleetState, nobody_yet

IDS = np.array(["a", "b"])
QUANTILES = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


def visits(**changed: object) -> UsualVisits:
    """Both plug in between 9 and 13, leave between 30 and 40, take 2 to 10 kWh, and come three days of five."""
    given = {
        "evse_ids": IDS,
        "quantiles": QUANTILES,
        "plug_in": np.tile([9.0, 10.0, 11.0, 12.0, 13.0], (2, 1)),
        "plug_out": np.tile([30.0, 32.0, 36.0, 38.0, 40.0], (2, 1)),
        "energy_kwh": np.tile([2.0, 4.0, 6.0, 8.0, 10.0], (2, 1)),
        "probability": np.array([0.6, 0.6]),
    }
    return UsualVisits(**(given | changed))


def plugged_in(now: int, *, delivered_kwh: float = 0.0, **changed: object) -> FleetState:
    """The first with an EV, the second still awaited."""
    state = nobody_yet(IDS, now=now)
    return replace(
        state,
        presence=np.array([PLUGGED_IN, 0]),
        since=np.array([min(now, 10.0), np.nan]),
        delivered_kwh=np.array([delivered_kwh, 0.0]),
        **changed,
    )


def need(state: FleetState, rule: BeliefRule | None = None, **changed: object) -> Need:
    return believe(
        state, visits(**changed), rated_kw=np.array([7.0, 7.0]), n_period=48, step_h=0.5, rule=rule or BeliefRule()
    )


class TestBelieve:
    def test_takes_the_usual_energy_of_an_ev_that_has_drawn_nothing(self):
        assert need(plugged_in(12)).energy_kwh.tolist() == [pytest.approx(8.0), 0.0]

    def test_wants_the_rest_of_what_visits_took_that_took_more(self):
        """Half its visits took over 6 kWh; of those three quarters took at most 8 + 2 × (0.875 - 0.75) / 0.15."""
        assert need(plugged_in(20, delivered_kwh=6.0)).energy_kwh[0] == pytest.approx(8 + 2 * 0.125 / 0.15 - 6)

    def test_wants_a_little_more_of_one_that_took_more_than_ever(self):
        assert need(plugged_in(20, delivered_kwh=50.0)).energy_kwh[0] == pytest.approx(1.0)

    def test_wants_nothing_for_one_that_stopped_drawing(self):
        full = plugged_in(20, delivered_kwh=6.0, is_full=np.array([True, False]))
        assert need(full).energy_kwh[0] == 0.0

    def test_expects_it_to_leave_at_an_early_quantile_of_what_is_left(self):
        assert need(plugged_in(12)).end[0] == 30
        assert need(plugged_in(12), BeliefRule(leave_quantile=0.5)).end[0] == 36
        assert need(plugged_in(36), BeliefRule(leave_quantile=0.5)).end[0] == 38

    def test_gives_one_that_outstayed_all_visits_one_more_period(self):
        assert need(plugged_in(45)).end[0] == 46
        assert need(plugged_in(47)).end[0] == 48

    def test_believes_what_the_ev_said(self):
        said = plugged_in(12, declared_kwh=np.array([3.5, np.nan]), declared_end=np.array([20.0, np.nan]))
        found = need(said)
        assert (found.energy_kwh[0], found.end[0]) == (3.5, 20)

    def test_believes_no_departure_before_the_period_is_over(self):
        assert need(plugged_in(12, declared_end=np.array([3.0, np.nan]))).end[0] == 13

    def test_waits_for_those_that_usually_come_later(self):
        """At noon by the chance of coming at all; once half its visits would have begun, 0.3 / (0.3 + 0.4)."""
        assert need(plugged_in(0)).chance[1] == pytest.approx(0.6)
        assert need(plugged_in(11)).chance[1] == pytest.approx(0.3 / 0.7)
        assert need(plugged_in(30)).chance[1] == 0.0

    def test_takes_those_that_left_to_be_gone(self):
        left = replace(nobody_yet(IDS, now=12), presence=np.array([LEFT, LEFT]))
        assert not need(left).chance.any()

    def test_refuses_another_fleets_visits(self):
        with pytest.raises(InvalidBelief, match="same EVSEs"):
            need(plugged_in(3), evse_ids=np.array(["b", "a"]))

    @pytest.mark.parametrize("name", ["energy_quantile", "leave_quantile"])
    @pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
    def test_refuses_a_quantile_that_is_none(self, name, value):
        with pytest.raises(InvalidBelief, match=name):
            BeliefRule(**{name: value})

    def test_refuses_visits_without_a_number(self):
        with pytest.raises(InvalidBelief, match="plug_out"):
            visits(plug_out=np.full((2, 5), np.nan))

    @given(
        now=st.integers(0, 47),
        delivered_kwh=st.floats(0, 30),
        rule=st.builds(BeliefRule, energy_quantile=st.floats(0.05, 0.95), leave_quantile=st.floats(0.05, 0.95)),
        spread=st.lists(st.floats(0, 48), min_size=5, max_size=5).map(sorted),
    )
    def test_always_leaves_a_window_and_a_need(self, now, delivered_kwh, rule, spread):
        found = need(plugged_in(now, delivered_kwh=delivered_kwh), rule, plug_out=np.tile(spread, (2, 1)))
        assert now < found.end[0] <= 48
        assert found.energy_kwh[0] > 0
        assert ((found.chance >= 0) & (found.chance <= 1)).all()
