"""Readings and demand by the names their sources use."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from aggregator.arrays.meters import MeterTaken, UnknownPlace
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.findings import count_by_code
from aggregator.core.reading_rows import InvalidReadingRows, ReadingRows
from aggregator.core.readings import ConflictingReadings, ImpossibleReading
from aggregator.models import Batch, Finding, Meter
from aggregator.services.ingest_reading_rows import ingest_demand, ingest_reading_rows
from tests.factories import make_dno, make_evse, make_meter, make_node, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 1, tzinfo=UTC)
START = np.datetime64("2024-05-01T00:00", "s")


def rows(*values):
    """(name, half-hour, kWh) on lines 2, 3, ..."""
    names, periods, energy = zip(*values, strict=True)
    unique, series = np.unique(np.array(names), return_inverse=True)
    starts_at = START + np.array(periods) * np.timedelta64(1800, "s")
    return ReadingRows(unique, series, np.arange(len(names)) + 2, starts_at, np.array(energy, dtype=np.float64))


def deliver(*values, sha256="a", at=NOW, names_evses=True, **options):
    return ingest_reading_rows(
        organisation=make_organisation("platform", "platform"),
        source="r.csv",
        sha256=sha256,
        received_at=at,
        rows=rows(*values),
        names_evses=names_evses,
        **options,
    )


def measure(*values, sha256="a", kind=Meter.Kind.CUSTOMER, **options):
    return ingest_demand(
        organisation=make_dno(),
        source="d.csv",
        sha256=sha256,
        received_at=NOW,
        rows=rows(*values),
        meter_kind=kind,
        **options,
    )


def known(code):
    pk = Meter.objects.across_tenants().get(code=code).pk
    day = date(2024, 5, 1)
    return load_energy_kwh(meter_pks=np.array([pk]), first_day=day, last_day=day, as_of=NOW).energy_kwh[0, 0]


class TestIngestReadingRows:
    def test_finds_meters_by_evse_or_by_code(self):
        make_evse("e")
        make_meter("m")

        assert deliver(("e", 0, 1.0)).n_accepted == 1
        assert deliver(("m", 0, 2.0), names_evses=False, sha256="b").n_accepted == 1
        assert (known("e-meter")[0], known("m")[0]) == (1.0, 2.0)

    def test_sets_readings_of_unknown_meters_aside(self):
        make_evse("e")

        result = deliver(("e", 0, 1.0), ("nobody", 0, 1.0), ("nobody", 1, 1.0))

        assert (result.n_accepted, result.n_quarantined) == (1, 2)
        assert count_by_code(result.findings) == {"reading.unknown_meter": 1}
        assert Finding.objects.across_tenants().get().details == {"n_row": 2}

    def test_takes_them_once_the_meter_is_known_and_the_same_file_comes_again(self):
        make_evse("e")
        values = (("e", 0, 1.0), ("late", 0, 2.0))
        deliver(*values)
        make_evse("late")

        result = deliver(*values)

        assert (result.n_accepted, result.n_duplicate) == (1, 1)
        assert known("late-meter")[0] == 2.0
        assert deliver(*values).n_accepted == 0

    def test_keeps_a_missing_reading_apart_from_zero(self):
        make_evse("e")

        result = deliver(("e", 0, np.nan), ("e", 1, 0.0))

        assert (result.n_accepted, count_by_code(result.findings)) == (1, {"reading.missing": 1})
        assert np.isnan(known("e-meter")[0])
        assert known("e-meter")[1] == 0.0

    @pytest.mark.parametrize(
        ("bad", "error", "line"),
        [
            (("e", 1, -1.0), ImpossibleReading, 3),
            (("e", 1, 400.0), ImpossibleReading, 3),
            (("e", 0, 2.0), ConflictingReadings, 2),
        ],
    )
    def test_refuses_by_the_line_of_the_source(self, bad, error, line):
        make_evse("e")

        with pytest.raises(error, match=rf"r\.csv: line {line}, e: found"):
            deliver(("e", 0, 1.0), bad)

        assert not Batch.objects.exists()

    def test_refuses_columns_that_do_not_fit(self):
        with pytest.raises(InvalidReadingRows):
            ReadingRows(np.array(["a"]), np.zeros(1), np.zeros(2), np.zeros(1), np.zeros(1))


class TestIngestDemand:
    def test_makes_unplaced_meters_of_the_dno_for_new_series(self):
        result = measure(("h1", 0, 1.0), ("h2", 0, np.nan))

        meters = Meter.objects.for_tenant(make_dno())
        assert {(meter.code, meter.kind, meter.node) for meter in meters} == {
            ("h1", "customer", None),
            ("h2", "customer", None),
        }
        assert count_by_code(result.findings) == {"demand.missing": 1, "demand.unplaced": 1}

    def test_places_series_on_nodes_now_and_later(self):
        node, other = make_node("f"), make_node("g")

        assert count_by_code(measure(("h1", 0, 1.0), places={"h1": "f"}).findings) == {}
        assert Meter.objects.across_tenants().get().node == node
        measure(("h1", 0, 1.0), places={"h1": "g", "h9": "g"})
        assert Meter.objects.across_tenants().get().node == other

    def test_hangs_a_feeder_monitor_on_the_node_of_its_own_code(self):
        node = make_node("f")

        measure(("f", 0, 500.0), ("x", 0, 1.0), kind=Meter.Kind.FEEDER)

        placed = {meter.code: meter.node for meter in Meter.objects.across_tenants().all()}
        assert placed == {"f": node, "x": None}

    def test_sets_more_than_the_meters_can_pass_aside(self):
        result = measure(("f", 0, 100.0), ("g", 0, 100.1), kind=Meter.Kind.FEEDER, n_meter=np.array([10.0, 10.0]))

        assert (result.n_accepted, result.n_quarantined) == (1, 1)
        finding = next(note for note in result.findings if note.code == "demand.impossible")
        assert (finding.subject, finding.details["line"], finding.details["n_meter"]) == ("g", 3, 10.0)

    def test_allows_a_larger_customer_when_told(self):
        assert measure(("h", 0, 11.0)).n_quarantined == 1
        assert measure(("h", 0, 11.0), sha256="b", most_kwh_per_meter=35.0).n_accepted == 1

    def test_takes_the_same_content_for_another_half_hour(self):
        assert measure(("h", 0, 1.0), part="first").n_accepted == 1
        assert measure(("h", 1, 1.0), part="second").n_accepted == 1
        assert measure(("h", 1, 1.0), part="second").n_accepted == 0

    @pytest.mark.parametrize(
        ("options", "error"), [({"places": {"h": "nowhere"}}, UnknownPlace), ({"kind": Meter.Kind.FEEDER}, MeterTaken)]
    )
    def test_refuses_a_place_that_is_none_and_a_meter_that_is_not_its_own(self, options, error):
        measure(("h", 0, 1.0))
        make_meter("taken")
        n_meter = Meter.objects.across_tenants().count()

        with pytest.raises(error):
            measure(("h", 1, 1.0), ("new", 0, 1.0), sha256="b", **options)
        with pytest.raises(MeterTaken):
            measure(("taken", 0, 1.0), sha256="c")

        assert Meter.objects.across_tenants().count() == n_meter
