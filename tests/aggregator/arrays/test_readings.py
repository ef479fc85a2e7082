"""Meter-days between numpy and PostgreSQL."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.meter_day_copy import UnexpectedCopy, incoming, unpack
from aggregator.arrays.readings import load_energy_kwh, load_meter_days, load_meters, store_meter_days
from aggregator.models import Batch, MeterDay
from tests.factories import make_evse, make_meter, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def make_batch():
    return Batch.objects.create(
        kind="readings", organisation=make_organisation(), source="s", sha256="s", received_at=NOW
    )


def store(batch, meters, days, energy_kwh, received_at=NOW):
    n_row = len(meters)
    store_meter_days(
        batch_pk=batch.pk,
        day=np.array(days, dtype="datetime64[D]"),
        meter_pk=np.array([meter.pk for meter in meters]),
        organisation_pk=np.full(n_row, make_organisation().pk),
        received_at=np.full(n_row, np.datetime64(received_at.replace(tzinfo=None), "us")),
        energy_kwh=np.array(energy_kwh, dtype=np.float64),
    )


class TestStoreMeterDays:
    def test_writes_what_the_orm_reads_null_for_null(self):
        meter, batch = make_meter(), make_batch()
        energy_kwh = np.arange(48) / 7
        energy_kwh[[0, 13, 47]] = np.nan

        store(batch, [meter], ["2023-12-31"], [energy_kwh])

        row = MeterDay.objects.across_tenants().get()
        assert (row.day, row.meter_id, row.batch_id, row.organisation) == (
            date(2023, 12, 31),
            meter.pk,
            batch.pk,
            make_organisation(),
        )
        assert row.received_at == NOW
        assert row.energy_kwh == [None if np.isnan(value) else value for value in energy_kwh]

    def test_gives_back_every_bit_over_months_meters_and_batches(self):
        rng = np.random.default_rng(7)
        meters = [make_meter(f"m{number}") for number in range(7)]
        first_day = date(2023, 1, 20)
        energy_kwh = rng.uniform(0, 5, (7, 70, 48))
        energy_kwh[rng.uniform(size=energy_kwh.shape) < 0.3] = np.nan
        order = rng.permutation(7 * 70)
        days = [first_day + timedelta(days=int(at % 70)) for at in order]

        store(make_batch(), [meters[at // 70] for at in order], days, energy_kwh.reshape(-1, 48)[order])

        asked = np.array([meter.pk for meter in meters])[::-1]
        loaded = load_energy_kwh(
            meter_pks=asked, first_day=first_day, last_day=first_day + timedelta(days=69), as_of=NOW
        )
        np.testing.assert_array_equal(loaded.energy_kwh, energy_kwh[::-1])

    def test_packs_more_rows_than_a_piece_holds(self, monkeypatch):
        monkeypatch.setattr("aggregator.arrays.meter_day_copy.ROWS_A_PIECE", 3)
        meters = [make_meter(f"m{number}") for number in range(10)]

        store(make_batch(), meters, ["2024-02-29"] * 10, [[number] * 48 for number in range(10)])

        loaded = load_energy_kwh(
            meter_pks=np.array([meter.pk for meter in meters]),
            first_day=date(2024, 2, 29),
            last_day=date(2024, 2, 29),
            as_of=NOW,
        )
        assert loaded.energy_kwh[:, 0, 0].tolist() == list(range(10))


class TestLoadEnergyKwh:
    def test_lays_what_was_received_later_on_top_until_as_of(self):
        meter = make_meter()
        day = date(2024, 1, 1)
        nothing = [np.nan] * 46
        store(make_batch(), [meter], [day], [[1, 2, *nothing]])
        store(make_batch(), [meter], [day], [[np.nan, 3, *nothing]], NOW + timedelta(microseconds=1))

        def known(as_of):
            return (
                load_energy_kwh(meter_pks=np.array([meter.pk]), first_day=day, last_day=day, as_of=as_of)
                .energy_kwh[0, 0, :2]
                .tolist()
            )

        assert known(NOW) == [1, 2]
        assert known(NOW + timedelta(microseconds=1)) == [1, 3]

    def test_knows_nothing_of_meters_and_days_without_rows(self):
        loaded = load_energy_kwh(
            meter_pks=np.array([make_meter().pk]), first_day=date(2031, 1, 1), last_day=date(2031, 1, 3), as_of=NOW
        )

        assert loaded.energy_kwh.shape == (1, 3, 48)
        assert np.isnan(loaded.energy_kwh).all()

    def test_loads_nothing_for_no_meters(self):
        none = np.array([], dtype=np.int64)

        loaded = load_energy_kwh(meter_pks=none, first_day=date(2024, 1, 1), last_day=date(2024, 1, 1), as_of=NOW)

        assert loaded.energy_kwh.shape == (0, 1, 48)

    def test_tells_rows_apart_that_were_received_in_no_order(self):
        meter = make_meter()
        batches = [make_batch() for _ in range(3)]
        for batch, hours in zip(batches, (2, 0, 1), strict=True):
            store(batch, [meter], ["2024-01-01"], [[hours] * 48], NOW + timedelta(hours=hours))

        stored = load_meter_days(
            meter_pks=np.array([meter.pk]), first_day=date(2024, 1, 1), last_day=date(2024, 1, 1), as_of=None
        )

        assert sorted(stored.batch.tolist()) == [batch.pk for batch in batches]
        assert (stored.received_at.max() - stored.received_at.min()) == np.timedelta64(2, "h")


class TestLoadMeters:
    def test_tells_the_rating_behind_an_asset_meter_in_the_order_asked(self):
        evse, meter = make_evse("e", rated_kw=11.0), make_meter("m")

        facts = load_meters(meter_pks=np.array([meter.pk, evse.meter.pk]))

        assert facts.codes.tolist() == ["m", "e-meter"]
        assert facts.evse_pks.tolist() == [-1, evse.pk]
        assert np.isnan(facts.rated_kw[0])
        assert facts.rated_kw[1] == 11.0


class TestUnpack:
    def test_refuses_bytes_of_another_shape(self):
        with pytest.raises(UnexpectedCopy):
            unpack(b"\0" * (incoming(48).itemsize - 1))
        with pytest.raises(UnexpectedCopy):
            unpack(b"\0" * incoming(48).itemsize)
