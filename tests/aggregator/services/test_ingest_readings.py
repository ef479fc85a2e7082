"""Readings by way of the one ingest service: bitemporal, harmless twice, quarantined or refused whole."""

import threading
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.arrays.readings import UnknownMeter, load_energy_kwh
from aggregator.core.meter_energy import InvalidReadings, ReadingValues
from aggregator.core.readings import ConflictingReadings, ImpossibleReading, ReadingOffPeriod
from aggregator.core.timegrid import settlement_day
from aggregator.models import Batch, Finding, MeterDay
from aggregator.services.ingest_readings import NoReadings, ingest_readings
from tests.factories import make_enrolment, make_evse, make_meter, make_organisation

pytestmark = pytest.mark.django_db
DAY = date(2023, 3, 25)
MIDNIGHT = np.datetime64("2023-03-25T00:00:00", "s")
NOON = datetime(2023, 3, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def readings(*values):
    """(meter, half-hour of the day, kWh) as they come."""
    meters, periods, energy = zip(*values, strict=True) if values else ((), (), ())
    return ReadingValues(
        np.array([meter.pk for meter in meters], dtype=np.int64),
        MIDNIGHT + np.array(periods, dtype=np.int64) * np.timedelta64(1800, "s"),
        np.array(energy, dtype=np.float64),
    )


def deliver(values, *, at=NOON, sha256="a", **options):
    options.setdefault("organisation", make_organisation())
    return ingest_readings(source="test", sha256=sha256, received_at=at, values=values, **options)


def known(meter, *, as_of=NOON + 1000 * HOUR, day=DAY):
    return load_energy_kwh(meter_pks=np.array([meter.pk]), first_day=day, last_day=day, as_of=as_of).energy_kwh[0, 0]


def deliveries(energy):
    """Lists of (hour of receipt, {(meter, half-hour): kWh})."""
    said = st.dictionaries(st.tuples(st.integers(0, 1), st.integers(0, 60)), energy, max_size=6)
    return st.lists(st.tuples(st.integers(0, 6), said), min_size=1, max_size=6)


def check_against_dictionary(told):
    """Deliver in this order; what is known at each hour must be what a dictionary, updated by receipt, holds."""
    with transaction.atomic():
        meters = [make_meter("x"), make_meter("y")]
        for number, (hour, values) in enumerate(told):
            if values:
                said = [(meters[at], period, energy) for (at, period), energy in values.items()]
                deliver(readings(*said), at=NOON + hour * HOUR, sha256=f"{number}")
        for hour in range(7):
            expected = {}
            for received, values in sorted(told, key=lambda delivery: delivery[0]):
                expected.update(values if received <= hour else {})
            loaded = load_energy_kwh(
                meter_pks=np.array([meter.pk for meter in meters]),
                first_day=DAY,
                last_day=DAY + timedelta(days=1),
                as_of=NOON + hour * HOUR,
            ).energy_kwh.reshape(2, 96)
            found = {(int(at), int(period)): loaded[at, period] for at, period in np.argwhere(np.isfinite(loaded))}
            assert found == expected
        transaction.set_rollback(True)


@pytest.fixture
def meter():
    return make_meter("m")


class TestIngestReadings:
    def test_stores_what_it_is_given_and_leaves_the_rest_unknown(self, meter):
        result = deliver(readings((meter, 3, 1.5), (meter, 1, 0.0)))

        assert (result.n_accepted, result.n_duplicate, result.n_revised, result.n_quarantined) == (2, 0, 0, 0)
        assert known(meter)[[1, 3]].tolist() == [0.0, 1.5]
        assert np.isnan(np.delete(known(meter), [1, 3])).all()

    def test_keeps_what_was_known_before_a_correction(self, meter):
        deliver(readings((meter, 0, 1.0), (meter, 1, 2.0)))

        result = deliver(readings((meter, 0, 1.0), (meter, 1, 5.0)), at=NOON + HOUR, sha256="b")

        assert (result.n_accepted, result.n_revised, result.n_duplicate) == (1, 1, 1)
        assert known(meter)[:2].tolist() == [1.0, 5.0]
        assert known(meter, as_of=NOON)[:2].tolist() == [1.0, 2.0]
        assert np.isnan(known(meter, as_of=NOON - HOUR)).all()
        correction = MeterDay.objects.across_tenants().get(batch=result.batch)
        assert correction.energy_kwh == [None, 5.0] + [None] * 46

    def test_changes_nothing_when_delivered_again(self, meter):
        values = readings((meter, 0, 1.0), (meter, 1, 2.0))
        first = deliver(values)
        rows = list(MeterDay.objects.across_tenants().values())

        again = deliver(values, at=NOON + HOUR)

        assert (again.n_accepted, again.n_duplicate, again.batch) == (0, 2, first.batch)
        assert list(MeterDay.objects.across_tenants().values()) == rows
        assert Batch.objects.count() == 1

    def test_does_not_undo_a_correction_when_the_old_content_comes_again(self, meter):
        old = readings((meter, 0, 1.0))
        deliver(old)
        deliver(readings((meter, 0, 2.0)), at=NOON + HOUR, sha256="b")

        again = deliver(old, at=NOON + 2 * HOUR)

        assert (again.n_accepted, again.n_duplicate) == (0, 1)
        assert known(meter)[0] == 2.0

    def test_takes_an_old_value_back_when_new_content_says_so(self, meter):
        for hours, (sha256, value) in enumerate([("a", 1.0), ("b", 2.0), ("c", 1.0)]):
            deliver(readings((meter, 0, value)), at=NOON + hours * HOUR, sha256=sha256)

        assert [known(meter, as_of=NOON + hours * HOUR)[0] for hours in range(3)] == [1.0, 2.0, 1.0]

    def test_takes_readings_in_any_order_and_twice(self, meter):
        other = make_meter("n")

        result = deliver(readings((other, 5, 1.0), (meter, 4, 2.0), (meter, 1, 3.0), (other, 5, 1.0)))

        assert (result.n_accepted, result.n_duplicate) == (3, 1)
        assert (known(meter)[4], known(meter)[1], known(other)[5]) == (2.0, 3.0, 1.0)

    def test_counts_a_late_delivery_as_known_only_then(self, meter):
        deliver(readings((meter, 0, 2.0)), at=NOON + HOUR, sha256="later")
        deliver(readings((meter, 0, 1.0)), at=NOON, sha256="earlier but processed after")

        assert known(meter, as_of=NOON)[0] == 1.0
        assert known(meter)[0] == 2.0

    def test_backfills_each_day_as_known_when_it_had_ended(self, meter):
        next_year = NOON.replace(year=2024)

        deliver(readings((meter, 0, 1.0), (meter, 48, 2.0)), at=next_year, backfill=True)

        end_of_day = datetime(2023, 3, 26, tzinfo=UTC)
        assert np.isnan(known(meter, as_of=end_of_day - HOUR)).all()
        assert known(meter, as_of=end_of_day)[0] == 1.0
        assert np.isnan(known(meter, as_of=end_of_day, day=date(2023, 3, 26))).all()

    def test_never_backfills_to_later_than_receipt(self, meter):
        deliver(readings((meter, 0, 1.0)), at=datetime(2023, 3, 25, 1, tzinfo=UTC), backfill=True)

        assert known(meter, as_of=datetime(2023, 3, 25, 1, tzinfo=UTC))[0] == 1.0

    def test_backfills_beneath_what_came_by_another_way(self, meter):
        deliver(readings((meter, 0, 1.0)), at=NOON)

        result = deliver(readings((meter, 0, 1.0)), at=NOON + HOUR, sha256="a", backfill=True)

        assert result.n_accepted == 1
        assert known(meter, as_of=datetime(2023, 3, 26, tzinfo=UTC))[0] == 1.0

    @pytest.mark.parametrize("day", [date(2023, 3, 26), date(2023, 10, 29), date(2024, 2, 29)])
    def test_keeps_every_period_of_a_settlement_day_whatever_its_length(self, meter, day):
        grid = settlement_day(day)
        energy_kwh = np.arange(grid.n_period) / 10
        values = ReadingValues(np.full(grid.n_period, meter.pk), grid.period_starts(), energy_kwh)

        deliver(values, at=grid.ends_at)

        loaded = load_energy_kwh(
            meter_pks=np.array([meter.pk]),
            first_day=grid.starts_at.date(),
            last_day=grid.ends_at.date(),
            as_of=grid.ends_at,
        )
        np.testing.assert_array_equal(loaded.on_grid(grid), energy_kwh[np.newaxis])

    def test_gives_a_day_to_the_dsrsp_of_that_day(self):
        before, after = make_organisation("before"), make_organisation("after")
        evse = make_evse("e", dsrsp=before, enrolled_to=datetime(2023, 3, 26, tzinfo=UTC))
        make_enrolment(evse, after, datetime(2023, 3, 26, tzinfo=UTC))

        deliver(readings((evse.meter, 0, 1.0), (evse.meter, 48, 1.0)), organisation=make_organisation("platform"))

        assert [row.day for row in MeterDay.objects.for_tenant(before)] == [DAY]
        assert [row.day for row in MeterDay.objects.for_tenant(after)] == [DAY + timedelta(days=1)]

    def test_keeps_readings_above_the_rating_as_findings(self):
        evse = make_evse("e", rated_kw=7.4)

        result = deliver(readings((evse.meter, 0, 3.7), (evse.meter, 1, 30.0)))

        assert result.n_accepted == 2
        finding = Finding.objects.across_tenants().get()
        assert (finding.code, finding.subject, finding.source) == (
            "reading.above_rating",
            "e-meter",
            f"batch:{result.batch.pk}",
        )
        assert finding.details["n_reading"] == 1

    @pytest.mark.parametrize("energy_kwh", [np.nan, np.inf, -np.inf, -0.001, 1e308, 346.0])
    def test_refuses_an_impossible_value_and_stores_nothing(self, meter, energy_kwh):
        with pytest.raises(ImpossibleReading) as refused:
            deliver(readings((meter, 0, 1.0), (meter, 1, energy_kwh)))

        assert refused.value.details["row"] == 1
        assert not MeterDay.objects.across_tenants().exists()
        assert not Batch.objects.exists()

    def test_allows_a_feeder_more_than_a_customer_but_not_anything(self):
        feeder = make_meter("f", "feeder")

        assert deliver(readings((feeder, 0, 4_000.0))).n_accepted == 1
        with pytest.raises(ImpossibleReading):
            deliver(readings((feeder, 0, 5_001.0)), sha256="b")

    def test_refuses_two_values_for_one_half_hour(self, meter):
        with pytest.raises(ConflictingReadings) as refused:
            deliver(readings((meter, 0, 1.0), (meter, 0, 2.0)))

        assert refused.value.details["row"] in (0, 1)
        assert not Batch.objects.exists()

    def test_refuses_a_start_off_the_half_hour(self, meter):
        values = ReadingValues(np.array([meter.pk]), MIDNIGHT[np.newaxis] + 60, np.array([1.0]))

        with pytest.raises(ReadingOffPeriod):
            deliver(values)

    def test_refuses_an_unknown_meter_and_no_readings(self, meter):
        meter.pk = 10**9
        with pytest.raises(UnknownMeter):
            deliver(readings((meter, 0, 1.0)))
        with pytest.raises(NoReadings):
            deliver(readings())

    def test_refuses_arrays_that_do_not_fit(self):
        with pytest.raises(InvalidReadings):
            ReadingValues(np.array([1]), MIDNIGHT[np.newaxis], np.array([1.0, 2.0]))
        with pytest.raises(InvalidReadings):
            ReadingValues(np.array([1]), np.array(["2023-01-01"], dtype="datetime64[D]"), np.array([1.0]))

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(deliveries(st.floats(0, 5)))
    def test_agrees_with_a_dictionary_whatever_comes_late_or_out_of_order(self, db, told):
        # Each delivery's values are its own: what only repeats is not written, so nothing marks when it came.
        apart = [
            (hour, {at: energy + 10 * number for at, energy in v.items()}) for number, (hour, v) in enumerate(told)
        ]

        check_against_dictionary(apart)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(deliveries(st.sampled_from([0.0, 1.0])))
    def test_agrees_with_a_dictionary_whatever_is_repeated_or_taken_back(self, db, told):
        check_against_dictionary(sorted(told, key=lambda delivery: delivery[0]))


@pytest.mark.django_db(transaction=True)
class TestTwoDeliveriesAtOnce:
    def test_store_one(self):
        meter = make_meter("m")
        organisation = make_organisation()
        values = readings(*((meter, period, 1.0) for period in range(48)))
        results, gate = [], threading.Barrier(2)

        def run():
            gate.wait()
            try:
                results.append(deliver(values, organisation=organisation))
            finally:
                connection.close()

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(result.n_accepted for result in results) == [0, 48]
        assert MeterDay.objects.across_tenants().count() == 1
        assert Batch.objects.count() == 1
