import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from aggregator.core.control import ActFigures
from aggregator.core.errors import FlexError
from aggregator.models import ControlAct, Event, Membership, Organisation, acting_for, known_as
from aggregator.services.control_acts import (
    ControlActDecided,
    ControlActExpired,
    ControlActRefused,
    MayNotDecide,
    NeedsAnotherPerson,
    NeedsAPerson,
    UnknownControlAct,
    approve_control_act,
    ask_control_act,
    expire_control_acts,
    refuse_control_act,
)
from aggregator.services.event_log import verify_events
from tests.factories import make_dno, make_organisation

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KIND = "request_dispatch"
SMALL, LARGE = ActFigures(total_mw=0.4), ActFigures(total_mw=5.0)
DONE: list[int] = []  # acts the service below did
NOW_MOVES = {"figures": LARGE}  # what the acts move when they are looked at again


class WindowStarted(FlexError):
    code = "test.window_started"


def do_it(*, act: ControlAct, now: datetime) -> dict[str, object]:
    DONE.append(act.pk)
    return {"done_for": act.subject, "at": now.isoformat()}


def cannot(*, act: ControlAct, now: datetime) -> dict[str, object]:
    make_organisation("left-behind")
    raise WindowStarted("the window has started", node="F1")


def crashes(*, act: ControlAct, now: datetime) -> dict[str, object]:
    raise ZeroDivisionError


def figures_now(*, payload: dict, organisation: Organisation, now: datetime) -> ActFigures:
    return NOW_MOVES["figures"]


@pytest.fixture(autouse=True)
def acts(settings):
    settings.CONTROL_ACTS = dict.fromkeys(settings.CONTROL_ACTS, f"{__name__}.do_it")
    settings.CONTROL_FIGURES = dict.fromkeys(settings.CONTROL_ACTS, f"{__name__}.figures_now")
    NOW_MOVES["figures"] = LARGE
    DONE.clear()


def person(name: str, role: str = "control_room_supervisor", organisation: Organisation | None = None) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(user=user, organisation=organisation or make_dno(), role=role)
    return user


@pytest.fixture
def asker() -> User:
    return person("northmoor.control")


@pytest.fixture
def second() -> User:
    return person("northmoor.supervisor")


def ask(by: User | None, figures: ActFigures = LARGE, **stated: object) -> ControlAct:
    fields = {
        "kind": KIND,
        "organisation": make_dno(),
        "subject": "NORTH-1",
        "payload": {"node": "F1"},
        "reason": "cable fault",
        "now": NOW,
    }
    with known_as(f"person:{by.username}" if by else "machine:client"):
        return ask_control_act(**{**fields, **stated}, figures=figures, asked_by_pk=by.pk if by else None)


def approve(act: ControlAct, by: User, now: datetime = NOW + MINUTE) -> ControlAct:
    with known_as(f"person:{by.username}"):
        return approve_control_act(act_pk=act.pk, organisation=act.organisation, user_pk=by.pk, now=now)


def refuse(act: ControlAct, by: User, now: datetime = NOW + MINUTE, reason: str = "not today") -> ControlAct:
    return refuse_control_act(act_pk=act.pk, organisation=act.organisation, user_pk=by.pk, reason=reason, now=now)


def stored(act: ControlAct) -> ControlAct:
    return ControlAct.objects.across_tenants().get(pk=act.pk)


def log_of(act: ControlAct) -> list[tuple[str, str]]:
    events = Event.objects.across_tenants().filter(subject__startswith=f"control act {act.pk},").order_by("sequence")
    return list(events.values_list("action", "actor"))


def together(*work: Callable[[], T]) -> list[T | FlexError]:
    """Do all at once, each over a connection of its own."""
    start = threading.Barrier(len(work))

    def one(do: Callable[[], T]) -> T | FlexError:
        try:
            connection.ensure_connection()
            start.wait(timeout=60)
            return do()
        except FlexError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


class TestAskControlAct:
    def test_does_a_small_act_at_once(self, asker):
        act = ask(asker, SMALL)
        assert [act.pk] == DONE
        act = stored(act)
        assert (act.state, act.exceeded, act.decided_by) == ("done", [], None)
        assert act.outcome == {"done_for": "NORTH-1", "at": NOW.isoformat()}
        name = f"person:{asker.username}"
        assert log_of(act) == [("control_act.asked", name), ("control_act.done", name)]

    def test_keeps_a_large_act_waiting(self, asker):
        act = stored(ask(asker))
        assert (act.state, act.exceeded, DONE) == ("pending", ["total_mw"], [])
        assert act.expires_at == NOW + timedelta(hours=1)
        assert log_of(act) == [("control_act.asked", f"person:{asker.username}")]
        event = Event.objects.across_tenants().get()
        assert (event.reason, event.organisation, event.before) == ("cable fault", make_dno(), None)
        assert (event.after["state"], event.after["figures"]["total_mw"]) == ("pending", 5.0)

    @pytest.mark.parametrize(
        ("total_mw", "state"), [(0.9, "done"), (1.0, "done"), (1.01, "pending"), (10.0, "pending")]
    )
    def test_goes_by_the_threshold(self, asker, total_mw, state):
        assert ask(asker, ActFigures(total_mw=total_mw)).state == state

    @pytest.mark.parametrize("figures", [ActFigures(n_limits=1), ActFigures(n_statements=1)])
    def test_always_asks_two_people_for_limits_and_statements(self, asker, figures):
        assert ask(asker, figures).state == "pending"

    def test_lets_a_machine_ask(self):
        assert [ask(None, figures).state for figures in (SMALL, LARGE)] == ["done", "pending"]
        assert set(ControlAct.objects.across_tenants().values_list("asked_as", flat=True)) == {"machine:client"}

    def test_works_behind_the_askers_own_wall(self, asker):
        with acting_for(make_dno()):
            assert [ask(asker, figures).state for figures in (SMALL, LARGE)] == ["done", "pending"]

    @pytest.mark.parametrize("reason", ["", "  ", "ab", " ab ", "x" * 501])
    def test_refuses_a_reason_that_is_none(self, asker, reason):
        with pytest.raises(ControlActRefused) as refused:
            ask(asker, reason=reason)
        assert refused.value.details["field"] == "reason"
        assert not ControlAct.objects.across_tenants().exists()

    @pytest.mark.parametrize("reason", ["abc", "x" * 500])
    def test_takes_a_reason_of_3_to_500_characters(self, asker, reason):
        assert stored(ask(asker, reason=reason)).reason == reason

    def test_refuses_an_unknown_kind(self, asker):
        with pytest.raises(ControlActRefused, match="launch"):
            ask(asker, kind="launch")

    def test_keeps_nothing_of_an_act_its_service_refuses(self, asker, settings):
        settings.CONTROL_ACTS = {KIND: f"{__name__}.cannot"}
        with pytest.raises(WindowStarted):
            ask(asker, SMALL)
        assert not ControlAct.objects.across_tenants().exists()
        assert not Event.objects.across_tenants().exists()
        assert not Organisation.objects.filter(code="left-behind").exists()

    def test_waits_no_longer_than_the_act_makes_sense(self, asker):
        assert ask(asker, not_after=NOW + 5 * MINUTE).expires_at == NOW + 5 * MINUTE
        with pytest.raises(ControlActRefused, match="past"):
            ask(asker, not_after=NOW)


class TestSplitting:
    def test_counts_parts_of_the_last_ten_minutes_together(self, asker):
        states = [ask(asker, SMALL, now=NOW + number * MINUTE).state for number in range(4)]
        assert states == ["done", "done", "pending", "pending"]

    def test_counts_another_persons_parts_too(self, asker, second):
        assert [ask(by, SMALL).state for by in (asker, second, None)] == ["done", "done", "pending"]

    @pytest.mark.parametrize(
        "part", [ActFigures(total_mw=0.6), ActFigures(mw_per_minute=0.3), ActFigures(n_evse=300)], ids=str
    )
    def test_counts_power_speed_and_evses(self, asker, part):
        assert [ask(asker, part).state for _ in range(2)] == ["done", "pending"]

    def test_counts_what_only_waits(self, asker):
        ask(asker, ActFigures(n_evse=501))
        assert ask(asker, ActFigures(n_evse=1)).state == "pending"

    def test_forgets_what_is_older_and_what_was_refused(self, asker, second):
        ask(asker, ActFigures(total_mw=0.9))
        assert ask(asker, ActFigures(total_mw=0.9), now=NOW + 10 * MINUTE).state == "done"
        refuse(ask(asker, now=NOW + 21 * MINUTE), second, NOW + 22 * MINUTE)
        assert ask(asker, ActFigures(total_mw=0.9), now=NOW + 23 * MINUTE).state == "done"

    def test_counts_what_was_approved_lately_though_asked_long_ago(self, asker, second):
        act = ask(asker)
        approve(act, second, NOW + 50 * MINUTE)
        assert ask(asker, SMALL, now=NOW + 55 * MINUTE).state == "pending"

    def test_counts_neither_another_kind_nor_another_organisation(self, asker):
        part = ActFigures(total_mw=0.9)
        assert ask(asker, part).state == "done"
        assert ask(asker, part, kind="change_limits").state == "done"
        assert ask(None, part, organisation=make_dno("southmoor")).state == "done"

    @committed
    def test_counts_parts_asked_at_the_same_time(self, asker):
        make_dno()
        acts = together(*[lambda: ask(asker, ActFigures(total_mw=0.3))] * 8)
        states = [act.state for act in acts]
        assert (states.count("done"), states.count("pending"), len(DONE)) == (3, 5, 3)
        assert verify_events().is_intact


class TestApproveControlAct:
    def test_does_it_on_a_second_persons_word(self, asker, second):
        act = approve(ask(asker), second)
        assert [act.pk] == DONE
        act = stored(act)
        assert (act.state, act.decided_by, act.decided_at) == ("done", second, NOW + MINUTE)
        first, other = f"person:{asker.username}", f"person:{second.username}"
        assert log_of(act) == [
            ("control_act.asked", first),
            ("control_act.approved", other),
            ("control_act.done", other),
        ]

    def test_works_behind_the_persons_own_wall(self, asker, second):
        act = ask(asker)
        with acting_for(make_dno()):
            assert approve(act, second).state == "done"

    def test_takes_one_persons_word_on_what_a_machine_asked(self, second):
        assert approve(ask(None), second).state == "done"

    def test_refuses_the_one_who_asked(self, asker):
        act = ask(asker)
        with pytest.raises(NeedsAnotherPerson):
            approve(act, asker)
        assert (stored(act).state, DONE) == ("pending", [])

    def test_refuses_a_machine(self, asker):
        act = ask(asker)
        with pytest.raises(NeedsAPerson):
            approve_control_act(act_pk=act.pk, organisation=act.organisation, user_pk=None, now=NOW)

    @pytest.mark.parametrize(
        ("role", "kind", "may"),
        [
            ("control_room_operator", "dno", False),
            ("auditor", "dno", False),
            ("admin", "dno", False),
            ("control_room_supervisor", "dsrsp", False),
            ("control_room_supervisor", "dno", True),
        ],
    )
    def test_refuses_who_may_not(self, asker, role, kind, may):
        act = ask(asker, organisation=make_organisation(f"own-{kind}", kind))
        other = person("other", role, act.organisation)
        if may:
            assert approve(act, other).state == "done"
            return
        with pytest.raises(MayNotDecide):
            approve(act, other)
        assert stored(act).state == "pending"

    def test_refuses_a_person_of_another_organisation_or_of_none_any_more(self, asker, second):
        act = ask(asker)
        with pytest.raises(MayNotDecide):
            approve(act, person("guest", organisation=make_dno("southmoor")))
        User.objects.filter(pk=second.pk).update(is_active=False)
        with pytest.raises(MayNotDecide):
            approve(act, second)

    def test_knows_no_act_of_another_organisation(self, asker, second):
        act = ask(asker)
        with pytest.raises(UnknownControlAct):
            approve_control_act(act_pk=act.pk, organisation=make_dno("southmoor"), user_pk=second.pk, now=NOW)
        with pytest.raises(UnknownControlAct):
            approve_control_act(act_pk=0, organisation=act.organisation, user_pk=second.pk, now=NOW)

    def test_refuses_one_that_was_decided(self, asker, second):
        for close in (approve, refuse):
            act = ask(asker)
            close(act, second)
            for again in (approve, refuse):
                with pytest.raises(ControlActDecided):
                    again(act, second)

    def test_refuses_one_that_expired_and_says_so_in_its_row(self, asker, second):
        act = ask(asker)
        for _ in range(2):
            with pytest.raises(ControlActExpired):
                approve(act, second, act.expires_at)
        assert (stored(act).state, DONE) == ("expired", [])
        assert [action for action, _ in log_of(act)] == ["control_act.asked", "control_act.expired"]

    def test_does_it_until_the_last_moment(self, asker, second):
        act = ask(asker)
        assert approve(act, second, act.expires_at - timedelta(microseconds=1)).state == "done"

    def test_keeps_why_it_could_not_be_done(self, asker, second, settings):
        act = ask(asker)
        settings.CONTROL_ACTS = {KIND: f"{__name__}.cannot"}
        act = stored(approve(act, second))
        assert (act.state, act.decided_by) == ("failed", second)
        assert act.outcome == {
            "code": "test.window_started",
            "message": "the window has started",
            "details": {"node": "F1"},
        }
        assert not Organisation.objects.filter(code="left-behind").exists()
        assert log_of(act)[-1] == ("control_act.failed", f"person:{second.username}")
        with pytest.raises(ControlActDecided):
            approve(act, second)

    def test_leaves_it_waiting_where_its_service_crashes(self, asker, second, settings):
        act = ask(asker)
        settings.CONTROL_ACTS = {KIND: f"{__name__}.crashes"}
        with pytest.raises(ZeroDivisionError):
            approve(act, second)
        assert stored(act).state == "pending"

    def test_does_not_do_what_has_grown_past_another_threshold(self, asker, second):
        act = ask(asker)
        NOW_MOVES["figures"] = ActFigures(total_mw=50.0, n_evse=501)
        act = approve(act, second)
        assert (act.state, act.outcome["code"], DONE) == ("failed", "control.grown", [])
        assert "501 EVSEs" in act.outcome["message"]

    def test_does_what_has_grown_past_no_other_threshold(self, asker, second):
        act = ask(asker)
        NOW_MOVES["figures"] = ActFigures(total_mw=50.0, n_evse=500)
        assert approve(act, second).state == "done"

    @committed
    def test_is_done_once_though_two_approve_at_once(self, asker, second):
        third = person("northmoor.second-supervisor")
        act = ask(asker)
        answers = together(lambda: approve(act, second), lambda: approve(act, third), lambda: refuse(act, third))
        assert sum(isinstance(answer, ControlAct) for answer in answers) == 1
        assert sum(isinstance(answer, ControlActDecided) for answer in answers) == 2
        assert len(DONE) == (stored(act).state == "done")
        assert len(log_of(act)) in (2, 3)

    @committed
    def test_is_expired_or_done_but_not_both(self, asker, second):
        for _ in range(5):
            act = ask(asker)
            together(partial(approve, act, second), partial(expire_control_acts, now=act.expires_at))
            closes = [action for action, _ in log_of(act) if action in ("control_act.done", "control_act.expired")]
            assert closes == [f"control_act.{stored(act).state}"]


class TestRefuseControlAct:
    def test_keeps_who_refused_and_why(self, asker, second):
        act = stored(refuse(ask(asker), second))
        assert (act.state, act.decided_by, act.outcome, DONE) == ("refused", second, {"reason": "not today"}, [])
        event = Event.objects.across_tenants().get(action="control_act.refused")
        assert (event.before, event.after["state"], event.reason) == ({"state": "pending"}, "refused", "not today")

    def test_lets_people_take_their_own_back(self):
        operator = person("operator", "control_room_operator")
        assert refuse(ask(operator), operator).state == "refused"

    def test_asks_for_a_reason_a_person_and_a_role(self, asker, second):
        act = ask(asker)
        with pytest.raises(ControlActRefused):
            refuse(act, second, reason="no")
        with pytest.raises(MayNotDecide):
            refuse(act, person("other", "control_room_operator"))
        with pytest.raises(NeedsAPerson):
            refuse_control_act(act_pk=act.pk, organisation=act.organisation, user_pk=None, reason="not today", now=NOW)
        with pytest.raises(ControlActExpired):
            refuse(act, second, act.expires_at)


class TestExpireControlActs:
    def test_closes_what_nobody_agreed_to_in_time(self, asker, second):
        late, early = ask(asker), ask(asker, now=NOW + MINUTE)
        done = approve(ask(asker), second)
        assert expire_control_acts(now=late.expires_at) == 1
        assert [stored(act).state for act in (late, early, done)] == ["expired", "pending", "done"]
        assert expire_control_acts(now=late.expires_at) == 0


class TestTwoPeople:
    @pytest.mark.parametrize("decided_by", ["nobody", "asker"])
    def test_are_asked_for_by_the_database_too(self, asker, decided_by):
        act = ask(asker)
        decided = None if decided_by == "nobody" else asker
        with pytest.raises(IntegrityError, match="two_people"), transaction.atomic():
            ControlAct.objects.across_tenants().filter(pk=act.pk).update(state="done", decided_by=decided)
