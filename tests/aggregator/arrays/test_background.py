from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.background import load_measured_demand
from aggregator.arrays.network import load_area
from aggregator.core.background import MeasuredDemand
from aggregator.core.meter_energy import ReadingValues
from aggregator.models import Meter, NetworkNode
from aggregator.services.ingest_readings import ingest_readings
from tests.factories import make_dno, make_evse, make_feeder, make_meter, make_node

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
KNOWN_AT = datetime(2026, 1, 16, tzinfo=UTC)


def read(meter: Meter, energy_kwh: float, *, day: date = DAY, received_at: datetime = KNOWN_AT, tag: str = "0") -> None:
    """One day of the same half-hours."""
    starts = np.datetime64(day, "s") + np.arange(48) * np.timedelta64(1800, "s")
    ingest_readings(
        organisation=make_dno(),
        source="by hand",
        sha256=f"{meter.code}{day}{tag}".ljust(64, "0")[:64],
        received_at=received_at,
        values=ReadingValues(np.full(48, meter.pk), starts, np.full(48, energy_kwh)),
    )


def load(root: NetworkNode, *, as_of: datetime = KNOWN_AT, n_day: int = 1) -> MeasuredDemand:
    area = load_area(root=root, starts_at=KNOWN_AT, ends_at=KNOWN_AT + timedelta(days=1))
    return load_measured_demand(area=area, first_day=DAY - timedelta(days=n_day - 1), last_day=DAY, as_of=as_of)


class TestLoadMeasuredDemand:
    def test_reads_kwh_of_a_half_hour_as_kw(self):
        feeder = make_feeder("street")
        read(make_meter("home", node=feeder.children.get(phase="B")), 0.25)

        measured = load(feeder)

        assert measured.first_day == DAY
        assert measured.customer_node.tolist() == [2]
        assert measured.customer_kw.shape == (1, 1, 48)
        assert (measured.customer_kw == 0.5).all()
        assert measured.monitor_kw.shape == (0, 1, 48)

    def test_keeps_monitors_apart_from_customers(self):
        feeder = make_feeder("street")
        read(make_meter("b-monitor", "feeder", node=feeder), 10.0)
        read(make_meter("a-home", node=feeder), 0.5)

        measured = load(feeder)

        assert (measured.monitor_kw == 20.0).all()
        assert measured.monitor_node.tolist() == [0]
        assert (measured.customer_kw == 1.0).all()

    def test_leaves_asset_meters_out(self):
        feeder = make_feeder("street")
        read(make_evse("home", node=feeder).meter, 1.0)

        measured = load(feeder)

        assert len(measured.customer_kw) == len(measured.monitor_kw) == 0

    def test_leaves_out_meters_of_other_places(self):
        feeder = make_feeder("street")
        read(make_meter("there", node=make_node("elsewhere")), 1.0)
        assert len(load(feeder).customer_kw) == 0

    def test_leaves_out_a_meter_that_never_read(self):
        feeder = make_feeder("street")
        make_meter("silent", node=feeder)
        make_meter("silent-monitor", "feeder", node=feeder)
        read(make_meter("home", node=feeder), 1.0)

        measured = load(feeder)

        assert (len(measured.customer_kw), len(measured.monitor_kw)) == (1, 0)

    def test_keeps_days_without_a_reading_missing(self):
        feeder = make_feeder("street")
        read(make_meter("home", node=feeder), 1.0)

        measured = load(feeder, n_day=3)

        assert np.isnan(measured.customer_kw[0, :2]).all()
        assert (measured.customer_kw[0, 2] == 2.0).all()

    def test_sees_only_what_was_known_then(self):
        feeder = make_feeder("street")
        meter = make_meter("home", node=feeder)
        read(meter, 1.0)
        read(meter, 3.0, received_at=KNOWN_AT + timedelta(hours=1), tag="1")

        assert (load(feeder).customer_kw == 2.0).all()
        assert (load(feeder, as_of=KNOWN_AT + timedelta(hours=1)).customer_kw == 6.0).all()
        assert len(load(feeder, as_of=KNOWN_AT - timedelta(seconds=1)).customer_kw) == 0
