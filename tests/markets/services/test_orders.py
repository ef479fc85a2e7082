"""From a market to money: request, offer, order, dispatch, stop and cancel, in a street small enough to check."""

import threading
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection
from django.test import TransactionTestCase

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import ControlAct, Event, Job, Organisation, acting_for, known_as
from aggregator.services.jobs import run_due
from dispatch.models import TargetSignal
from markets.arrays.settlement import load_portfolios, load_stops
from markets.core.trading import TransitionRefused
from markets.core.trading_offers import ActivationRefused, OfferRefused, OptionTerms
from markets.core.trading_times import InvalidMarket
from markets.models import (
    Contract,
    FlexEvent,
    FlexOffer,
    FlexOrder,
    Instruction,
    InstructionStop,
    Market,
    StatementLine,
)
from markets.queries import flex_offers_seen_by, flex_orders_seen_by, flex_requests_seen_by
from markets.services.cycle import day_ahead, run_cycle
from markets.services.orders_accept import accept_offer
from markets.services.orders_contracts import (
    Call,
    ContractTerms,
    instruct_under_contract,
    move_contract,
    order_under_contract,
    propose_contract,
)
from markets.services.orders_dispatch import ask_dispatch_order, plan_dispatch_order
from markets.services.orders_markets import MarketTerms, make_market, move_market
from markets.services.orders_offers import OfferTerms, make_offer, reject_offer, revoke_offer
from markets.services.orders_requests import FlexRequestTerms, publish_flex_request, withdraw_flex_request
from markets.services.orders_shared import TradeRefused, UnknownTrade, standing
from markets.services.orders_stop import cancel_order, stop_order
from markets.services.settlement import settle_event
from tests.factories import make_dno, make_evse, make_node, make_organisation
from tests.walks.small_area import SmallArea, make_small_area

DAY = date(2026, 1, 15)
NOW = day_ahead(DAY)
FIVE, SEVEN = utc(DAY, time(17)), utc(DAY, time(19))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WHY = "of the test"
MARKET = MarketTerms(
    code="evenings",
    name="Evenings in the street",
    product="su",
    node_codes=("street",),
    activity="turn_down",
    service_windows=({"weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "16:00", "ends": "21:00"},),
    gate_closure={"kind": "lead", "lead_minutes": 120},
    min_kw=1.0,
    starts_at=utc(date(2026, 1, 1), time(0)),
    ends_at=utc(date(2026, 4, 1), time(0)),
)
REQUEST = FlexRequestTerms("R/1", "evenings", "street", FIVE, SEVEN, (6.0, 6.0, 6.0, 6.0))
OPTION = OptionTerms("1", np.full(4, 4.0), Decimal("2.40"), Decimal("0.50"))
OFFER = OfferTerms("A/1", "R/1", (OPTION,))


def dno() -> Organisation:
    return make_dno()


def amber() -> Organisation:
    return make_organisation("amber")


def blue() -> Organisation:
    return make_organisation("blue")


def market(**changes) -> Market:
    with acting_for(dno()):
        return make_market(organisation=dno(), terms=replace(MARKET, **changes), now=NOW)


def request(now=NOW, **changes):
    with acting_for(dno()):
        return publish_flex_request(organisation=dno(), terms=replace(REQUEST, **changes), now=now)


def offer(by=None, now=NOW, **changes) -> FlexOffer:
    by = by or amber()
    with acting_for(by):
        return make_offer(organisation=by, terms=replace(OFFER, **changes), now=now)


def accept(made: FlexOffer, now=NOW, reference="O/1", **changes) -> FlexOrder:
    with acting_for(dno()):
        return accept_offer(organisation=dno(), offer_pk=made.pk, option="1", reference=reference, now=now, **changes)


def dispatch(reference="O/1", now=NOW, **changes) -> ControlAct:
    with acting_for(dno()), known_as("person:first"):
        return ask_dispatch_order(
            organisation=dno(), reference=reference, reason=WHY, asked_by_pk=None, now=now, **changes
        )


def stop(reference="O/1", now=FIVE + HOUR) -> FlexOrder:
    with acting_for(dno()), known_as("person:first"):
        return stop_order(organisation=dno(), reference=reference, reason=WHY, now=now)


def cancel(reference="O/1", now=NOW) -> FlexOrder:
    with acting_for(dno()):
        return cancel_order(organisation=dno(), reference=reference, reason=WHY, now=now)


def do_jobs() -> list[Job]:
    return run_due(clock=lambda: NOW + MINUTE, worker="one")


def again(row):
    return row._meta.model._base_manager.get(pk=row.pk)


@pytest.fixture
def area() -> SmallArea:
    return make_small_area(DAY)


@pytest.fixture
def open_market(area) -> SmallArea:
    market()
    return area


@pytest.fixture
def asked(open_market) -> SmallArea:
    request()
    return open_market


@pytest.fixture
def ordered(asked) -> FlexOrder:
    return accept(offer())


@pytest.mark.django_db
class TestMarket:
    def test_is_published_under_the_products_newest_version(self, area):
        made = market()
        assert (str(made.product), made.state, made.buyer) == ("su v1", "open", dno())
        assert Event.objects.across_tenants().filter(action="market.make", subject="market evenings").count() == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"code": "Not a code"},
            {"name": " "},
            {"product": "nothing"},
            {"node_codes": ()},
            {"node_codes": ("street", "nowhere")},
            {"activity": "sideways"},
            {"service_windows": ()},
            {"gate_closure": {"kind": "later"}},
            {"min_kw": -1.0},
            {"min_kw": float("nan")},
            {"ends_at": MARKET.starts_at},
            {"starts_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - without an offset
        ],
    )
    def test_is_refused_as_stated(self, area, changes):
        with pytest.raises(InvalidMarket):
            market(**changes)
        assert not Market.objects.exists()

    def test_is_there_once(self, area):
        market()
        with pytest.raises(InvalidMarket, match="is there already"):
            market()

    def test_takes_no_request_while_it_is_suspended(self, open_market):
        with acting_for(dno()):
            move_market(organisation=dno(), code="evenings", act="suspend", reason=WHY, now=NOW)
        with pytest.raises(TransitionRefused, match="which is suspended, expected open"):
            request()

    def test_is_its_buyers_alone(self, open_market):
        other = make_organisation("other", "dno")
        with acting_for(other), pytest.raises(UnknownTrade):
            move_market(organisation=other, code="evenings", act="close", reason=WHY, now=NOW)


@pytest.mark.django_db
class TestFlexRequest:
    def test_closes_with_the_gate(self, open_market):
        assert request().expires_at == FIVE - 2 * HOUR

    @pytest.mark.parametrize(
        "changes",
        [
            {"reference": ""},
            {"starts_at": FIVE - 2 * HOUR},  # outside the service windows
            {"starts_at": FIVE + MINUTE},
            {"ends_at": FIVE},
            {"ends_at": SEVEN + 100 * 24 * HOUR, "starts_at": FIVE + 100 * 24 * HOUR},  # after the contract period
            {"requested_kw": (6.0,)},
            {"requested_kw": (0.0,) * 4},
            {"requested_kw": (0.5,) * 4},  # under the market's least
            {"requested_kw": (float("inf"),) * 4},
            {"expires_at": FIVE},
            {"expires_at": NOW},
        ],
    )
    def test_is_refused_as_stated(self, open_market, changes):
        with pytest.raises(TradeRefused):
            request(**changes)

    def test_stays_in_the_zone(self, open_market):
        make_node("elsewhere", dno=dno())
        with pytest.raises(TradeRefused, match="outside the zone of market evenings, street"):
            request(node="elsewhere")

    def test_may_be_for_a_node_below(self, open_market):
        assert request(node="street-A").node.code == "street-A"

    def test_comes_too_late_after_the_gate(self, open_market):
        with pytest.raises(TradeRefused, match="no later than its gate closure"):
            request(now=FIVE - 2 * HOUR)

    def test_is_seen_by_who_has_an_evse_there_and_by_nobody_else(self, asked):
        idle = make_organisation("idle")
        seen = {org.code: flex_requests_seen_by(org).count() for org in (dno(), amber(), blue(), idle)}
        assert seen == {"dno": 1, "amber": 1, "blue": 1, "idle": 0}

    def test_rejects_what_waits_when_it_is_withdrawn(self, asked):
        made = offer()
        with acting_for(dno()):
            withdraw_flex_request(organisation=dno(), reference="R/1", reason=WHY, now=NOW)
        assert again(made).state == "rejected"
        with pytest.raises(TransitionRefused, match="which is rejected"):
            accept(made)


@pytest.mark.django_db
class TestOffer:
    def test_stands_until_the_window_starts(self, asked):
        made = offer()
        assert (made.state, made.expires_at, made.options.count()) == ("submitted", FIVE, 1)

    def test_is_seen_by_its_dsrsp_and_its_buyer(self, asked):
        offer()
        seen = [flex_offers_seen_by(org).count() for org in (amber(), dno(), blue())]
        assert seen == [1, 1, 0]

    def test_comes_too_late_after_the_gate(self, asked):
        with pytest.raises(TransitionRefused, match="closed since its expires_at"):
            offer(now=FIVE - 2 * HOUR)

    def test_is_not_made_by_who_has_nothing_there(self, asked):
        with pytest.raises(UnknownTrade):
            offer(by=make_organisation("idle"))

    @pytest.mark.parametrize("expires_at", [NOW, SEVEN])
    def test_expires_between_now_and_the_window(self, asked, expires_at):
        with pytest.raises(TradeRefused, match="would expire at"):
            offer(expires_at=expires_at)

    def test_is_deliverable_together_with_all_the_others(self, open_market):
        """Amber has three EVSEs of 7.36 kW: 22.08 kW."""
        request(requested_kw=(30.0,) * 4)
        large = replace(OPTION, power_kw=np.full(4, 12.0))
        first = offer(options=(large,))
        with pytest.raises(OfferRefused, match=r"promised 12 kW beside 12 kW .* 22.08 kW are registered"):
            offer(options=(large,), reference="A/2")
        offer(options=(large,), reference="B/1", by=blue())  # of blue's own
        with acting_for(amber()):
            revoke_offer(organisation=amber(), offer_pk=first.pk, reason=WHY, now=NOW)
        offer(options=(large,), reference="A/2")

    def test_counts_orders_and_requests_below(self, open_market):
        request(requested_kw=(30.0,) * 4)
        accept(offer(options=(replace(OPTION, power_kw=np.full(4, 20.0)),)))
        request(node="street-A", reference="R/2", requested_kw=(5.0,) * 4)
        with pytest.raises(OfferRefused, match="at and below street"):
            offer(request="R/2", reference="A/2", options=(replace(OPTION, power_kw=np.full(4, 5.0)),))

    def test_of_several_options_one_is_promised(self, open_market):
        request(requested_kw=(30.0,) * 4)
        one = replace(OPTION, power_kw=np.full(4, 20.0))
        offer(options=(one, replace(one, reference="2", price_gbp=Decimal("1.00"))))

    def test_uses_its_reference_once(self, asked):
        offer()
        with pytest.raises(TradeRefused, match="is taken"):
            offer()

    def test_is_revoked_by_its_dsrsp_and_rejected_by_its_buyer(self, asked):
        first, second = offer(), offer(reference="A/2")
        with acting_for(dno()), pytest.raises(TransitionRefused, match="which is for the dsrsp"):
            revoke_offer(organisation=dno(), offer_pk=first.pk, reason=WHY, now=NOW)
        with acting_for(amber()):
            revoke_offer(organisation=amber(), offer_pk=first.pk, reason=WHY, now=NOW)
            with pytest.raises(TransitionRefused, match="which is for the buyer"):
                reject_offer(organisation=amber(), offer_pk=second.pk, reason=WHY, now=NOW)
        with acting_for(dno()):
            reject_offer(organisation=dno(), offer_pk=second.pk, reason=WHY, now=NOW)
        assert [again(first).state, again(second).state] == ["revoked", "rejected"]

    def test_is_not_told_to_another(self, asked):
        made = offer()
        with acting_for(blue()), pytest.raises(UnknownTrade):
            revoke_offer(organisation=blue(), offer_pk=made.pk, reason=WHY, now=NOW)


@pytest.mark.django_db
class TestAcceptance:
    def test_orders_the_whole(self, ordered):
        assert (ordered.state, ordered.power_kw) == ("ordered", [4.0] * 4)
        assert (ordered.price_gbp, ordered.price_gbp_per_mwh) == (Decimal("2.4000"), Decimal("300.00"))
        assert ordered.organisation == amber()

    def test_orders_a_share(self, asked):
        order = accept(offer(), activation_factor=Decimal("0.55"))
        assert (order.power_kw, order.price_gbp) == ([2.2] * 4, Decimal("1.3200"))
        assert order.price_gbp_per_mwh == Decimal("300.00")

    def test_refuses_a_smaller_share_and_leaves_the_offer(self, asked):
        made = offer()
        with pytest.raises(ActivationRefused):
            accept(made, activation_factor=Decimal("0.49"))
        assert again(made).state == "submitted"

    def test_comes_once(self, asked):
        made = offer()
        accept(made)
        with pytest.raises(TransitionRefused, match="which is accepted, expected submitted"):
            accept(made, reference="O/2")

    def test_comes_too_late_once_it_expired(self, asked):
        made = offer(expires_at=NOW + HOUR)
        with pytest.raises(TransitionRefused, match="expired since its expires_at"):
            accept(made, now=NOW + HOUR)

    def test_is_the_buyers_alone(self, asked):
        made, other = offer(), make_organisation("other", "dno")
        with acting_for(other), pytest.raises(UnknownTrade):
            accept_offer(organisation=other, offer_pk=made.pk, option="1", reference="O/1", now=NOW)

    def test_is_in_the_log_with_its_price(self, ordered):
        noted = Event.objects.across_tenants().get(action="flex_order.order")
        assert (noted.after["price_gbp"], noted.after["dsrsp"]) == ("2.4000", "amber")

    def test_is_seen_by_both_sides(self, ordered):
        assert [flex_orders_seen_by(org).count() for org in (amber(), dno(), blue())] == [1, 1, 0]


@pytest.mark.django_db
class TestDispatch:
    def test_asks_the_zone_for_what_is_expected_less_what_is_ordered(self, ordered):
        with acting_for(dno()):
            plan = plan_dispatch_order(organisation=dno(), reference="O/1", now=NOW)
        whole = plan_dispatch_order(organisation=dno(), reference="O/1", now=NOW, target_kw=0.0)
        assert (plan.request.order, plan.product) == ("O/1", "su v1")
        assert plan.request.target_kw > whole.request.target_kw == 0.0
        assert not TargetSignal.objects.exists()

    def test_puts_a_request_under_the_order_and_instructs_its_dsrsp_what_was_ordered(self, ordered):
        assert dispatch().state == ControlAct.State.DONE
        order = again(ordered)
        event = FlexEvent.objects.get()
        assert (order.state, order.event, event.price_gbp_per_mwh) == ("dispatched", event, Decimal("300.00"))
        assert len(do_jobs()) == 1
        told = Instruction.objects.across_tenants().get()
        assert (told.organisation, told.order, told.instructed_kw) == (amber(), order, [4.0] * 4)

    def test_comes_once(self, ordered):
        dispatch()
        with pytest.raises(TransitionRefused, match="which is dispatched, expected ordered"):
            dispatch()

    def test_comes_too_late_once_the_window_starts(self, ordered):
        with pytest.raises(TransitionRefused, match="lapsed since its starts_at"):
            dispatch(now=FIVE)

    def test_waits_for_a_second_person_above_the_thresholds(self, ordered, settings):
        settings.DUAL_APPROVAL_MW = 0.001
        act = dispatch()
        assert act.state == ControlAct.State.PENDING
        assert again(ordered).state == "ordered"
        assert dispatch().pk == act.pk  # asked once

    def test_counts_what_other_orders_take(self, asked):
        accept(offer())
        dispatch()
        accept(offer(by=blue(), reference="B/1"), reference="O/2")
        dispatch("O/2")
        first, second = TargetSignal.objects.order_by("reference")
        assert second.target_kw == pytest.approx(max(first.target_kw - 4.0, 0.0))

    def test_needs_a_target_where_nothing_is_expected(self, area):
        """A lane whose only EVSE has no reading yet."""
        make_evse("home-new", node=make_node("lane", dno=dno()), dsrsp=amber(), rated_kw=7.36)
        market(node_codes=("street", "lane"))
        request(node="lane")
        accept(offer())
        with pytest.raises(TradeRefused, match="state the target"):
            dispatch()
        assert dispatch(target_kw=0.0).state == ControlAct.State.DONE


@pytest.mark.django_db
class TestStopAndCancel:
    @pytest.fixture
    def dispatched(self, ordered) -> FlexOrder:
        dispatch()
        do_jobs()
        return ordered

    def test_takes_what_comes_after_out_of_runs_and_instructions(self, dispatched):
        order = stop(now=FIVE + 40 * MINUTE)
        noted = InstructionStop.objects.across_tenants().get()
        assert (order.state, noted.stopped_at, noted.by) == ("stopped", FIVE + 40 * MINUTE, "person:first")
        assert TargetSignal.objects.get().withdrawn_at == FIVE + 40 * MINUTE
        assert Job.objects.filter(unique_key__contains=":without:").count() == 1

    def test_settles_only_what_was_instructed_until_then(self, dispatched):
        stop(now=FIVE + 40 * MINUTE)
        event, run = FlexEvent.objects.get(), Instruction.objects.across_tenants().get().run
        settle_event(event=event, run=run, as_of=charging_day(DAY).ends_at + 2 * HOUR)
        lines = StatementLine.objects.order_by("starts_at").values_list("instructed_kwh", flat=True)
        assert list(lines) == [Decimal("2.0000"), Decimal("0.6667"), Decimal(0), Decimal(0)]  # 10 of 30 minutes

    def test_settles_what_was_stopped_later_as_it_was_known(self, dispatched):
        """A settlement as of a time before the stop was recorded does not know of it."""
        stop(now=FIVE + 40 * MINUTE)
        event = FlexEvent.objects.get()
        portfolios = load_portfolios(event=event)
        before = load_stops(event=event, portfolios=portfolios, as_of=FIVE)
        after = load_stops(event=event, portfolios=portfolios, as_of=SEVEN)
        assert np.isnat(before).all()
        assert not np.isnat(after).any()

    def test_stops_nothing_before_or_after_delivery(self, dispatched):
        for at in (FIVE - MINUTE, SEVEN):
            with pytest.raises(TransitionRefused):
                stop(now=at)

    def test_cancels_what_was_instructed(self, dispatched):
        assert cancel(now=FIVE - HOUR).state == "cancelled"
        event, run = FlexEvent.objects.get(), Instruction.objects.across_tenants().get().run
        settle_event(event=event, run=run, as_of=charging_day(DAY).ends_at + 2 * HOUR)
        assert sum(StatementLine.objects.values_list("instructed_kwh", flat=True)) == 0

    def test_cancels_before_it_was_dispatched(self, ordered):
        assert cancel().state == "cancelled"
        with pytest.raises(TransitionRefused, match="which is cancelled"):
            dispatch()

    def test_cancels_nothing_under_delivery(self, dispatched):
        with pytest.raises(TransitionRefused, match="before its starts_at"):
            cancel(now=FIVE)

    def test_is_the_buyers_alone(self, dispatched):
        with acting_for(amber()), pytest.raises(UnknownTrade):
            stop_order(organisation=amber(), reference="O/1", reason=WHY, now=FIVE)


@pytest.mark.django_db
class TestCycle:
    def test_settles_an_order_as_any_other_call(self, ordered, area):
        dispatch()
        cycle = run_cycle(order=replace(area.order(), as_of=NOW + MINUTE))
        settlement = cycle.settlement_runs.get()
        assert [one.organisation.code for one in settlement.statements.across_tenants()] == ["amber"]
        assert cycle.summary["instructed_kwh"] == 8.0


@pytest.mark.django_db
class TestContract:
    TERMS = ContractTerms("C/1", "evenings", "amber", MARKET.starts_at, MARKET.ends_at, 10.0, Decimal("250.00"))
    CALL = Call("K/1", "street", FIVE, SEVEN, (4.0,) * 4)

    def propose(self, **changes) -> Contract:
        with acting_for(dno()):
            return propose_contract(organisation=dno(), terms=replace(self.TERMS, **changes), now=NOW)

    def act(self, what: str, by=None, now=NOW) -> Contract:
        by = by or amber()
        with acting_for(by):
            return move_contract(organisation=by, reference="C/1", act=what, reason=WHY, now=now)

    def call(self, now=NOW, **changes) -> FlexOrder:
        with acting_for(dno()):
            return order_under_contract(organisation=dno(), contract="C/1", call=replace(self.CALL, **changes), now=now)

    @pytest.fixture
    def in_force(self, open_market) -> SmallArea:
        self.propose()
        self.act("agree to")
        return open_market

    def test_is_in_force_once_the_dsrsp_agrees(self, open_market):
        made = self.propose()
        assert made.state == "proposed"
        with pytest.raises(TransitionRefused, match="which is for the dsrsp"):
            self.act("agree to", by=dno())
        assert self.act("agree to").state == "in_force"

    @pytest.mark.parametrize(
        "changes",
        [
            {"max_kw": 0.0},
            {"max_kw": float("inf")},
            {"price_gbp_per_mwh": Decimal("0.001")},
            {"ends_at": MARKET.ends_at + HOUR},
            {"reference": ""},
        ],
    )
    def test_is_refused_as_stated(self, open_market, changes):
        with pytest.raises(TradeRefused):
            self.propose(**changes)

    def test_is_with_a_dsrsp_there_is(self, open_market):
        with pytest.raises(UnknownTrade, match="dsrsp 'nobody'"):
            self.propose(dsrsp="nobody")

    def test_is_called_on_directly(self, in_force):
        with acting_for(dno()):
            act = instruct_under_contract(
                organisation=dno(), contract="C/1", call=self.CALL, reason=WHY, asked_by_pk=None, now=NOW
            )
        order = FlexOrder.objects.across_tenants().get()
        assert (act.state, order.state, order.contract.reference) == (ControlAct.State.DONE, "dispatched", "C/1")
        assert (order.price_gbp, order.price_gbp_per_mwh) == (Decimal("2.0000"), Decimal("250.00"))  # 8 kWh
        do_jobs()
        assert Instruction.objects.across_tenants().get().instructed_kw == [4.0] * 4

    def test_gives_no_more_than_was_agreed_with_all_calls(self, in_force):
        self.call(power_kw=(6.0,) * 4)
        with pytest.raises(TradeRefused, match=r"6 kW beside 6 kW, expected 10 kW at most"):
            self.call(power_kw=(6.0,) * 4, reference="K/2")
        self.call(power_kw=(4.0,) * 4, reference="K/2")

    @pytest.mark.parametrize(
        "changes", [{"power_kw": (0.5,) * 4}, {"starts_at": FIVE - 2 * HOUR}, {"power_kw": (4.0,)}, {"reference": ""}]
    )
    def test_is_called_on_within_its_market(self, in_force, changes):
        with pytest.raises(TradeRefused):
            self.call(**changes)

    def test_is_not_called_on_before_or_after_it_is_in_force(self, open_market):
        self.propose()
        with pytest.raises(TransitionRefused, match="which is proposed, expected in_force"):
            self.call()
        self.act("agree to")
        self.act("end")
        with pytest.raises(TransitionRefused, match="which is ended"):
            self.call()

    def test_lapses_unanswered(self, open_market):
        made = self.propose()
        assert standing(made, now=MARKET.ends_at) == "lapsed"


class TestTwoAtOnce(TransactionTestCase):
    """Threads with connections of their own."""

    def test_accept_once(self):
        make_small_area(DAY)
        market()
        request()
        made = offer()
        found: list[str] = []
        gate = threading.Barrier(4)

        def try_it(number: int) -> None:
            try:
                gate.wait(30)
                found.append(accept(made, reference=f"O/{number}").reference)
            except TransitionRefused as refusal:
                found.append(refusal.code)
            finally:
                connection.close()

        self._run(try_it)
        assert sorted(found)[1:] == ["trading.transition_refused"] * 3
        assert FlexOrder.objects.across_tenants().count() == 1

    def test_offer_no_more_than_is_deliverable_together(self):
        make_small_area(DAY)
        market()
        request(requested_kw=(30.0,) * 4)
        found: list[str] = []
        gate = threading.Barrier(4)

        def try_it(number: int) -> None:
            try:
                gate.wait(30)
                found.append(
                    offer(reference=f"A/{number}", options=(replace(OPTION, power_kw=np.full(4, 10.0)),)).state
                )
            except OfferRefused as refusal:
                found.append(refusal.code)
            finally:
                connection.close()

        self._run(try_it)
        assert sorted(found) == ["submitted"] * 2 + ["trading.offer_refused"] * 2

    def _run(self, work) -> None:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
