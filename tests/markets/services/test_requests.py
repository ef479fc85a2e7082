"""Requests for dispatch as control acts: looked at first, then asked, then done by one or two people's word."""

from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from aggregator.core.fleet_size import FleetSize
from aggregator.core.network_area import UnknownNode
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import ControlAct, Event, Job, Membership, Tariff, acting_for, known_as
from aggregator.services.control_acts import ControlActExpired, approve_control_act
from aggregator.services.event_log import verify_events
from aggregator.services.jobs import run_due
from dispatch.models import DispatchRun, TargetSignal
from dispatch.services.runs import run_in_force
from dispatch.services.targets import TargetRefused
from markets.models import FlexEvent, Instruction, Product
from markets.services.cycle import day_ahead
from markets.services.events import InvalidPrice, ShortfallTooCheap, TooLittleNotice, TooShort, UnknownProduct
from markets.services.products import revise_product
from markets.services.redispatch import ChargingDayOver, NoTariff, dispatch_area_job
from markets.services.requests import (
    DispatchRequest,
    RequestKnown,
    TooSmall,
    as_payload,
    ask_request_dispatch,
    from_payload,
    plan_request,
)
from tests.factories import make_dno, make_evse, make_node
from tests.walks.small_area import TARIFF, SmallArea, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
NOW = day_ahead(DAY)
MINUTE = timedelta(minutes=1)
REQUEST = DispatchRequest(
    reference="CALL-1",
    node="street",
    starts_at=utc(DAY, time(17)),
    ends_at=utc(DAY, time(19)),
    direction="turn_down",
    target_kw=5.0,
    shortfall_gbp_per_kwh=1.0,
    product="su",
    price_gbp_per_mwh=Decimal("300.00"),
)
UNPAID = replace(REQUEST, product="", price_gbp_per_mwh=None)


@pytest.fixture(autouse=True)
def area() -> SmallArea:
    return make_small_area(DAY)


@pytest.fixture
def two_people(settings) -> None:
    settings.DUAL_APPROVAL_MW = 0.01


def person(name: str) -> User:
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        Membership.objects.create(user=user, organisation=make_dno(), role="control_room_supervisor")
    return user


def plan(request: DispatchRequest = REQUEST, **changes: object):
    """As a page does: behind the DNO's own wall."""
    with acting_for(make_dno()):
        return plan_request(organisation=make_dno(), request=replace(request, **changes), now=NOW)


def ask(request: DispatchRequest = REQUEST, now=NOW, **changes: object) -> ControlAct:
    with known_as("person:first"), acting_for(make_dno()):
        return ask_request_dispatch(
            organisation=make_dno(),
            request=replace(request, **changes),
            reason="cable fault",
            asked_by_pk=person("first").pk,
            now=now,
        )


def approve(act: ControlAct, now=NOW + MINUTE) -> ControlAct:
    with known_as("person:second"), acting_for(make_dno()):
        return approve_control_act(act_pk=act.pk, organisation=make_dno(), user_pk=person("second").pk, now=now)


def revise(**changes: object) -> None:
    """The product on other terms, for requests received from now on."""
    revise_product(
        organisation=make_dno(),
        code="su",
        of_version=1,
        changes=changes,
        valid_from=NOW - MINUTE,
        reason="harder terms",
        now=NOW - MINUTE,
    )


class TestPlanRequest:
    @pytest.mark.parametrize(
        ("terms", "error", "field"),
        [
            ({"notice": timedelta(hours=30)}, TooLittleNotice, "starts_at"),
            ({"min_run": timedelta(hours=2, minutes=30)}, TooShort, "ends_at"),
            ({"min_kw": 39.2}, TooSmall, "target_kw"),
            ({"utilisation_gbp_per_mwh": Decimal("299.99")}, InvalidPrice, "price_gbp_per_mwh"),
        ],
    )
    def test_holds_a_request_to_the_terms_of_its_product(self, terms, error, field):
        revise(**terms)
        with pytest.raises(error) as refused:
            plan()
        assert refused.value.details["field"] == field
        assert "su v2" in refused.value.message
        assert plan(UNPAID).product == ""
        with pytest.raises(error):
            ask()
        assert not TargetSignal.objects.exists()

    def test_says_no_exact_power_where_it_is_too_small(self):
        """What six EVSEs are rated at is rounded for a network operator, also in a refusal."""
        revise(min_kw=39.2)
        with pytest.raises(TooSmall) as refused:
            plan()
        assert "39.16" not in refused.value.message
        assert "39.2 kW at least" in refused.value.message

    def test_takes_a_request_that_just_meets_the_terms(self):
        revise(
            notice=REQUEST.starts_at - NOW,
            min_run=timedelta(hours=2),
            min_kw=39.16,  # six EVSEs of 7.36 kW less the target of 5 kW
            utilisation_gbp_per_mwh=Decimal(300),
        )
        assert plan().product == "su v2"
        assert ask().state == ControlAct.State.DONE
        assert FlexEvent.objects.get().product.version == 2

    def test_shows_what_it_would_move_and_stores_nothing(self):
        seen = plan()
        assert seen.size == FleetSize(n_evse=10, rated_kw=50.0, kw_per_minute=5.0)
        assert seen.figures.total_mw == pytest.approx(0.045)
        assert seen.figures.mw_per_minute == pytest.approx(0.0045)
        assert (seen.figures.n_evse, seen.exceeded, seen.needs_second_person) == (10, (), False)
        assert (seen.area, seen.days, seen.tariff, seen.product) == ("street-up", (DAY,), TARIFF, "su v1")
        for model in (TargetSignal, FlexEvent, Job):
            assert not model.objects.exists()
        assert not ControlAct.objects.across_tenants().exists()

    def test_says_when_a_second_person_is_needed(self, two_people):
        assert plan().exceeded == ("total_mw",)
        assert plan(target_kw=45.0).exceeded == ()

    def test_counts_what_was_asked_lately(self, settings):
        settings.DUAL_APPROVAL_MW = 0.06
        ask(UNPAID)
        assert plan(reference="CALL-2").exceeded == ("total_mw",)

    def test_tells_no_more_of_two_homes_than_of_five(self):
        make_evse("alone", node=make_node("lonely"), rated_kw=22.0)
        assert plan(UNPAID, node="lonely").size == FleetSize(n_evse=5, rated_kw=50.0, kw_per_minute=5.0)

    def test_dispatches_the_area_that_was_dispatched_last(self):
        dispatch_area_job(area="street", day=DAY.isoformat(), tariff=TARIFF, now=NOW)
        assert plan().area == "street"
        assert plan(node="street-A").area == "street"

    def test_covers_both_charging_days_of_a_window_over_noon(self):
        starts_at = GRID.ends_at - timedelta(minutes=30)
        assert plan(starts_at=starts_at, ends_at=starts_at + timedelta(hours=1)).days == (DAY, DAY + timedelta(days=1))

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"node": "nowhere"}, UnknownNode),
            ({"node": "theirs"}, UnknownNode),
            ({"reference": " "}, TargetRefused),
            ({"starts_at": REQUEST.starts_at + MINUTE}, TargetRefused),
            ({"starts_at": NOW, "ends_at": NOW + timedelta(hours=1)}, TargetRefused),
            ({"target_kw": float("nan")}, TargetRefused),
            ({"direction": "sideways"}, TargetRefused),
            ({"product": "other"}, UnknownProduct),
            ({"product": "theirs"}, UnknownProduct),
            ({"product": ""}, UnknownProduct),
            ({"price_gbp_per_mwh": None}, InvalidPrice),
            ({"price_gbp_per_mwh": Decimal("1.001")}, InvalidPrice),
            ({"price_gbp_per_mwh": Decimal("NaN")}, InvalidPrice),
            ({"shortfall_gbp_per_kwh": 0.1}, ShortfallTooCheap),
        ],
    )
    def test_refuses_what_cannot_be_done(self, changes, error):
        southmoor = make_dno("southmoor")
        make_node("theirs", dno=southmoor)
        Product.objects.create(code="theirs", name="Theirs", buyer=southmoor, valid_from=utc(date(2020, 1, 1), time(0)))
        for look in (plan, ask):
            with pytest.raises(error):
                look(**changes)
        assert not ControlAct.objects.across_tenants().exists()

    def test_refuses_a_reference_that_was_received(self):
        ask()
        with pytest.raises(RequestKnown):
            plan()
        with pytest.raises(TargetRefused):
            plan(target_kw=6.0)

    def test_needs_a_tariff(self, area):
        Tariff.objects.create(code="second", name="Second")
        with pytest.raises(NoTariff, match="found 2"):
            plan()
        dispatch_area_job(area="street", day=DAY.isoformat(), tariff=TARIFF, now=NOW)
        assert plan().tariff == TARIFF


class TestAskRequestDispatch:
    def test_receives_a_small_request_at_once_and_dispatches_anew(self, area):
        act = ask()
        assert act.state == "done"
        signal = TargetSignal.objects.get()
        assert (signal.reference, signal.received_at, signal.issued_by) == ("CALL-1", NOW, area.dno)
        event = FlexEvent.objects.get(signal=signal)
        assert (event.product.code, event.price_gbp_per_mwh) == ("su", Decimal("300.00"))
        (job,) = Job.objects.all()
        assert act.outcome == {"request": "CALL-1", "area": "street-up", "jobs": [job.pk]}
        assert (job.kind, job.payload["day"]) == ("dispatch_area", DAY.isoformat())

        (done,) = run_due(clock=lambda: NOW + MINUTE, worker="one")

        assert done.state == "done", done.outcome
        run = run_in_force(area_code="street-up", day=DAY)
        assert done.outcome == {"run": run.pk, "instructed": ["CALL-1"]}
        assert run.requests.get().signal == signal
        assert {told.run for told in Instruction.objects.across_tenants().filter(event=event)} == {run}

    def test_keeps_the_log(self):
        act = ask()
        events = Event.objects.across_tenants().order_by("sequence")
        actions = ["request.received", "control_act.asked", "control_act.done"]
        assert [event.action for event in events] == actions
        received = events[0]
        assert (received.actor, received.reason, received.organisation) == ("person:first", "cable fault", make_dno())
        assert (received.after["target_kw"], received.after["control_act"]) == (5.0, act.pk)
        assert verify_events().is_intact

    def test_receives_a_large_request_when_a_second_person_agrees(self, two_people):
        act = ask()
        assert (act.state, act.exceeded) == ("pending", ["total_mw"])
        assert not TargetSignal.objects.exists()
        assert not Job.objects.exists()
        act = approve(act)
        assert act.state == "done"
        assert TargetSignal.objects.get().received_at == NOW + MINUTE
        assert Job.objects.count() == 1

    def test_is_nothing_any_more_once_its_window_has_started(self, two_people):
        act = ask(now=REQUEST.starts_at - 5 * MINUTE)
        assert act.expires_at == REQUEST.starts_at
        with pytest.raises(ControlActExpired):
            approve(act, REQUEST.starts_at)
        assert not TargetSignal.objects.exists()

    def test_fails_where_the_reference_was_taken_meanwhile(self, two_people):
        first, second = ask(), ask(target_kw=4.0)
        assert approve(first).state == "done"
        act = approve(second)
        assert (act.state, act.outcome["code"]) == ("failed", "dispatch.target_refused")
        assert TargetSignal.objects.get().target_kw == 5.0

    def test_fails_where_it_would_move_more_than_was_agreed_to(self, area, settings):
        settings.DUAL_APPROVAL_MW, settings.DUAL_APPROVAL_EVSES = 0.01, 10
        act = ask(UNPAID)
        for number in range(5):
            make_evse(f"new-{number}", node=area.evses[0].node, dsrsp=area.dsrsps[0])
        act = approve(act)
        assert (act.state, act.outcome["code"]) == ("failed", "control.grown")

    def test_needs_no_product(self):
        assert ask(UNPAID).state == "done"
        assert not FlexEvent.objects.exists()
        (done,) = run_due(clock=lambda: NOW + MINUTE, worker="one")
        assert (done.state, done.outcome["instructed"]) == ("done", [])


class TestDispatchAreaJob:
    def test_changes_nothing_the_second_time(self):
        answers = [
            dispatch_area_job(area="street", day=DAY.isoformat(), tariff=TARIFF, now=NOW + minutes * MINUTE)
            for minutes in (0, 0)
        ]
        assert answers[0] == answers[1]
        assert DispatchRun.objects.count() == 1

    def test_forecasts_a_day_under_way_from_what_was_known_when_it_began(self):
        ask()
        now = GRID.starts_at + timedelta(hours=3)
        answer = dispatch_area_job(area="street-up", day=DAY.isoformat(), tariff=TARIFF, now=now)
        run = DispatchRun.objects.get(pk=answer["run"])
        assert (run.forecast.as_of, run.as_of) == (GRID.starts_at, now)
        assert answer["instructed"] == ["CALL-1"]

    def test_instructs_nobody_after_the_fact(self):
        ask()
        now = REQUEST.starts_at
        answer = dispatch_area_job(area="street-up", day=DAY.isoformat(), tariff=TARIFF, now=now)
        assert answer["instructed"] == []
        assert not Instruction.objects.across_tenants().exists()

    def test_refuses_a_day_that_is_over(self):
        with pytest.raises(ChargingDayOver):
            dispatch_area_job(area="street", day=DAY.isoformat(), tariff=TARIFF, now=GRID.ends_at)


class TestAsPayload:
    @pytest.mark.parametrize("request_", [REQUEST, UNPAID], ids=["paid", "unpaid"])
    def test_gives_the_request_back(self, request_):
        assert from_payload(as_payload(request_)) == request_
