"""COPY through a temporary table: the rows arrive whole, or not at all, and only where a policy lets them in."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime

import numpy as np
import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from aggregator.arrays.copy_in import copy_into
from aggregator.arrays.readings import UnknownMeter, load_energy_kwh, load_meters, make_partitions, store_meter_days
from aggregator.models import CSMS, Batch, Meter, MeterDay, acting_for, as_nobody
from tests.factories import make_dno, make_meter, make_organisation
from tests.walks.small_area import make_batch

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
KNOWN_AT = datetime(2026, 2, 1, tzinfo=UTC)
TO_CSMS = {"table": "aggregator_csms", "columns": ("code", "name")}


def copy_rows(rows: Iterable[tuple[str, str]]) -> None:
    with copy_into(**TO_CSMS) as copy:
        for row in rows:
            copy.write_row(row)


class TestCopyInto:
    def test_adds_the_rows_when_the_block_ends(self):
        with copy_into(**TO_CSMS) as copy:
            copy.write_row(("one", "Tab\there"))
            copy.write_row(("two", "Zwei \\N"))
        assert list(CSMS.objects.order_by("pk").values_list("code", "name")) == [
            ("one", "Tab\there"),
            ("two", "Zwei \\N"),
        ]

    def test_takes_more_in_the_same_transaction(self):
        with transaction.atomic():
            copy_rows([("one", "1")])
            copy_rows([("two", "2")])
        assert CSMS.objects.count() == 2

    def test_takes_none(self):
        copy_rows([])
        assert not CSMS.objects.exists()

    def test_keeps_the_tables_constraints_and_takes_in_none_where_one_is_broken(self):
        with pytest.raises(IntegrityError):
            copy_rows([("one", "1"), ("one", "again")])
        assert not CSMS.objects.exists()
        copy_rows([("one", "1")])

    def test_takes_in_none_where_the_bringer_fails(self):
        def rows() -> Iterator[tuple[str, str]]:
            yield "one", "1"
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            copy_rows(rows())
        assert not CSMS.objects.exists()
        copy_rows([("one", "1")])

    def test_leaves_nothing_behind(self):
        copy_rows([("one", "1")])
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class WHERE relname = 'incoming'")
            assert cursor.fetchone() == (0,)

    @pytest.mark.django_db(transaction=True)
    def test_is_its_own_transaction_where_there_is_none(self):
        copy_rows([("one", "1")])
        assert CSMS.objects.count() == 1


@pytest.fixture
def meters() -> dict[str, Meter]:
    """A meter each of amber, blue and north, and a reading of each of the day."""
    owners = [make_organisation("amber"), make_organisation("blue"), make_dno("north")]
    meters = {owner.code: make_meter(f"{owner.code}-1", organisation=owner) for owner in owners}
    for value, meter in enumerate(meters.values(), start=1):
        store(meter, make_batch(meter.organisation), float(value))
    return meters


def store(meter: Meter, batch: Batch, value: float) -> None:
    day = np.array([DAY], dtype="datetime64[D]")
    store_meter_days(
        batch_pk=batch.pk,
        day=day,
        meter_pk=np.array([meter.pk]),
        organisation_pk=np.array([meter.organisation_id]),
        received_at=np.array(["2026-01-16T00:00"], dtype="datetime64[us]"),
        energy_kwh=np.full((1, 48), value),
    )


class TestReadingsBehindTheWall:
    """The statements that pass the managers by are bound as all others are."""

    @pytest.mark.parametrize(("code", "seen"), [("amber", [1, 0, 0]), ("blue", [0, 2, 0]), ("north", [0, 0, 3])])
    def test_are_loaded_for_their_own_organisation_only(self, meters, code, seen):
        pks = np.array([meter.pk for meter in meters.values()])
        with acting_for(meters[code].organisation):
            found = load_energy_kwh(meter_pks=pks, first_day=DAY, last_day=DAY, as_of=KNOWN_AT)
        assert np.nan_to_num(found.energy_kwh[:, 0, 0]).tolist() == seen

    def test_are_loaded_for_nobody_not_at_all(self, meters):
        pks = np.array([meter.pk for meter in meters.values()])
        with as_nobody():
            found = load_energy_kwh(meter_pks=pks, first_day=DAY, last_day=DAY, as_of=KNOWN_AT)
        assert np.isnan(found.energy_kwh).all()

    def test_are_stored_by_the_platforms_work_only(self, meters):
        amber = meters["amber"]
        batch = make_batch(amber.organisation)
        make_partitions(day=np.array([DAY], dtype="datetime64[D]"))
        with acting_for(amber.organisation):
            with pytest.raises(ProgrammingError) as refused:
                store(amber, batch, 9.0)
            assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)
            assert MeterDay.objects.across_tenants().get().energy_kwh == [1.0] * 48

    def test_meters_of_others_are_unknown(self, meters):
        with acting_for(meters["amber"].organisation):
            assert load_meters(meter_pks=np.array([meters["amber"].pk])).codes.tolist() == ["amber-1"]
            with pytest.raises(UnknownMeter, match="no meter has the key"):
                load_meters(meter_pks=np.array([meters["blue"].pk]))
