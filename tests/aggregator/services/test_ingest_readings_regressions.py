"""Deliveries at the same time: what once made two of them wait for each other."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from django.db import connection

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.reading_rows import ReadingRows
from aggregator.models import Meter
from aggregator.services import ingest_reading_rows, ingest_readings
from tests.factories import make_meter, make_node, make_organisation

pytestmark = pytest.mark.django_db(transaction=True)

RECEIVED_AT = datetime(2031, 6, 1, tzinfo=UTC)


def state_of_month(day: date) -> tuple[bool, bool]:
    """Whether the month has its partition, and whether this session holds the table for writing already."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"aggregator_meterday_{day:%Y_%m}"])
        has_partition = cursor.fetchone()[0]
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock' "
            "AND relation = 'aggregator_meterday'::regclass"
        )
        return has_partition, cursor.fetchone()[0] == 1


@pytest.fixture
def spy(monkeypatch):
    """Note the state of a month at the first write of a delivery."""

    def watch(module, name: str, day: date) -> list[tuple[bool, bool]]:
        seen, original = [], getattr(module, name)

        def noting(**arguments):
            seen.append(state_of_month(day))
            return original(**arguments)

        monkeypatch.setattr(module, name, noting)
        return seen

    return watch


class TestIngestReadings:
    def test_makes_a_new_months_partition_before_it_writes_its_batch(self, spy):
        # A partition locks the tables it refers to: made later, it waits for the batch another delivery has written
        # while that one waits for the table.
        seen = spy(ingest_readings, "open_batch", date(2031, 5, 1))
        values = ReadingValues(
            np.array([make_meter().pk]), np.array(["2031-05-04T10:00:00"], dtype="datetime64[s]"), np.array([0.5])
        )
        ingest_readings.ingest_readings(
            organisation=make_organisation(), source="test", sha256="a", received_at=RECEIVED_AT, values=values
        )
        assert seen == [(True, True)]


class TestIngestDemand:
    def test_makes_a_new_months_partition_before_it_writes_a_meter(self, spy):
        seen = spy(ingest_reading_rows, "place_meters", date(2031, 8, 1))
        node = make_node()
        rows = ReadingRows(
            names=np.array(["home"]),
            series=np.array([0]),
            lines=np.array([2]),
            starts_at=np.array(["2031-08-04T10:00:00"], dtype="datetime64[s]"),
            energy_kwh=np.array([0.5]),
        )
        ingest_reading_rows.ingest_demand(
            organisation=node.organisation,
            source="test",
            sha256="a",
            received_at=RECEIVED_AT,
            rows=rows,
            meter_kind=Meter.Kind.CUSTOMER,
            places={"home": node.code},
        )
        assert seen == [(True, True)]
