import csv
import gzip
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest

from aggregator.core.findings import count_by_code
from markets.core.dispatch_calendar import COLUMNS, CalendarRefused, parse_calendar

ROW = {
    "company_name": "A Company",
    "fu_id": "unit-1",
    "zone": "Hilltop",
    "product": "Day-Ahead",
    "dispatch_type": "demand_turn_down",
    "availability_mw_req": "0.0",
    "utilisation_mw_req": "0.04",
    "availability_price": "0.0",
    "utilisation_price": "742.0",
    "utilisation_mwh_req": "0.12",
    "start_time_utc": "2024-05-17T15:00:00Z",
    "end_time_utc": "2024-05-17T18:00:00Z",
}


def file_of(*changes: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> list[str]:
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows([{**ROW, **change} for change in changes])
    return text.getvalue().splitlines()


class TestParseCalendar:
    def test_reads_a_call(self):
        (call,) = parse_calendar(file_of({})).calls
        assert (call.requested_kw, call.utilisation_gbp_per_mwh, call.requested_kwh) == (40, 742, 120)
        assert (call.starts_at, call.ends_at) == (
            datetime(2024, 5, 17, 15, tzinfo=UTC),
            datetime(2024, 5, 17, 18, tzinfo=UTC),
        )
        assert (call.zone, call.direction, call.line) == ("Hilltop", "turn_down", 2)
        assert call.reference == "unit-1/20240517T1500/171800"

    def test_keeps_a_repeated_dispatch_once_and_says_what_differs(self):
        found = parse_calendar(file_of({}, {"availability_price": "7.5"}))
        assert len(found.calls) == 1
        (note,) = found.findings
        assert (note.code, note.details["first_line"], note.details["differs"]) == (
            "dispatches.duplicate",
            2,
            "availability_gbp_per_mwh",
        )

    def test_keeps_both_of_two_that_overlap(self):
        found = parse_calendar(
            file_of({}, {"start_time_utc": "2024-05-17T17:30:00Z", "end_time_utc": "2024-05-17T20:00:00Z"})
        )
        assert len(found.calls) == 2
        assert [(note.code, note.details["overlap_min"]) for note in found.findings] == [("dispatches.overlap", 30)]

    def test_does_not_call_two_units_or_two_in_a_row_an_overlap(self):
        after = {
            "start_time_utc": "2024-05-17T18:00:00Z",
            "end_time_utc": "2024-05-17T19:00:00Z",
            "utilisation_mwh_req": "0.04",
        }
        assert parse_calendar(file_of({}, {"fu_id": "unit-2"}, after)).findings == ()

    def test_sees_an_overlap_with_one_that_lasts_past_the_next(self):
        long = {"end_time_utc": "2024-05-17T23:00:00Z", "utilisation_mwh_req": "0.32"}
        short = {
            "start_time_utc": "2024-05-17T16:00:00Z",
            "end_time_utc": "2024-05-17T16:30:00Z",
            "utilisation_mwh_req": "0.02",
        }
        late = {
            "start_time_utc": "2024-05-17T20:00:00Z",
            "end_time_utc": "2024-05-17T20:30:00Z",
            "utilisation_mwh_req": "0.02",
        }
        found = parse_calendar(file_of(long, short, late))
        assert [note.details["other_line"] for note in found.findings] == [2, 2]

    def test_parts_availability_from_calls(self):
        found = parse_calendar(
            file_of({"utilisation_mw_req": "0", "availability_mw_req": "0.05", "utilisation_mwh_req": "0"})
        )
        assert (found.calls, len(found.availability)) == ((), 1)
        assert found.availability[0].available_kw == 50

    def test_notes_a_volume_that_its_power_does_not_explain(self):
        found = parse_calendar(file_of({"utilisation_mwh_req": "1.2"}))
        assert count_by_code(found.findings) == {"dispatches.volume": 1}
        assert parse_calendar(file_of({"utilisation_mwh_req": "0.1"})).findings == ()

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("utilisation_mw_req", "-1"),
            ("utilisation_mw_req", "much"),
            ("utilisation_price", "nan"),
            ("start_time_utc", "2024-05-17T15:00:00"),
            ("start_time_utc", "2024-05-17T15:10:00Z"),
            ("end_time_utc", "2024-05-17T15:00:00Z"),
            ("end_time_utc", "soon"),
            ("dispatch_type", "sideways"),
            ("fu_id", ""),
            ("zone", "z" * 81),
        ],
    )
    def test_refuses_a_file_with_line_column_and_value(self, column, value):
        with pytest.raises(CalendarRefused, match=f"line 3, {column} is '{value}'"):
            parse_calendar(file_of({}, {column: value}))

    def test_refuses_a_file_without_a_column(self):
        with pytest.raises(CalendarRefused, match="column fu_id"):
            parse_calendar(file_of({}, columns=tuple(column for column in COLUMNS if column != "fu_id")))

    @pytest.mark.parametrize("line", ["a,b", ",".join("x" * 13), '"open'])
    def test_refuses_a_ragged_row(self, line):
        with pytest.raises(CalendarRefused):
            parse_calendar([*file_of({}), line])

    def test_says_nothing_of_an_empty_calendar(self):
        assert parse_calendar(file_of()).n_row == 0


@pytest.fixture(scope="module")
def calendar(real_data):
    with gzip.open(real_data / "flex_ukpn_dispatches_to_2025-03.csv.gz", "rt", encoding="utf-8") as lines:
        return parse_calendar(lines)


class TestTheRealCalendar:
    """UK Power Networks' dispatches of EV chargers, May 2024 to March 2025."""

    def test_holds_every_row_once_or_as_a_duplicate(self, calendar):
        counts = count_by_code(calendar.findings)
        assert calendar.n_row == 5_586
        assert counts["dispatches.duplicate"] == 245
        assert len(calendar.calls) + len(calendar.availability) == 5_586 - 245
        assert len(calendar.calls) == 4_816

    def test_has_the_overlaps_that_its_readme_warns_of(self, calendar):
        assert count_by_code(calendar.findings)["dispatches.overlap"] == 66

    def test_repeats_dispatches_with_other_prices_of_availability_alone(self, calendar):
        duplicates = [note for note in calendar.findings if note.code == "dispatches.duplicate"]
        assert {note.details["differs"] for note in duplicates} == {"availability_gbp_per_mwh"}

    def test_asks_for_what_the_file_adds_up_to(self, calendar, real_data):
        """A second way to the total, without the parser."""
        with gzip.open(real_data / "flex_ukpn_dispatches_to_2025-03.csv.gz", "rt", encoding="utf-8") as lines:
            total = sum(
                Decimal(row["utilisation_mw_req"]) * Decimal(row["hours_requested"]) for row in csv.DictReader(lines)
            )
        asked = sum(
            one.requested_kw * Decimal((one.ends_at - one.starts_at).total_seconds()) / 3600 for one in calendar.calls
        )
        assert asked == total * 1000

    def test_has_references_that_name_one_dispatch_each(self, calendar):
        references = [one.reference for one in calendar.calls]
        assert len(set(references)) == len(references)
        assert max(map(len, references)) <= 80
