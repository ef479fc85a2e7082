"""Ratings changed by two people, from now or later."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from aggregator.core.limit_change import LimitChange, LimitRefused
from aggregator.models import ControlAct, Event, Membership, NetworkNode, NodeRating, acting_for, known_as
from aggregator.services.control_acts import ControlActExpired, NeedsAnotherPerson, approve_control_act
from aggregator.services.event_log import verify_events
from aggregator.services.limits import ask_change_limits, plan_limits
from tests.factories import LONG_AGO, make_dno, make_node

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def node() -> NetworkNode:
    return make_node("F1")


def person(name: str) -> User:
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        Membership.objects.create(user=user, organisation=make_dno(), role="control_room_supervisor")
    return user


def change(
    rating_kva: float = 80.0, valid_from: datetime | None = None, node: str = "F1", **more: float
) -> LimitChange:
    return LimitChange(node=node, rating_kva=rating_kva, valid_from=valid_from, **more)


def ask(*changes: LimitChange, now: datetime = NOW) -> ControlAct:
    with known_as("person:first"), acting_for(make_dno()):
        return ask_change_limits(
            organisation=make_dno(),
            changes=changes,
            reason="transformer replaced",
            asked_by_pk=person("first").pk,
            now=now,
        )


def approve(act: ControlAct, by: str = "second", now: datetime = NOW + MINUTE) -> ControlAct:
    with known_as(f"person:{by}"), acting_for(make_dno()):
        return approve_control_act(act_pk=act.pk, organisation=make_dno(), user_pk=person(by).pk, now=now)


def ratings(code: str = "F1") -> list[tuple[float, datetime, datetime | None]]:
    rows = NodeRating.objects.filter(node__code=code).order_by("valid_from")
    return [(row.rating_kva, row.valid_from, row.valid_to) for row in rows]


class TestAskChangeLimits:
    def test_always_waits_for_a_second_person(self):
        act = ask(change())
        assert (act.state, act.exceeded, act.figures["n_limits"]) == ("pending", ["n_limits"], 1)
        assert ratings() == [(100.0, LONG_AGO, None)]
        with pytest.raises(NeedsAnotherPerson):
            approve(act, "first")

    def test_is_done_at_once_where_the_settings_say_so(self, settings):
        settings.DUAL_APPROVAL_LIMITS = 1
        make_node("F2")
        assert ask(change()).state == "done"
        assert ask(change(node="F2")).state == "pending"

    def test_refuses_what_is_not_its_own(self):
        make_node("theirs", dno=make_dno("southmoor"))
        for code in ("theirs", "nobody's"):
            with pytest.raises(LimitRefused, match="dno has no network node") as refused:
                ask(change(node=code))
            assert refused.value.details["field"] == "node"
        assert not ControlAct.objects.across_tenants().exists()

    def test_refuses_the_past(self):
        with pytest.raises(LimitRefused, match="past"):
            ask(change(valid_from=NOW))

    def test_refuses_a_start_that_is_taken(self):
        approve(ask(change(valid_from=NOW + DAY)))
        with pytest.raises(LimitRefused, match="another rating"):
            ask(change(70.0, NOW + DAY))

    def test_waits_no_longer_than_until_it_starts(self):
        act = ask(change(valid_from=NOW + 10 * MINUTE))
        assert act.expires_at == NOW + 10 * MINUTE
        with pytest.raises(ControlActExpired):
            approve(act, now=NOW + 10 * MINUTE)
        assert ratings() == [(100.0, LONG_AGO, None)]


class TestDoChangeLimits:
    def test_starts_when_it_is_agreed_to(self):
        act = approve(ask(change(cyclic_factor=1.2, ramp_kw=5.0)))
        done_at = NOW + MINUTE
        assert act.state == "done"
        assert ratings() == [(100.0, LONG_AGO, done_at), (80.0, done_at, None)]
        row = NodeRating.objects.get(valid_to=None, node__code="F1")
        assert (row.cyclic_factor, row.ramp_kw, row.source) == (1.2, 5.0, f"control act {act.pk}")
        assert act.outcome["limits"]["F1"]["rating_kva"] == 80.0

    def test_starts_when_it_is_stated(self):
        approve(ask(change(valid_from=NOW + DAY)))
        assert ratings() == [(100.0, LONG_AGO, NOW + DAY), (80.0, NOW + DAY, None)]

    def test_leaves_what_starts_later(self):
        approve(ask(change(60.0, NOW + 2 * DAY)))
        approve(ask(change(80.0, NOW + DAY)))
        assert ratings() == [
            (100.0, LONG_AGO, NOW + DAY),
            (80.0, NOW + DAY, NOW + 2 * DAY),
            (60.0, NOW + 2 * DAY, None),
        ]

    def test_rates_a_node_that_had_no_rating(self):
        make_node("F2", rating_kva=None)
        approve(ask(change(node="F2")))
        assert ratings("F2") == [(80.0, NOW + MINUTE, None)]

    def test_changes_several_nodes_or_none(self):
        make_node("F2")
        act = ask(change(), change(node="F2"))
        NetworkNode.objects.filter(code="F2").update(organisation=make_dno("southmoor"))
        act = approve(act)
        assert (act.state, act.outcome["code"]) == ("failed", "limits.refused")
        assert (len(ratings()), len(ratings("F2"))) == (1, 1)

    def test_does_not_change_what_is_no_longer_as_it_was_shown(self):
        first, second = ask(change(80.0)), ask(change(70.0))
        assert approve(second).state == "done"
        act = approve(first, now=NOW + 2 * MINUTE)
        assert (act.state, act.outcome["code"]) == ("failed", "limits.changed_since")
        assert [rating for rating, _, _ in ratings()] == [100.0, 70.0]

    def test_is_logged_with_before_and_after(self):
        approve(ask(change()))
        event = Event.objects.across_tenants().get(action="limits.changed")
        assert (event.actor, event.organisation, event.reason) == ("person:second", make_dno(), "transformer replaced")
        assert (event.before["F1"]["rating_kva"], event.after["F1"]["rating_kva"]) == (100.0, 80.0)
        assert verify_events().is_intact


class TestPlanLimits:
    def test_shows_before_and_after_and_stores_nothing(self):
        plan = plan_limits(organisation=make_dno(), changes=[change()], now=NOW)
        (limit,) = plan.limits
        assert (limit.before["rating_kva"], limit.after["rating_kva"], plan.figures.n_limits) == (100.0, 80.0, 1)
        assert limit.after["valid_from"] == NOW.isoformat()
        assert not ControlAct.objects.across_tenants().exists()
        assert ratings() == [(100.0, LONG_AGO, None)]
