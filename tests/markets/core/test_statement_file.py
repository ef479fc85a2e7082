import csv
import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.csv_text import text_cell
from markets.core.statement import (
    InvalidStatement,
    Statement,
    StatementHeader,
    StatementLine,
    StatementPeriod,
    statement_of,
)
from markets.core.statement_cells import StatementFileInvalid, decimal_cell
from markets.core.statement_file import format_version_of, in_format_of, parse_statement, render_statement

MONTH_FROM, MONTH_TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
HEADER = StatementHeader(
    run_id="run_01",
    version=1,
    period_from_at=MONTH_FROM,
    period_to_at=MONTH_TO,
    as_of_at=datetime(2026, 2, 15, tzinfo=UTC),
    tenant="Northfleet DSR",
    input_sha256="ab" * 32,
)


def period(index=0, *, starts_at=datetime(2026, 1, 15, 17, tzinfo=UTC), **changes):
    fields = {
        "starts_at": starts_at + timedelta(minutes=30 * index),
        "ordered_kwh": Decimal(35),
        "delivered_kwh": Decimal("32.75"),
        "baseline_kwh": Decimal("44.75"),
        "metered_kwh": Decimal(12),
    }
    return StatementPeriod(**(fields | changes))


def line(**changes):
    fields = {
        "order_reference": "ORDER-1",
        "unit_ref": "fleet-f",
        "contract_id": "C-7",
        "product": "Scheduled Utilisation",
        "congestion_point": "feeder-55",
        "baseline_reference": "mid-8-in-10-sda 1",
        "performance_reference": "flexible-power-2018 1",
        "direction": "turn_down",
        "counted_ordered_kwh": Decimal(70),
        "counted_delivered_kwh": Decimal("65.5"),
        "performance_factor": Decimal("0.957143"),
        "price_gbp_per_mwh": Decimal(300),
        "full_value_gbp": Decimal("21.00"),
        "net_settlement_gbp": Decimal("20.10"),
        "n_baseline_days": 10,
        "periods": (period(0), period(1)),
    }
    return StatementLine(**(fields | changes))


def statement(*lines):
    return statement_of(HEADER, lines or (line(),))


def resign(data):
    """A forger's file: the trailer's SHA-256 fits whatever stands before it."""
    body, _, trailer = data[:-1].rpartition(b"\n")
    cells = trailer.split(b",")
    digest = hashlib.sha256(body + b"\n").hexdigest().encode()
    return body + b"\n" + b",".join([*cells[:-1], digest]) + b"\n"


class TestRenderStatement:
    def test_writes_this_file(self):
        body = (
            "HDR,2,run_01,1,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,2026-02-15T00:00:00Z,Northfleet DSR,GBP,"
            + "ab" * 32
            + "\nCOL,LIN,order_reference,contract_id,product,congestion_point,unit_ref,evse_ref,baseline_reference,"
            "performance_reference,direction,interval_start,interval_end,ordered_kwh,delivered_kwh,"
            "counted_ordered_kwh,counted_delivered_kwh,performance_factor,price,full_value,penalty,net_settlement,"
            "n_baseline_days,note\n"
            "UNI,LIN,,,,,,,,,,UTC,UTC,kWh,kWh,kWh,kWh,,GBP/MWh,GBP,GBP,GBP,,\n"
            "COL,PER,order_reference,unit_ref,evse_ref,settlement_date,period,interval_start,interval_end,"
            "baseline_power,ordered_flex_power,actual_power,delivered_flex_power,power_deficiency,delivered_kwh,"
            "meter_quality\n"
            "UNI,PER,,,,,,UTC,UTC,kW,kW,kW,kW,kW,kWh,\n"
            "LIN,ORDER-1,C-7,Scheduled Utilisation,feeder-55,fleet-f,evse_9,mid-8-in-10-sda 1,flexible-power-2018 1,"
            "turn_down,2026-01-15T17:00:00Z,2026-01-15T18:00:00Z,70.0000,65.5000,70.0000,65.5000,0.957143,300.0000,"
            "21.00,0.90,20.10,10,\n"
            "PER,ORDER-1,fleet-f,evse_9,2026-01-15,35,2026-01-15T17:00:00Z,2026-01-15T17:30:00Z,89.5000,70.0000,"
            "24.0000,65.5000,4.5000,32.7500,A\n"
            "PER,ORDER-1,fleet-f,evse_9,2026-01-15,36,2026-01-15T17:30:00Z,2026-01-15T18:00:00Z,89.5000,70.0000,"
            "24.0000,65.5000,4.5000,32.7500,A\n"
        ).encode()

        expected = body + f"TRL,3,65.5000,20.10,{hashlib.sha256(body).hexdigest()}\n".encode()

        assert render_statement(statement(line(evse_ref="evse_9"))) == expected
        assert format_version_of(expected) == "2"

    def test_writes_the_file_that_format_1_had(self):
        body = (
            "HDR,1,run_01,1,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,2026-02-15T00:00:00Z,Northfleet DSR,GBP,"
            + "ab" * 32
            + "\nCOL,LIN,order_reference,unit_ref,contract_id,product,congestion_point,baseline_reference,"
            "performance_reference,direction,interval_start,interval_end,ordered_kwh,delivered_kwh,"
            "counted_ordered_kwh,counted_delivered_kwh,performance_factor,price_gbp_per_mwh,full_value_gbp,"
            "penalty_gbp,net_settlement_gbp,n_baseline_days,note\n"
            "COL,PER,order_reference,unit_ref,settlement_date,period,interval_start,interval_end,baseline_power_kw,"
            "ordered_flex_power_kw,actual_power_kw,delivered_flex_power_kw,power_deficiency_kw,delivered_kwh,"
            "meter_quality\n"
            "LIN,ORDER-1,fleet-f,C-7,Scheduled Utilisation,feeder-55,mid-8-in-10-sda 1,flexible-power-2018 1,"
            "turn_down,2026-01-15T17:00:00Z,2026-01-15T18:00:00Z,70.0000,65.5000,70.0000,65.5000,0.957143,300.0000,"
            "21.00,0.90,20.10,10,\n"
            "PER,ORDER-1,fleet-f,2026-01-15,35,2026-01-15T17:00:00Z,2026-01-15T17:30:00Z,89.5000,70.0000,24.0000,"
            "65.5000,4.5000,32.7500,A\n"
            "PER,ORDER-1,fleet-f,2026-01-15,36,2026-01-15T17:30:00Z,2026-01-15T18:00:00Z,89.5000,70.0000,24.0000,"
            "65.5000,4.5000,32.7500,A\n"
        ).encode()

        expected = body + f"TRL,3,65.5000,20.10,{hashlib.sha256(body).hexdigest()}\n".encode()

        assert render_statement(statement(), format_version="1") == expected
        assert format_version_of(expected) == "1"
        assert parse_statement(expected) == statement()

    def test_is_the_same_in_any_order_of_lines(self):
        lines = [line(order_reference=order, unit_ref=unit) for order in ("O-2", "O-1") for unit in ("b", "a")]

        assert render_statement(statement(*lines)) == render_statement(statement(*reversed(lines)))

    def test_leaves_what_is_not_known_empty(self):
        unread = period(baseline_kwh=None, metered_kwh=None, meter_quality="M", delivered_kwh=Decimal(0))

        data = render_statement(statement(line(periods=(unread,)))).decode()

        assert "2026-01-15T17:30:00Z,,70.0000,,0.0000,70.0000,0.0000,M\n" in data

    def test_numbers_the_fifty_periods_of_october(self):
        midnight = datetime(2026, 10, 24, 23, tzinfo=UTC)
        header = replace(HEADER, period_from_at=midnight, period_to_at=midnight + timedelta(hours=25))
        long_day = line(periods=tuple(period(index, starts_at=midnight) for index in range(50)))

        data = render_statement(statement_of(header, [long_day]))

        records = [record for record in csv.reader(io.StringIO(data.decode())) if record[0] == "PER"]
        assert [(record[4], int(record[5])) for record in records] == [("2026-10-25", n) for n in range(1, 51)]
        assert records[2][6] == "2026-10-25T00:00:00Z"
        assert records[4][6] == "2026-10-25T01:00:00Z"
        assert parse_statement(data).lines == (long_day,)

    def test_numbers_the_forty_six_periods_of_march(self):
        midnight = datetime(2026, 3, 29, tzinfo=UTC)
        header = replace(HEADER, period_from_at=midnight, period_to_at=midnight + timedelta(hours=23))
        short_day = line(periods=tuple(period(index, starts_at=midnight) for index in range(46)))

        data = render_statement(statement_of(header, [short_day]))

        assert b",2026-03-29,46,2026-03-29T22:30:00Z," in data
        assert parse_statement(data).totals.n_row == 47


STARTERS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "'", "'="]
PAYLOADS = [
    starter + rest
    for starter in STARTERS
    for rest in ("1+1", "cmd|' /C calc'!A0", 'HYPERLINK("http://x","y")', "SUM(A1:A9)", ",=2", "")
]


class TestTextCell:
    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_never_lets_a_cell_start_like_a_formula_and_comes_back_whole(self, payload):
        hostile = statement(line(unit_ref=payload, evse_ref=payload, note=payload, product=payload))

        data = render_statement(hostile)

        texts = [cell for record in csv.reader(io.StringIO(data.decode(), newline="")) for cell in record]
        numbers = {cell for cell in texts if cell.replace(".", "").replace("-", "").isdigit()}
        suspicious = [cell for cell in texts if cell.lstrip().startswith(tuple("=+-@＝＋－＠")) and cell not in numbers]
        assert suspicious == []
        assert not any(cell[:1] in ("\t", "\r", "\n") for cell in texts)
        assert parse_statement(data) == hostile

    def test_leaves_harmless_text_alone(self):
        assert [text_cell(text) for text in ("", "fleet-f", "a=b", " x")] == ["", "fleet-f", "a=b", " x"]


class TestDecimalCell:
    def test_has_fixed_decimals_no_exponent_and_no_minus_zero(self):
        found = [decimal_cell(Decimal(text), 4) for text in ("3E+2", "1E-4", "-0", "-0.0000", "-1.5")]

        assert found == ["300.0000", "0.0001", "0.0000", "0.0000", "-1.5000"]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ENERGIES = st.decimals(-1000, 1000, places=4)
MONEY = st.decimals(0, 10_000, places=2)


@st.composite
def periods(draw):
    first = draw(st.integers(0, 48 * 30))
    n_period = draw(st.integers(1, 4))
    made = []
    for index in range(first, first + n_period):
        metered = draw(st.none() | ENERGIES)
        made.append(
            StatementPeriod(
                starts_at=MONTH_FROM + timedelta(minutes=30 * index),
                ordered_kwh=draw(st.decimals(0, 1000, places=4)),
                delivered_kwh=draw(ENERGIES),
                baseline_kwh=draw(st.none() | ENERGIES),
                metered_kwh=metered,
                meter_quality="M" if metered is None else draw(st.sampled_from(["A", "E"])),
            )
        )
    return tuple(made)


@st.composite
def statements(draw):
    refs = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=4, unique=True))
    lines = []
    for order_reference, unit_ref in refs:
        net_gbp, lost_gbp = draw(MONEY), draw(MONEY)
        lines.append(
            line(
                order_reference=order_reference,
                unit_ref=unit_ref,
                congestion_point=draw(TEXTS),
                note=draw(TEXTS),
                evse_ref=draw(TEXTS),
                direction=draw(st.sampled_from(["turn_down", "turn_up"])),
                counted_delivered_kwh=draw(ENERGIES),
                performance_factor=draw(st.decimals(0, 1, places=6)),
                price_gbp_per_mwh=draw(st.decimals(0, 6000, places=4)),
                net_settlement_gbp=net_gbp,
                full_value_gbp=net_gbp + lost_gbp,
                n_baseline_days=draw(st.integers(0, 10)),
                periods=draw(periods()),
            )
        )
    header = replace(HEADER, tenant=draw(TEXTS), run_id=draw(TEXTS), version=draw(st.integers(1, 99)))
    return statement_of(header, lines)


class TestParseStatement:
    @settings(deadline=None)
    @given(original=statements())
    def test_gives_back_what_was_rendered(self, original):
        data = render_statement(original)

        assert parse_statement(data) == original
        assert render_statement(parse_statement(data)) == data

    @settings(deadline=None)
    @given(original=statements())
    def test_still_reads_and_writes_format_1(self, original):
        told = replace(original, lines=tuple(replace(each, evse_ref="") for each in original.lines))
        data = render_statement(told, format_version="1")

        assert parse_statement(data) == told
        assert (format_version_of(data), data.startswith(b"HDR,1,")) == ("1", True)

    @settings(deadline=None)
    @given(original=statements())
    def test_finds_the_sums_of_its_lines_in_the_trailer(self, original):
        _, row_count, sum_delivered_kwh, sum_net_gbp, _ = (
            render_statement(original)[:-1].rpartition(b"\n")[2].decode().split(",")
        )

        assert int(row_count) == sum(1 + len(each.periods) for each in original.lines)
        assert Decimal(sum_delivered_kwh) == sum(p.delivered_kwh for each in original.lines for p in each.periods)
        assert Decimal(sum_net_gbp) == sum(each.net_settlement_gbp for each in original.lines)

    @pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
    def test_notices_any_flipped_byte(self, bit):
        data = render_statement(statement(line(note='says "no", twice'), line(unit_ref="g")))

        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= bit
            with pytest.raises(StatementFileInvalid):
                parse_statement(bytes(flipped))

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_notices_bytes_lost_added_or_swapped(self, data):
        original = render_statement(statement())
        start = data.draw(st.integers(0, len(original)))
        end = data.draw(st.integers(start, min(start + 80, len(original))))
        broken = original[:start] + data.draw(st.binary(max_size=8)) + original[end:]

        if broken != original:
            with pytest.raises(StatementFileInvalid):
                parse_statement(broken)

    @settings(deadline=None)
    @given(data=st.binary(max_size=200))
    def test_refuses_noise(self, data):
        with pytest.raises(StatementFileInvalid):
            parse_statement(data)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ("HDR,2,", "HDR,3,", "format_version"),
            ("HDR,2,", "HDR,1,", "record 2 must name the LIN columns of format 1"),
            ("HDR,", "XXX,", "record 1 must be HDR"),
            ("ab\n", "aB\n", "input_sha256"),
            ("\nTRL,3,", "\nTRL,4,", "row_count"),
            (",65.5000,20.10,", ",65.5001,20.10,", "sum_delivered_kwh"),
            (",65.5000,20.10,", ",65.5000,20.11,", "sum_net_gbp"),
            (",0.90,20.10,", ",0.90,20.11,", "penalty"),
            (",0.90,20.10,", ",0.00,21.00,", "sum_net_gbp"),
            ("2026-01-15,35,", "2026-01-15,36,", "record 7, period"),
            ("2026-01-15,35,", "2026-01-14,35,", "record 7, settlement_date"),
            ("PER,ORDER-1,", "PER,ORDER-2,", "record 7, order_reference"),
            ("21.00,", "21.0,", "full_value: expected a number with 2 decimals"),
            ("T17:30:00Z,89", "T17:30:00,89", "record 7, interval_end"),
            ("turn_down", "turn_left", "direction"),
            (",A\n", ",X\n", "meter_quality"),
            (",A\n", ",M\n", "quality M"),
            ("delivered_kwh,meter_quality", "delivered_mwh,meter_quality", "record 4 must name"),
            ("GBP/MWh", "GBP/kWh", "record 3 must give the units"),
            ("\n", "\r\n", "CR LF"),
            ("LIN,ORDER", "LUN,ORDER", "record 6 must be LIN"),
            ("C-7,", '"C-7",', "canonical"),
        ],
    )
    def test_names_the_first_thing_wrong_even_under_a_forged_checksum(self, old, new, named):
        text = render_statement(statement()).decode()
        assert old in text
        forged = text.replace(old, new, -1 if old == "\n" else 1).encode()

        with pytest.raises(StatementFileInvalid, match=named):
            parse_statement(resign(forged))

    def test_names_the_checksum_when_all_sums_hold(self):
        data = render_statement(statement()).replace(b",C-7,", b",C-8,")

        with pytest.raises(StatementFileInvalid, match="sha256_of_body"):
            parse_statement(data)

    def test_refuses_two_lines_for_one_unit_and_a_wrong_order(self):
        one, other = line(unit_ref="a"), line(unit_ref="b")

        with pytest.raises(InvalidStatement):
            statement(one, one)
        with pytest.raises(InvalidStatement):
            Statement(HEADER, (other, one))


class TestInFormatOf:
    def test_spells_a_file_made_now_as_one_published_before(self):
        old, new = render_statement(statement(), format_version="1"), render_statement(statement())

        assert in_format_of(old, new) == old
        assert in_format_of(new, new) == new
        assert in_format_of(b"x", new) == new


class TestStatementLine:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"net_settlement_gbp": Decimal("21.01")},
            {"net_settlement_gbp": Decimal("-0.01")},
            {"net_settlement_gbp": Decimal("20.105")},
            {"performance_factor": Decimal(131) / 140},
            {"price_gbp_per_mwh": Decimal("NaN")},
            {"periods": ()},
            {"periods": (period(1), period(0))},
            {"periods": (period(0), period(0))},
            {"direction": "down"},
            {"note": "\0"},
            {"note": "x" * 1_001},
            {"n_baseline_days": -1},
        ],
    )
    def test_refuses_what_a_file_could_not_show_exactly(self, wrong):
        with pytest.raises(InvalidStatement):
            line(**wrong)


class TestStatementPeriod:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"starts_at": datetime(2026, 1, 15, 17, 15, tzinfo=UTC)},
            {"starts_at": datetime(2026, 1, 15, 17)},  # noqa: DTZ001
            {"ordered_kwh": Decimal(-1)},
            {"delivered_kwh": Decimal("0.00001")},
            {"metered_kwh": None},
            {"meter_quality": "M"},
            {"meter_quality": "Z"},
        ],
    )
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(InvalidStatement):
            period(**wrong)


class TestStatementHeader:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"version": 0},
            {"input_sha256": "AB" * 32},
            {"period_to_at": MONTH_FROM},
            {"as_of_at": datetime(2026, 2, 15, 0, 0, 0, 1, tzinfo=UTC)},
            {"tenant": "\ud800"},
        ],
    )
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(InvalidStatement):
            replace(HEADER, **wrong)

    def test_keeps_lines_inside_its_period(self):
        with pytest.raises(InvalidStatement):
            statement(line(periods=(period(starts_at=MONTH_TO),)))
