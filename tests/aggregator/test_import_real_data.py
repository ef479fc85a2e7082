"""Every real file imported as it is, and every defect it is known to have counted."""

import csv
import gzip
import json
import re
from datetime import UTC, date, datetime
from io import StringIO

import numpy as np
import pytest
from django.core.management import call_command
from django.db.models import Sum

from aggregator.adapters.session_files import read_sessions
from aggregator.arrays.prices import load_carbon_gco2_per_kwh, load_prices_gbp_per_kwh
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.timegrid import TimeGrid, settlement_day
from aggregator.models import ChargingSession, Finding, Meter, MeterDay, NetworkNode, NodeRating, Tariff
from tests.factories import make_dno, make_feeder

pytestmark = [pytest.mark.django_db, pytest.mark.real_data]
NORWAY = "ev_sessions_norway.csv.gz"
DUNDEE = "ev_sessions_dundee.csv.gz"
BOULDER = "ev_sessions_boulder_2018_2019.csv.gz"


@pytest.fixture
def import_file(real_data):
    """Import a real file; return the counts it printed: accepted, duplicate, ..., and findings by code."""

    def run(kind, name, **options):
        out = StringIO()
        call_command(f"import_{kind}", str(real_data / name), stdout=out, stderr=StringIO(), **options)
        numbers = re.findall(r"([\d,]+) (accepted|revised|duplicate|quarantined)", out.getvalue())
        findings = re.findall(r"finding ([\w.]+): ([\d,]+)(?: \(([\d,]+) [\w-]+\))?", out.getvalue())
        counts = {word: _number(count) for count, word in numbers}
        return counts, {code: _number(inner or count) for code, count, inner in findings}

    return run


def _number(text):
    return int(text.replace(",", ""))


@pytest.fixture
def fleet(real_data, tmp_path):
    """Register every EVSE a file of sessions names, enrolled since 2010."""

    def register(name, rated_kw):
        make_feeder("f", dno=make_dno())
        with gzip.open(real_data / name, "rt") as stream:
            ids = sorted({row["evse_id"] for row in csv.DictReader(stream)} - {""})
        path = tmp_path / "evses.csv"
        lines = [f'"{evse}",csms,flexco,f,{rated_kw},2010-01-01T00:00:00Z' for evse in ids]
        path.write_text("\n".join(["evse_id,csms,dsrsp,node,rated_kw,enrolled_from", *lines]))
        call_command("import_evses", str(path), register_new=True, stdout=StringIO())
        return len(ids)

    return register


def overlaps(rows, *, with_any_earlier):
    """Rows with an end that start before the previous one, or any earlier one, on their connector has ended."""
    closed = np.flatnonzero(~np.isnat(rows.plug_out_at))
    order = closed[
        np.lexsort((closed, rows.plug_in_at[closed], rows.connectors[closed], rows.evse_refs[closed]))
    ].tolist()
    count, before, latest = 0, None, None
    for row in order:
        key, start, end = (rows.evse_refs[row], rows.connectors[row]), rows.plug_in_at[row], rows.plug_out_at[row]
        count += key == before and start < latest
        latest = max(latest, end) if with_any_earlier and key == before else end
        before = key
    return int(count)


class TestImportSessions:
    def test_takes_norway(self, import_file, fleet, real_data):
        assert fleet(NORWAY, 60) == 162

        counts, findings = import_file("sessions", NORWAY, backfill=True)

        assert counts == {"accepted": 18_903, "revised": 0, "duplicate": 0, "quarantined": 11}
        # The publisher's 53 compare with the session just before; we with every earlier one, so one long session
        # that covers several is counted against each of these.
        assert findings == {"session.open": 11, "session.overlapping": 69}
        rows = read_sessions(real_data / NORWAY)[1]
        assert (overlaps(rows, with_any_earlier=False), overlaps(rows, with_any_earlier=True)) == (53, 69)
        assert ChargingSession.objects.across_tenants().count() == 18_903
        raw = Finding.objects.across_tenants().filter(code="session.open").first().details
        assert raw["plug_out_utc"] is None
        assert raw["line"] > 1

        again, _ = import_file("sessions", NORWAY, backfill=True)

        assert again == {"accepted": 0, "revised": 0, "duplicate": 18_903, "quarantined": 11}
        assert Finding.objects.across_tenants().count() == 80

    def test_takes_dundee(self, import_file, fleet, real_data):
        assert fleet(DUNDEE, 60) == 67

        counts, findings = import_file("sessions", DUNDEE, backfill=True)

        assert counts == {"accepted": 51_964, "revised": 0, "duplicate": 0, "quarantined": 788}
        assert findings == {
            "session.open": 278,
            "session.zero_energy": 2_094,
            "session.zero_length": 481,
            "session.reversed": 4,
            "session.over_7_days": 24,
            "session.duplicate": 2,
            "session.over_100_kwh": 1,
            "session.no_evse": 2,
            # 5 imply over 60 kW, of which the one of 1,430 kWh is set aside.
            "session.over_rating": 4,
            "session.absurd_energy": 1,
            # Not in the publisher's list of defects, but there.
            "session.negative_energy": 24,
            # 91 of all rows overlap; of those that are not set aside for another reason, 54.
            "session.overlapping": 54,
        }
        assert overlaps(read_sessions(real_data / DUNDEE)[1], with_any_earlier=True) == 91

    def test_takes_boulder(self, import_file, fleet, real_data):
        assert fleet(BOULDER, 20) == 22

        counts, findings = import_file("sessions", BOULDER)

        assert counts == {"accepted": 17_505, "revised": 0, "duplicate": 0, "quarantined": 159}
        assert findings == {
            "session.zero_energy": 1_413,
            "session.zero_length": 147,
            "session.over_7_days": 7,
            "session.duplicate": 13,
            # Two-port stations: 3,650 of all rows overlap.
            "session.overlapping": 3_586,
        }
        assert overlaps(read_sessions(real_data / BOULDER)[1], with_any_earlier=True) == 3_650

    def test_sets_every_session_aside_where_no_evse_is_registered(self, import_file):
        counts, findings = import_file("sessions", NORWAY)

        assert (counts["accepted"], counts["quarantined"]) == (0, 18_914)
        assert findings["session.unknown_evse"] == 18_914
        assert Finding.objects.across_tenants().filter(code="session.unknown_evse").count() == 162


class TestImportReadings:
    def test_takes_the_derived_asset_readings(self, import_file, fleet, real_data):
        fleet(NORWAY, 11)
        name = "asset_hh_norway_derived.csv.gz"

        counts, findings = import_file("readings", name, backfill=True)

        assert counts["accepted"] == 101_034
        assert findings["reading.above_rating"] > 0
        with gzip.open(real_data / name, "rt") as stream:
            total_kwh = sum(float(row["kwh"]) for row in csv.DictReader(stream))
        pks = np.array(Meter.objects.across_tenants().filter(kind="asset").values_list("pk", flat=True))
        energy = load_energy_kwh(
            meter_pks=pks, first_day=date(2018, 9, 1), last_day=date(2021, 8, 31), as_of=datetime.now(UTC)
        )
        assert np.nansum(energy.energy_kwh) == pytest.approx(total_kwh, abs=1e-6)
        assert np.isfinite(energy.energy_kwh).sum() == 101_034

        again, _ = import_file("readings", name, backfill=True)

        assert (again["accepted"], again["duplicate"]) == (0, 101_034)


class TestImportDemand:
    def test_takes_a_year_of_london(self, import_file, real_data):
        make_dno()
        name = "household_hh_london_2013_a.csv.gz"

        counts, findings = import_file("demand", name, backfill=True)

        assert counts == {"accepted": 876_000 - 47_012, "revised": 0, "duplicate": 0, "quarantined": 0}
        assert findings == {"demand.missing": 47_012, "demand.unplaced": 50}
        meter = Meter.objects.across_tenants().get(code="MAC000016")
        assert (meter.kind, meter.node) == ("customer", None)
        pks = np.array([meter.pk])
        year = load_energy_kwh(
            meter_pks=pks,
            first_day=date(2013, 1, 1),
            last_day=date(2013, 12, 31),
            as_of=datetime(2014, 1, 1, tzinfo=UTC),
        )
        assert np.isfinite(year.energy_kwh).mean() == pytest.approx(0.04, abs=0.005)
        for day, n_period in ((date(2013, 3, 31), 46), (date(2013, 10, 27), 50)):
            assert year.on_grid(settlement_day(day)).shape == (1, n_period)

        again, _ = import_file("demand", name, backfill=True)

        assert (again["accepted"], again["duplicate"]) == (0, 828_988)

    def test_takes_the_snapshot_of_feeders(self, import_file):
        make_dno()
        start = datetime(2024, 7, 14, 20, tzinfo=UTC)

        counts, findings = import_file("demand", "lv_feeder_demand_snapshot_nged.csv.gz", period_start=start)

        assert counts == {"accepted": 22_540, "revised": 0, "duplicate": 0, "quarantined": 11}
        assert findings == {"demand.impossible": 11, "demand.unplaced": 22_551}
        row = MeterDay.objects.across_tenants().get(meter__code="NGED-110191-11")
        assert row.energy_kwh[40] == pytest.approx(7.693)


class TestImportPrices:
    def test_takes_both_prices_of_2023(self, import_file):
        name = "prices_elexon_2023.csv.gz"

        assert import_file("prices", name, backfill=True) == (
            {"accepted": 17_278, "revised": 0, "duplicate": 0, "quarantined": 0},
            {"price.gap": 240 + 2},
        )
        assert import_file("prices", name, column="system_price_gbp_mwh", tariff="imbalance", backfill=True) == (
            {"accepted": 17_518, "revised": 0, "duplicate": 0, "quarantined": 0},
            {"price.gap": 2},
        )
        # The half-hours missing from the day of the autumn change take Saturday's price at the same clock time.
        tariff = Tariff.objects.get(code="imbalance")
        found = load_prices_gbp_per_kwh(
            tariff=tariff, grid=settlement_day(date(2023, 10, 29)), as_of=datetime(2024, 1, 1, tzinfo=UTC)
        )
        assert found.is_filled.sum() == 2
        assert np.flatnonzero(found.is_filled).tolist() == [1, 2]
        before = load_prices_gbp_per_kwh(
            tariff=tariff, grid=settlement_day(date(2023, 10, 28)), as_of=datetime(2024, 1, 1, tzinfo=UTC)
        )
        assert found.values[1:3].tolist() == before.values[1:3].tolist()
        assert found.values.min() > -0.185

    def test_takes_carbon_intensity(self, import_file):
        counts, findings = import_file("carbon", "carbon_intensity_gb_2023.csv.gz", backfill=True)

        assert counts == {"accepted": 17_430 + 17_420, "revised": 0, "duplicate": 0, "quarantined": 5}
        # 91 half-hours are missing from both, 5 outturns are empty, 5 are 0.
        assert findings == {"carbon.gap": 91 + 91 + 5, "carbon.zero_outturn": 5}
        year = TimeGrid(datetime(2023, 1, 15, tzinfo=UTC), 48 * 340)
        found = load_carbon_gco2_per_kwh(grid=year, as_of=datetime(2024, 6, 1, tzinfo=UTC))
        assert found.is_filled.sum() == 91
        assert found.values.min() > 0


class TestImportNetwork:
    @pytest.mark.parametrize(
        ("name", "n_feeder", "n_customer", "findings"),
        [
            ("ieee_european_lv", 1, 55, {}),
            ("ieee_european_lv_reduced", 1, 55, {}),
            ("cigre_lv", 3, 15, {"network.several_transformers": 1, "network.customer_at_bus": 2}),
            ("schutterwald_01", 8, 177, {}),
            ("schutterwald_03", 6, 166, {}),
            ("schutterwald_05", 5, 140, {}),
            ("schutterwald_07", 5, 123, {}),
            ("schutterwald_09", 4, 99, {}),
            ("schutterwald_11", 4, 59, {}),
            ("schutterwald_13", 4, 31, {}),
        ],
    )
    def test_takes_every_lv_network(self, import_file, real_data, name, n_feeder, n_customer, findings):
        make_dno()

        assert import_file("network", f"lv_networks/{name}.json")[1] == findings

        network = json.loads((real_data / f"lv_networks/{name}.json").read_text())
        nodes = NetworkNode.objects.all()
        assert nodes.filter(kind="distribution").count() == len(network["transformers"])
        assert nodes.filter(kind="feeder").count() == n_feeder
        assert nodes.filter(kind="phase").count() == 3 * n_feeder
        assert nodes.aggregate(n=Sum("n_customers"))["n"] == n_customer == len(network["customers"])
        assert Meter.objects.across_tenants().filter(kind="customer", node__isnull=False).count() == n_customer

    def test_rates_the_ieee_feeder_by_its_head_cable_and_counts_its_phases(self, import_file):
        make_dno()

        import_file("network", "lv_networks/ieee_european_lv.json")

        def rating(code):
            return NodeRating.objects.get(node__code=code).rating_kva

        assert rating("ieee_european_lv-TR1") == 800
        assert rating("ieee_european_lv-TR1-LINE1") == pytest.approx(3 * 190 * 416 / 3**0.5 / 1000)
        counts = dict(NetworkNode.objects.filter(kind="phase").values_list("phase", "n_customers"))
        assert counts == {"A": 21, "B": 19, "C": 15}
