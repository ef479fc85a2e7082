"""The state machines: each act from each state by each role at each time, and any sequence of acts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from markets.core.trading import (
    BUYER,
    CLOCK,
    CONTRACT,
    DSRSP,
    FLEX_OFFER,
    FLEX_ORDER,
    FLEX_REQUEST,
    MACHINES,
    Machine,
    Transition,
    TransitionRefused,
    next_state,
    state_at,
)

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
# In the order they fall in life: an offer expires, the gate closes, the window starts and ends.
DEADLINES = {
    "expires_at": NOON + 2 * HOUR,
    "gate_closes_at": NOON + 3 * HOUR,
    "dispatch_until": NOON + 5 * HOUR,
    "starts_at": NOON + 6 * HOUR,
    "ends_at": NOON + 8 * HOUR,
}


def ask(machine, state, event, role=BUYER, at=NOON):
    return next_state(machine, state, event, role=role, now=at, deadlines=DEADLINES, name="X/1")


class TestMachines:
    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.thing)
    def test_lead_everywhere_and_to_an_end(self, machine):
        found, level = set(), {machine.initial}
        while level - found:
            found |= level
            level = {one.target for one in machine.transitions if one.sources & found}
        assert found == set(machine.states)
        assert machine.final
        assert machine.deadlines <= set(DEADLINES)

    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.thing)
    def test_name_states_they_have(self, machine):
        for one in machine.transitions:
            assert {*one.sources, one.target} <= set(machine.states)
            assert one.roles == {CLOCK} or CLOCK not in one.roles

    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.thing)
    def test_do_what_their_table_says_and_refuse_the_rest(self, machine):
        times = sorted({NOON, *DEADLINES.values(), *(at - timedelta(seconds=1) for at in DEADLINES.values())})
        for state, event, role, at in product(machine.states, sorted(machine.events), (BUYER, DSRSP), times):
            now_in = state_at(machine, state, now=at, deadlines=DEADLINES)
            allowed = [
                one.target
                for one in machine.transitions
                if one.event == event
                and role in one.roles
                and now_in in one.sources
                and all(at < DEADLINES[name] for name in one.before)
                and (not one.after or at >= DEADLINES[one.after])
            ]
            if allowed:
                assert ask(machine, state, event, role, at) == allowed[0]
            else:
                with pytest.raises(TransitionRefused) as refused:
                    ask(machine, state, event, role, at)
                assert event in refused.value.message
                assert refused.value.details["state"] == now_in


class TestNextState:
    def test_accepts_an_offer_in_time(self):
        assert ask(FLEX_OFFER, "submitted", "accept") == "accepted"

    def test_names_who_may_act(self):
        with pytest.raises(TransitionRefused, match="the dsrsp asked to accept flex offer X/1, which is for the buyer"):
            ask(FLEX_OFFER, "submitted", "accept", DSRSP)

    def test_names_the_state_and_the_deadline_that_passed(self):
        with pytest.raises(
            TransitionRefused,
            match=r"which is expired since its expires_at, 2026-01-14T14:00:00.00:00, expected submit",
        ):
            ask(FLEX_OFFER, "submitted", "accept", at=NOON + 2 * HOUR)

    def test_names_the_deadline_that_is_missed(self):
        with pytest.raises(TransitionRefused, match="before its dispatch_until, 2026-01-14T17:00") as refused:
            ask(FLEX_ORDER, "ordered", "dispatch", at=NOON + 5 * HOUR)
        assert refused.value.details["deadline"] == "dispatch_until"

    def test_stops_only_what_is_under_way(self):
        with pytest.raises(TransitionRefused, match="before its starts_at"):
            ask(FLEX_ORDER, "dispatched", "stop")
        assert ask(FLEX_ORDER, "dispatched", "stop", at=NOON + 6 * HOUR) == "stopped"

    def test_cancels_only_before_delivery(self):
        assert ask(FLEX_ORDER, "dispatched", "cancel") == "cancelled"
        with pytest.raises(TransitionRefused):
            ask(FLEX_ORDER, "dispatched", "cancel", at=NOON + 6 * HOUR)

    def test_takes_no_offer_after_the_gate(self):
        assert ask(FLEX_REQUEST, "published", "offer on", DSRSP) == "published"
        with pytest.raises(TransitionRefused, match="is closed since its expires_at"):
            ask(FLEX_REQUEST, "published", "offer on", DSRSP, at=NOON + 2 * HOUR)

    def test_lets_both_sides_end_a_contract(self):
        assert {ask(CONTRACT, "in_force", "end", role) for role in (BUYER, DSRSP)} == {"ended"}


class _Life(RuleBasedStateMachine):
    """Any acts by anybody while time passes: no final state is left, and nothing happens out of its time."""

    machine = FLEX_OFFER

    def __init__(self) -> None:
        super().__init__()
        self.now, self.state = NOON, self.machine.initial
        self.passed = [self.state]

    @rule(minutes=st.integers(0, 200))
    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule(number=st.integers(0, 20), role=st.sampled_from([BUYER, DSRSP]))
    def act(self, number, role):
        events = sorted(self.machine.events)
        event = events[number % len(events)]
        standing = state_at(self.machine, self.state, now=self.now, deadlines=DEADLINES)
        try:
            found = ask(self.machine, self.state, event, role, self.now)
        except TransitionRefused:
            return
        made = [
            one
            for one in self.machine.transitions
            if one.event == event and standing in one.sources and one.target == found and role in one.roles
        ]
        assert made
        assert all(self.now < DEADLINES[name] for name in made[0].before)
        self.passed += [standing, found] if standing != self.state else [found]
        self.state = found

    @precondition(lambda self: self.state in self.machine.final)
    @rule(number=st.integers(0, 20), role=st.sampled_from([BUYER, DSRSP]))
    def leave_an_end(self, number, role):
        events = sorted(self.machine.events)
        with pytest.raises(TransitionRefused):
            ask(self.machine, self.state, events[number % len(events)], role, self.now)

    @invariant()
    def is_one_path(self):
        steps = {(source, one.target) for one in self.machine.transitions for source in one.sources}
        assert all(step in steps for step in pairwise(self.passed))

    @invariant()
    def stands_where_time_put_it_and_stays(self):
        standing = state_at(self.machine, self.state, now=self.now, deadlines=DEADLINES)
        assert state_at(self.machine, standing, now=self.now, deadlines=DEADLINES) == standing


class _OrderLife(_Life):
    machine = FLEX_ORDER


class _RequestLife(_Life):
    machine = FLEX_REQUEST


class _ContractLife(_Life):
    machine = CONTRACT


TestOfferLife = _Life.TestCase
TestOrderLife = _OrderLife.TestCase
TestRequestLife = _RequestLife.TestCase
TestContractLife = _ContractLife.TestCase


class TestMethodsPage:
    PAGE = (Path(__file__).resolve().parents[3] / "docs/methods/trading.md").read_text()

    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.thing)
    def test_tells_every_transition_as_it_is(self, machine):
        section = self.PAGE.split(f"### {machine.thing.capitalize()}\n")[1].split("\n#")[0]
        told = [line for line in section.splitlines() if line.startswith("| ")][1:]
        assert told == [self.row(machine, one) for one in machine.transitions]

    @staticmethod
    def row(machine: Machine, one: Transition) -> str:
        sources = ", ".join(f"`{state}`" for state in machine.states if state in one.sources)
        after = f"`{one.after}`" if one.after else "–"
        before = ", ".join(f"`{name}`" for name in one.before) or "–"
        return f"| {one.event} | {sources} | `{one.target}` | {' or '.join(sorted(one.roles))} | {after} | {before} |"
