"""The import commands on small files: what they print, what they store, and that a bad file leaves nothing behind."""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from aggregator.adapters import bounded
from aggregator.adapters.bounded import FileRefused
from aggregator.core.errors import FlexError
from aggregator.management import importing
from aggregator.management.importing import UnknownOrganisation
from aggregator.models import (
    CSMS,
    EVSE,
    Batch,
    CarbonDay,
    ChargingSession,
    Enrolment,
    Finding,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    Organisation,
    Tariff,
    TariffDay,
)
from tests.factories import make_csms, make_dno, make_evse, make_feeder, make_organisation

pytestmark = pytest.mark.django_db
PLAIN = (Organisation, CSMS, NetworkNode, NodeRating, Batch, Tariff, TariffDay, CarbonDay)
TENANTS = (EVSE, Enrolment, Meter, MeterDay, ChargingSession, Finding)

EVSES = "evse_id,csms,dsrsp,node,rated_kw"
SESSIONS = "evse_id,plug_in_utc,plug_out_utc,energy_kwh"
READINGS = "evse_id,period_start_utc,energy_kwh"
DEMAND = "period_start_utc,h1,h2"
PRICES = "period_start_utc,price_gbp_per_kwh"
CARBON = "period_start_utc,forecast_gco2_kwh,actual_gco2_kwh"
T0, T1 = "2024-05-01T00:00:00Z", "2024-05-01T00:30:00Z"


def stored():
    """Number of rows of every kind."""
    counts = {model.__name__: model.objects.count() for model in PLAIN}
    return {**counts, **{model.__name__: model.objects.across_tenants().count() for model in TENANTS}}


@pytest.fixture(autouse=True)
def surroundings():
    make_organisation("platform", "platform")
    make_csms()
    make_feeder("f", dno=make_dno())
    make_evse("e", node=NetworkNode.objects.get(code="f-A"))


@pytest.fixture
def run(tmp_path):
    """Import these lines and return what was printed."""

    def import_lines(kind, *lines, **options):
        path = tmp_path / f"{kind}.csv"
        content = lines[0] if isinstance(lines[0], bytes) else "\n".join(lines).encode()
        path.write_bytes(content)
        out = StringIO()
        call_command(f"import_{kind}", str(path), stdout=out, stderr=StringIO(), **options)
        return out.getvalue()

    return import_lines


GOOD = {
    "evses": (EVSES, "e1,csms,flexco,f,7.4"),
    "sessions": (SESSIONS, f"e,{T0},2024-05-01T06:00:00Z,5"),
    "readings": (READINGS, f"e,{T0},1.5"),
    "demand": (DEMAND, f"{T0},0.2,0.3"),
    "prices": (PRICES, f"{T0},0.2"),
    "carbon": (CARBON, f"{T0},100,90"),
}
TOO_MANY_FIELDS = "one,field,too,many,for,any,of,these"
OTHER_NAMES = {kind: (lines[0].replace("_", "-"), *lines[1:]) for kind, lines in GOOD.items()}
BAD = [
    *((kind, (*lines, TOO_MANY_FIELDS), "line 3 has") for kind, lines in GOOD.items()),
    *((kind, OTHER_NAMES[kind], "line 1, column") for kind in ("evses", "sessions", "carbon", "demand")),
    ("readings", OTHER_NAMES["readings"], "line 1 has neither of evse_id and meter_id"),
    ("prices", OTHER_NAMES["prices"], "line 1 has no price column"),
    *((kind, (lines[0],), "a header and no rows") for kind, lines in GOOD.items()),
    ("demand", ("start,h1", f"{T0},1"), "column period_start_utc: not found"),
    ("demand", ("period_start_utc", T0), "names no series"),
    ("evses", (EVSES, "e1,csms,flexco,f,abc"), "line 2, column rated_kw: found 'abc', expected a number of kW"),
    ("evses", (EVSES, "e1,csms,flexco,nowhere,7"), "line 2, column node: no network node"),
    ("evses", (EVSES, "e1,csms,flexco,f,7", "e1,csms,flexco,f,7"), "line 3, column evse_id"),
    ("evses", (f"{EVSES},phases", "e1,csms,flexco,f,7,2"), "line 2, column phases: found '2', expected 1 or 3"),
    ("evses", (f"{EVSES},services", "e1,csms,flexco,f,7,selling"), "line 2, column services: found 'selling'"),
    ("sessions", (*GOOD["sessions"], f"e,yesterday,{T1},5"), "line 3, column plug_in_utc: found 'yesterday'"),
    ("sessions", (*GOOD["sessions"], f"e,2024-05-02T00:00:00,{T1},5"), "line 3, column plug_in_utc"),
    ("sessions", (*GOOD["sessions"], f"e,{T0},{T1},NaN"), "line 3, column energy_kwh: found 'NaN'"),
    ("sessions", (*GOOD["sessions"], f"e,{T0},{T1},-5"), "line 3, column energy_kwh: found -5"),
    ("sessions", (*GOOD["sessions"], f"e,{T0},{T1},5000"), "line 3, column energy_kwh: found 5000"),
    ("sessions", (*GOOD["sessions"], f"e,{T0},{T1},"), "line 3, column energy_kwh: found nan"),
    ("readings", (*GOOD["readings"], f"e,{T1},-1"), "line 3, column energy_kwh: found '-1', expected a number of kWh"),
    ("readings", (*GOOD["readings"], f"e,{T1},1e400"), "line 3, column energy_kwh: found '1e400'"),
    ("readings", (*GOOD["readings"], f"e,{T1},346"), "line 3, e: found 346 kWh"),
    ("readings", (*GOOD["readings"], "e,2024-05-01T00:10:00Z,1"), "line 3, column period_start_utc"),
    ("readings", (*GOOD["readings"], f"e,{T0},1.6"), "line 2, e: found 1.5 kWh"),
    ("readings", ("evse_id,meter_id,period_start_utc,kwh", f"e,m,{T0},1"), "has both of evse_id and meter_id"),
    ("readings", ("name,period_start_utc,kwh", f"e,{T0},1"), "has neither of evse_id and meter_id"),
    ("demand", (*GOOD["demand"], f"{T1},0.2,-0.3"), "line 3, column h2: found '-0.3'"),
    ("demand", ("period_start_utc,h1,", f"{T0},1,2"), "names a series ''"),
    ("demand", ("feeder_id,active_meters,import_wh", "x,5,100"), "--period-start"),
    (
        "prices",
        (*GOOD["prices"], f"{T1},dear"),
        "line 3, column price_gbp_per_kwh: found 'dear', expected a number of £/kWh",
    ),
    ("prices", (*GOOD["prices"], f"{T0},0.3"), "line 2: found 0.2"),
    ("prices", ("period_start_utc,price", f"{T0},0.3"), "no price column"),
    ("carbon", (*GOOD["carbon"], f"{T1},-1,90"), "line 3, column forecast_gco2_kwh: found '-1'"),
]


class TestEveryImport:
    @pytest.mark.parametrize("kind", GOOD)
    def test_says_what_it_did_and_does_it_once(self, run, kind):
        first = run(kind, *GOOD[kind])
        before = stored()
        again = run(kind, *GOOD[kind])

        assert f"{kind}.csv: " in first
        assert "rows a second" in first
        assert "0 accepted" not in first
        assert "0 accepted" in again
        assert stored() == before

    @pytest.mark.parametrize("kind", GOOD)
    def test_takes_the_file_with_bom_crlf_and_gzip(self, run, kind):
        text = "\ufeff" + "\r\n".join(GOOD[kind]) + "\r\n"

        assert "0 accepted" not in run(kind, gzip.compress(text.encode()))

    @pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "demand"])
    def test_names_the_columns_it_ignores(self, run, kind):
        header, line = GOOD[kind]

        assert "columns ignored: colour, size" in run(kind, f"{header},colour,size", f"{line},red,9")

    @pytest.mark.parametrize(("kind", "lines", "said"), BAD)
    def test_refuses_a_bad_file_with_one_sentence_and_stores_nothing(self, run, kind, lines, said):
        before = stored()

        with pytest.raises(FlexError) as refused:
            run(kind, *lines)

        assert said in refused.value.message
        assert "\n" not in refused.value.message
        assert stored() == before

    @pytest.mark.parametrize("kind", GOOD)
    def test_refuses_a_bomb(self, run, kind, monkeypatch):
        monkeypatch.setattr(bounded.Limits.__init__, "__defaults__", (2**30, 20, 1000))
        before = stored()

        with pytest.raises(FileRefused, match="20 times its size"):
            run(kind, gzip.compress("\n".join([GOOD[kind][0], *[GOOD[kind][1]] * 200_000]).encode()))

        assert stored() == before

    @pytest.mark.parametrize("kind", [*GOOD, "network"])
    def test_refuses_a_file_that_is_not_there(self, kind, tmp_path):
        with pytest.raises(FileRefused, match="can't be read"):
            call_command(f"import_{kind}", str(tmp_path / "none"))

    def test_shows_the_other_errors_of_a_file_too(self, tmp_path):
        path = tmp_path / "readings.csv"
        path.write_text(f"{READINGS}\ne,{T0},a\ne,{T1},b\n")
        said = StringIO()

        with pytest.raises(FileRefused, match="1 more"):
            call_command("import_readings", str(path), stderr=said)

        assert "line 3, column energy_kwh: found 'b'" in said.getvalue()


class TestImportProgress:
    def test_shows_rows_and_rows_a_second_on_a_terminal(self, tmp_path, monkeypatch):
        screen = StringIO()
        terminal = Console(file=screen, force_terminal=True, width=120)
        monkeypatch.setattr(importing, "Console", lambda **_: terminal)
        path = tmp_path / "readings.csv"
        path.write_text("\n".join([READINGS, *(f"nobody,{T0},1" for _ in range(1_234))]))

        call_command("import_readings", str(path), stdout=StringIO())

        assert "Reading readings.csv" in screen.getvalue()
        assert re.search(r"1,234 rows, [\d,]+ a second", screen.getvalue())

    def test_is_silent_elsewhere(self, run, capfd):
        run("readings", *GOOD["readings"])

        assert capfd.readouterr().err == ""


class TestImportNetwork:
    def run(self, tmp_path, content, **options):
        path = tmp_path / "n.json"
        path.write_text(json.dumps(content))
        out = StringIO()
        call_command("import_network", str(path), stdout=out, **options)
        return out.getvalue()

    def test_takes_a_tree_and_the_start_of_its_ratings(self, tmp_path):
        nodes = [{"code": "p", "kind": "primary", "rating_kva": 9000, "colour": "red"}]

        said = self.run(tmp_path, {"nodes": nodes}, valid_from=datetime(2024, 1, 1, tzinfo=UTC))

        assert "1 accepted" in said
        assert "columns ignored: nodes.colour" in said
        assert NodeRating.objects.get(node__code="p").valid_from == datetime(2024, 1, 1, tzinfo=UTC)

    def test_asks_which_dno_where_there_are_two_and_registers_one_only_when_told(self, tmp_path):
        make_dno("other")
        network = {"nodes": [{"code": "p", "kind": "primary"}]}

        with pytest.raises(UnknownOrganisation, match="--dno"):
            self.run(tmp_path, network)
        with pytest.raises(UnknownOrganisation, match="--register-new"):
            self.run(tmp_path, network, dno="third")
        assert not Organisation.objects.filter(code="third").exists()

        self.run(tmp_path, network, dno="third", register_new=True)

        assert NetworkNode.objects.get(code="p").organisation.code == "third"

    def test_registers_nobody_for_a_network_it_refuses(self, tmp_path):
        before = stored()

        with pytest.raises(FlexError):
            self.run(
                tmp_path, {"nodes": [{"code": "x", "kind": "feeder", "parent": "y"}]}, dno="third", register_new=True
            )

        assert stored() == before

    def test_refuses_a_time_without_an_offset(self, tmp_path):
        path = tmp_path / "n.json"
        path.write_text("{}")

        with pytest.raises(CommandError, match="no time with Z or an offset"):
            call_command("import_network", str(path), "--valid-from", "2024-01-01T00:00:00")


class TestImportEvses:
    def test_takes_every_optional_column(self, run):
        header = (
            f"{EVSES},phases,phase,min_current_a,scenario,meter_id,accuracy_class,amsid,boundary_msid,gsp_group,firmware,"
            "delay_max_s,enrolled_from,enrolled_to,consented_at,consent_evidence,services,pseudonym"
        )
        line = (
            "e1,csms,flexco,f,7.4,1,B,8,on_street,m1,2,1000000000001,1000000000002,_A,1.2,300,"
            "2024-01-01T00:00:00Z,2025-01-01T00:00:00Z,2023-12-31T12:00:00Z,form 7,routine;response,evse_p"
        )

        assert "1 accepted" in run("evses", header, line)

        evse = EVSE.objects.across_tenants().get(pseudonym="evse_p")
        assert (evse.node.code, evse.min_current_a, evse.scenario, evse.delay_max_s) == ("f-B", 8.0, "on_street", 300)
        assert (evse.meter.code, evse.meter.accuracy_class) == ("m1", "2")
        assert (evse.identity.amsid, evse.identity.boundary_msid, evse.identity.gsp_group) == (
            *("1000000000001", "1000000000002"),
            "_A",
        )
        enrolment = evse.enrolments.model.objects.across_tenants().get(evse=evse)
        assert enrolment.services == ["routine", "response"]
        assert enrolment.consented_at == datetime(2023, 12, 31, 12, tzinfo=UTC)
        assert enrolment.ends_at == datetime(2025, 1, 1, tzinfo=UTC)

    def test_fills_in_the_defaults_for_empty_cells(self, run):
        run("evses", f"{EVSES},phases,scenario,delay_max_s,services,enrolled_from", "e1,csms,flexco,f,7.4,,,,,")

        evse = EVSE.objects.across_tenants().get(identity__csms_ref="e1")
        assert (evse.phases, evse.min_current_a, evse.scenario, evse.delay_max_s) == (
            *(1, 6.0),
            "off_street_residential",
            600,
        )


class TestImportSessions:
    def test_counts_findings_by_code(self, run):
        said = run(
            "sessions", *GOOD["sessions"], f"e,{T1},,", f"nobody,{T0},{T1},1", f"nobody,{T1},2024-05-02T00:00:00Z,1"
        )

        assert "1 accepted, 0 revised, 0 duplicate, 3 quarantined" in said
        assert "finding session.open: 1" in said
        assert "finding session.unknown_evse: 1 (2 rows)" in said

    def test_backfills_only_when_told(self, run):
        run("sessions", *GOOD["sessions"], backfill=True)

        row = ChargingSession.objects.across_tenants().get()
        assert row.received_at == row.plug_out_at


class TestImportDemand:
    def test_places_series_by_a_second_file(self, run, tmp_path):
        places = tmp_path / "places.csv"
        places.write_text("series,node\nh1,f-B\n")

        said = run("demand", *GOOD["demand"], place=places)

        assert Meter.objects.across_tenants().get(code="h1").node.code == "f-B"
        assert "finding demand.unplaced: 1 (1 rows)" in said

    def test_refuses_a_second_file_that_places_a_series_twice(self, run, tmp_path):
        places = tmp_path / "places.csv"
        places.write_text("series,node\nh1,f\nh1,f-B\n")

        with pytest.raises(FileRefused, match="twice"):
            run("demand", *GOOD["demand"], place=places)

    def test_takes_long_form_of_feeders(self, run):
        run("demand", "feeder_id,period_start_utc,kwh", f"f,{T0},40")

        meter = Meter.objects.across_tenants().get(code="f")
        assert (meter.kind, meter.node.code) == ("feeder", "f")

    def test_takes_a_snapshot_in_wh(self, run):
        start = datetime(2024, 5, 1, 20, tzinfo=UTC)

        said = run(
            "demand",
            "substation_id,feeder_id,active_meters,import_wh",
            "s,f,10,5000",
            "s,g,5,60000",
            period_start=start,
        )

        assert "1 accepted, 0 revised, 0 duplicate, 1 quarantined" in said
        assert MeterDay.objects.across_tenants().get().energy_kwh[40] == 5.0


class TestImportPrices:
    @pytest.mark.parametrize(
        ("column", "value", "tariff"),
        [
            ("spot_gbp_per_mwh", "200", "spot"),
            ("spot_gbp_mwh", "200", "spot"),
            ("spot_gbp_kwh", "0.2", "spot"),
            ("night_rate_p_per_kwh", "20", "night-rate"),
            ("market_index_price_gbp_mwh", "200", "market-index-price"),
        ],
    )
    def test_takes_the_unit_from_the_name_of_the_column(self, run, column, value, tariff):
        said = run("prices", f"period_start_utc,{column}", f"{T0},{value}")

        assert f"tariff {tariff} from column {column}" in said
        assert TariffDay.objects.get(tariff__code=tariff).price_gbp_per_kwh[0] == pytest.approx(0.2)

    def test_takes_the_column_and_the_tariff_it_is_told(self, run):
        run("prices", "period_start_utc,a_gbp_mwh,b_gbp_mwh", f"{T0},1,2", column="b_gbp_mwh", tariff="mine")

        assert TariffDay.objects.get(tariff__code="mine").price_gbp_per_kwh[0] == 0.002

    def test_refuses_a_tariff_code_that_is_none(self, run):
        with pytest.raises(FlexError, match="hyphens"):
            run("prices", *GOOD["prices"], tariff="my tariff")


def minutes(first: str, power_kw: list[float]) -> list[str]:
    at = datetime.fromisoformat(first)
    return [f"e,{(at + timedelta(minutes=index)).isoformat()},{kw}" for index, kw in enumerate(power_kw)]


def known_kwh() -> dict[int, float]:
    """What is stored of the only day with readings, by half-hour."""
    (day,) = MeterDay.objects.across_tenants()
    return {period: kwh for period, kwh in enumerate(day.energy_kwh) if kwh is not None}


class TestReadingsInOtherForms:
    def test_takes_flexible_power_stamps_for_ends_and_its_import_for_negative(self, run):
        lines = ("evse_id,period_end_utc,energy_kwh", f"e,{T1},-1.5")
        assert "1 accepted" in run("readings", *lines, convention="flexible-power")
        assert known_kwh() == {0: 1.5}
        assert "1 duplicate" in run("readings", *lines, convention="flexible-power")

    def test_refuses_a_file_stamped_the_other_way(self, run):
        with pytest.raises(FileRefused, match="period_end_utc"):
            run("readings", READINGS, f"e,{T0},-1.5", convention="flexible-power")
        assert not MeterDay.objects.across_tenants().exists()

    def test_refuses_an_export_by_its_line(self, run):
        with pytest.raises(FlexError, match=r"line 3, e: found -0\.25 kWh"):
            run(
                "readings",
                *("evse_id,period_end_utc,energy_kwh", f"e,{T1},-1.5", "e,2024-05-01T01:00:00Z,0.25"),
                convention="flexible-power",
            )

    def test_makes_half_hours_of_minutes_and_none_of_a_half_hour_with_a_gap(self, run):
        """10 minutes at 6.9 kW and 20 at 0 are 1.15 kWh; the next half-hour lacks its last minute."""
        told = minutes("2024-05-01T00:01:00+00:00", [-6.9] * 10 + [0.0] * 20 + [-3.0] * 29)
        said = run(
            "readings", "evse_id,period_end_utc,power_kw", *told, convention="flexible-power", granularity="minute"
        )
        assert "finding reading.missing: 1 (1 half-hours)" in said
        assert known_kwh() == {0: pytest.approx(1.15)}

    def test_names_the_line_of_a_minute_with_two_values(self, run):
        twice = ["e,2024-05-01T00:00:00Z,1", "e,2024-05-01T00:00:00Z,2"]
        with pytest.raises(FlexError, match="line 3, column power_kw"):
            run("readings", "evse_id,period_start_utc,power_kw", *twice, granularity="minute")

    def test_refuses_half_a_minute(self, run):
        with pytest.raises(FileRefused, match="expected a whole minute"):
            run("readings", "evse_id,period_start_utc,power_kw", "e,2024-05-01T00:00:30Z,1", granularity="minute")

    def test_differences_registers_and_says_where_one_was_reset(self, run):
        shown = [
            f"e,2024-05-01T0{minute // 60}:{minute % 60:02d}:00Z,{kwh}"
            for minute, kwh in ((0, 100), (30, 101.5), (60, 0.5), (90, 2))
        ]
        said = run("readings", "evse_id,read_at_utc,register_kwh", *shown, quantity="register")
        assert "finding reading.register_reset: 1" in said
        assert known_kwh() == {0: 1.5, 2: 1.5}

    def test_goes_round_registers_whose_size_is_stated(self, run):
        shown = [f"e,{T0},99999", f"e,{T1},0.5"]
        options = {"quantity": "register", "rolls_over_at": 100_000.0}
        assert "finding reading.register_rollover: 1" in run(
            "readings", "evse_id,read_at_utc,register_kwh", *shown, **options
        )
        assert known_kwh() == {0: 1.5}
