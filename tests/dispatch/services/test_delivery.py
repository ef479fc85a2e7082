from datetime import date, datetime, time, timedelta

import numpy as np
import pytest

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.behaviour import Behaviour
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import Batch, ChargingSession, MeterDay, NodeRating
from aggregator.services.forecasts import forecast_area
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, Setpoint
from dispatch.services.delivery import READ_AFTER, DayNotOver, DeliveredDay, deliver_day
from dispatch.services.runs import run_dispatch
from markets.services.cycle import day_ahead
from tests.factories import make_enrolment, make_organisation
from tests.walks.small_area import HISTORY_DAYS, TARIFF, make_batch, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
AFTER = GRID.ends_at + timedelta(days=3)
OBEDIENT = Behaviour(never_share=1.0, rarely_share=0.0, no_show_rate=0.0)
DEFIANT = Behaviour(never_share=0.0, rarely_share=0.0, often_rate=1.0, no_show_rate=0.0)
NOBODY = Behaviour(no_show_rate=1.0)


def dispatch(as_of: datetime | None = None, *, rolling: bool = True) -> DispatchRun:
    as_of = as_of or day_ahead(DAY)
    forecast = forecast_area(area_code="street", day=DAY, as_of=as_of)
    parameters = RunParameters(method="greedy", rolling=rolling)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=parameters)


def metered_kwh(delivered: DeliveredDay, as_of: datetime = AFTER) -> np.ndarray:
    """(n_evse, n_period) what the asset meters say of the charging day."""
    energy = load_energy_kwh(
        meter_pks=delivered.fleet.meter_pks, first_day=DAY, last_day=GRID.ends_at.date(), as_of=as_of
    )
    return energy.on_grid(GRID)


def ceilings_kw(run: DispatchRun, delivered: DeliveredDay) -> np.ndarray:
    """(n_evse, n_period) what each EVSE was told in the end."""
    rows = IssuedSetpoint.objects.across_tenants().filter(run=run)
    by_pk = {row.evse_id: row.setpoint_kw for row in rows}
    return np.array([by_pk[pk] for pk in delivered.fleet.evse_pks.tolist()])


class TestDeliverDay:
    def test_takes_in_a_reading_for_every_meter_and_half_hour(self):
        make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER)
        found = metered_kwh(delivered)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, delivered.delivery.energy_kwh, atol=1e-12)
        assert found.sum() == pytest.approx(delivered.delivery.delivered_kwh.sum())

    def test_keeps_the_account_of_every_session(self):
        make_small_area(DAY, rating_kva=27.0)
        delivery = deliver_day(run=dispatch(), as_of=AFTER).delivery
        np.testing.assert_allclose(delivery.delivered_kwh + delivery.unserved_kwh, delivery.asked_kwh)
        assert (delivery.unserved_kwh >= -1e-9).all()

    @pytest.mark.parametrize("rating_kva", [90.0, 36.0, 27.0])
    def test_obeys_every_setpoint_unless_overridden(self, rating_kva):
        make_small_area(DAY, rating_kva=rating_kva)
        run = dispatch()
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=OBEDIENT)
        assert not delivered.delivery.is_overridden.any()
        assert (metered_kwh(delivered) <= ceilings_kw(run, delivered) * 0.5 + 1e-9).all()
        assert metered_kwh(delivered).sum() > 0

    def test_tells_an_evse_without_a_car_nothing(self):
        make_small_area(DAY)
        run = dispatch()
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=NOBODY)
        assert not ceilings_kw(run, delivered).any()
        assert Setpoint.objects.across_tenants().filter(run=run).count() == 6

    @pytest.mark.parametrize("rating_kva", [90.0, 36.0, 27.0])
    @pytest.mark.parametrize("often_rate", [0.0, 0.5])  # one that was overridden and is full holds nothing any more
    def test_tells_no_more_than_the_nodes_may_carry(self, rating_kva, often_rate):
        make_small_area(DAY, rating_kva=rating_kva)
        run = dispatch()
        behaviour = Behaviour(never_share=0.0, rarely_share=0.0, often_rate=often_rate, no_show_rate=0.3)
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=behaviour)
        told_kw = ceilings_kw(run, delivered)
        for node in RunNode.objects.filter(run=run).select_related("node"):
            at = int(np.flatnonzero(delivered.area.codes == node.node.code)[0])
            below = (delivered.fleet.node == at) | (delivered.area.parent[delivered.fleet.node] == at)
            assert (told_kw[below].sum(axis=0) <= np.array(node.limit_kw) + 1e-6).all()

    def test_serves_cars_that_left_early_as_they_sometimes_do(self):
        """Every other evening they leave at 23:00: a plan for the cheap night serves none of them on such a day."""
        make_small_area(DAY)
        for back in range(0, HISTORY_DAYS, 2):
            evening = DAY - timedelta(days=back)
            sessions = ChargingSession.objects.across_tenants().filter(plug_in_at__date=evening)
            sessions.update(plug_out_at=utc(evening, time(23)))
        handed_on = deliver_day(run=dispatch(rolling=False), as_of=AFTER, behaviour=OBEDIENT).delivery
        anew = deliver_day(run=dispatch(), as_of=AFTER, behaviour=OBEDIENT).delivery
        assert anew.asked_kwh.sum() == handed_on.asked_kwh.sum() == pytest.approx(51.0)
        assert anew.unserved_kwh.sum() < 0.2 * handed_on.unserved_kwh.sum()

    def test_meets_a_limit_that_fell_since_whatever_was_told(self):
        make_small_area(DAY)
        run = dispatch()
        NodeRating.objects.filter(node__code="street").update(rating_kva=25.0)
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=OBEDIENT)
        rating_kw = 25.0 * NodeRating.objects.filter(node__code="street").get().power_factor
        node = RunNode.objects.get(run=run, node__code="street")
        left_kw = np.maximum(rating_kw - np.array(node.background_kw) - np.array(node.reserve_kw), 0.0)
        told_kw = ceilings_kw(run, delivered).sum(axis=0)
        assert (told_kw <= left_kw + 1e-6).all()
        assert told_kw.any()

    def test_keeps_to_the_caps_of_the_run_where_it_only_hands_ceilings_on(self):
        make_small_area(DAY)
        run = dispatch(rolling=False)
        NodeRating.objects.filter(node__code="street").update(rating_kva=5.0)
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=OBEDIENT)
        assert delivered.delivery.delivered_kwh.sum() == pytest.approx(51.0)

    def test_delivers_although_a_consumer_left_since(self):
        area = make_small_area(DAY)
        run = dispatch()
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = GRID.starts_at
        enrolment.save()
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=OBEDIENT)
        assert delivered.delivery.delivered_kwh.sum() == pytest.approx(45.0)

    def test_lets_an_override_pass_the_setpoint_and_never_the_rating(self):
        make_small_area(DAY)
        run = dispatch()
        delivered = deliver_day(run=run, as_of=AFTER, behaviour=DEFIANT)
        found = metered_kwh(delivered)
        assert delivered.delivery.is_overridden.all()
        assert (found > ceilings_kw(run, delivered) * 0.5 + 1e-9).any(axis=1).all()
        assert (found <= 7.36 * 0.5 + 1e-9).all()

    def test_charges_within_the_real_plug_in_window_alone(self):
        area = make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER, behaviour=OBEDIENT)
        found = metered_kwh(delivered)
        starts = np.array(GRID.starts())
        for index, evse in enumerate(area.evses):
            (at,) = np.flatnonzero(delivered.fleet.evse_pks == evse.pk)
            before = starts < utc(DAY, time(17, 5 * index)) - timedelta(minutes=30)
            past = starts >= utc(DAY + timedelta(days=1), time(7, 30))
            assert not found[at, before | past].any()
            assert found[at].sum() == pytest.approx(6.0 + index)

    def test_reads_zero_of_a_car_that_did_not_come(self):
        make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER, behaviour=NOBODY)
        found = metered_kwh(delivered)
        assert not found.any()  # a reading of 0, not a missing one
        assert delivered.delivery.is_absent.all()
        assert not delivered.uncontrolled_kwh.any()

    def test_changes_nothing_when_it_is_delivered_again(self):
        make_small_area(DAY)
        run = dispatch()
        first = deliver_day(run=run, as_of=AFTER)
        n_row, n_batch = MeterDay.objects.across_tenants().count(), Batch.objects.count()

        again = deliver_day(run=run, as_of=AFTER)

        np.testing.assert_array_equal(again.delivery.energy_kwh, first.delivery.energy_kwh)
        np.testing.assert_array_equal(again.uncontrolled_kwh, first.uncontrolled_kwh)
        assert again.batches == first.batches
        assert (MeterDay.objects.across_tenants().count(), Batch.objects.count()) == (n_row, n_batch)

    def test_draws_other_behaviour_from_another_seed(self):
        make_small_area(DAY)
        run = dispatch()
        coin = Behaviour(no_show_rate=0.5)
        absent = [deliver_day(run=run, as_of=AFTER, behaviour=coin, seed=seed).delivery.is_absent for seed in range(6)]
        assert len({tuple(draw) for draw in absent}) > 1

    def test_counts_the_readings_as_known_after_the_day(self):
        make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER)
        assert {batch.received_at for batch in delivered.batches} == {GRID.ends_at + READ_AFTER}
        assert np.isnan(metered_kwh(delivered, as_of=GRID.ends_at + READ_AFTER - timedelta(seconds=1))).any()
        assert np.isfinite(metered_kwh(delivered, as_of=GRID.ends_at + READ_AFTER)).all()

    def test_gives_each_dsrsp_its_own_batch_and_rows(self):
        area = make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER)
        assert [batch.organisation for batch in delivered.batches] == list(area.dsrsps)
        for batch in delivered.batches:
            rows = MeterDay.objects.across_tenants().filter(batch=batch)
            assert set(rows.values_list("organisation", flat=True)) == {batch.organisation_id}

    def test_corrects_the_readings_when_a_new_run_is_in_force(self):
        make_small_area(DAY)
        first = deliver_day(run=dispatch(), as_of=AFTER, behaviour=OBEDIENT)
        NodeRating.objects.filter(node__code="street").update(rating_kva=12.0)
        second = deliver_day(run=dispatch(), as_of=AFTER, behaviour=OBEDIENT)
        assert (first.delivery.energy_kwh != second.delivery.energy_kwh).any()
        np.testing.assert_allclose(metered_kwh(second), second.delivery.energy_kwh, atol=1e-12)

    @pytest.mark.parametrize("early", [timedelta(days=1), timedelta(seconds=1)])
    def test_refuses_a_day_that_is_not_over(self, early):
        """Sessions still to come would be read as zero, and a DSRSP be paid for them."""
        make_small_area(DAY)
        run = dispatch()
        n_batch = Batch.objects.count()
        with pytest.raises(DayNotOver) as refused:
            deliver_day(run=run, as_of=GRID.ends_at - early)
        assert refused.value.code == "delivery.day_not_over"
        assert Batch.objects.count() == n_batch

    def test_sees_only_sessions_known_by_then(self):
        area = make_small_area(DAY)
        run = dispatch()
        ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at, evse=area.evses[0]).update(
            received_at=AFTER
        )
        before = deliver_day(run=run, as_of=AFTER - timedelta(seconds=1), behaviour=OBEDIENT)
        assert len(before.sessions) == 5
        assert len(deliver_day(run=run, as_of=AFTER, behaviour=OBEDIENT).sessions) == 6

    def test_delivers_a_day_without_any_session(self):
        make_small_area(DAY)
        run = dispatch()
        ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at).delete()
        delivered = deliver_day(run=run, as_of=AFTER)
        assert len(delivered.sessions) == 0
        assert not metered_kwh(delivered).any()

    def test_takes_a_session_that_outlasts_the_day(self):
        area = make_small_area(DAY)
        ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at).delete()
        ChargingSession(
            evse=area.evses[0],
            organisation=area.dsrsps[0],
            session_ref="long",
            plug_in_at=utc(DAY, time(18)),
            plug_out_at=utc(DAY, time(18)) + timedelta(days=3),
            energy_kwh=900.0,
            received_at=GRID.ends_at,
            batch=make_batch(area.dno),
        ).save()
        delivery = deliver_day(run=dispatch(), as_of=AFTER, behaviour=OBEDIENT).delivery
        assert delivery.asked_kwh[0] == pytest.approx(7.36 * 18)
        assert delivery.delivered_kwh[0] + delivery.unserved_kwh[0] == pytest.approx(7.36 * 18)

    def test_leaves_the_sessions_of_other_days_alone(self):
        make_small_area(DAY)
        delivered = deliver_day(run=dispatch(), as_of=AFTER)
        assert len(delivered.sessions) == 6
        assert {str(ref)[:10] for ref in delivered.sessions.session_ids} == {DAY.isoformat()}

    def test_puts_the_readings_of_an_evse_that_switched_with_its_new_dsrsp(self):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = GRID.starts_at - timedelta(days=10)
        enrolment.save()
        blue = make_organisation("blue")
        make_enrolment(area.evses[0], blue, enrolment.ends_at)

        delivered = deliver_day(run=dispatch(), as_of=AFTER)

        rows = MeterDay.objects.across_tenants().filter(meter=area.evses[0].meter, batch__in=delivered.batches)
        assert {row.organisation for row in rows} == {blue}
        assert not MeterDay.objects.for_tenant(area.dsrsps[0]).filter(meter=area.evses[0].meter, day__gt=DAY).exists()
