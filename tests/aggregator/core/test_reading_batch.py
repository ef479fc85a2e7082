from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.reading_batch import RejectedRow, judge_rows, rejection_notes
from aggregator.core.reading_rows import ReadingRows

LATEST = datetime(2026, 1, 2, tzinfo=UTC)
START = np.datetime64("2026-01-01T00:00:00", "s")
CAPS = np.array([10.0, np.nan])


def rows_of(*rows: tuple[int, int, float]) -> ReadingRows:
    """Rows of (series, half-hours from midnight, kWh), on lines from 1."""
    series, periods, energy = ([row[at] for row in rows] for at in range(3))
    return ReadingRows(
        names=np.array(["known", "unknown"]),
        series=np.array(series, dtype=np.int64),
        lines=np.arange(1, len(rows) + 1),
        starts_at=START + np.array(periods, dtype=np.int64) * np.timedelta64(1800, "s"),
        energy_kwh=np.array(energy, dtype=np.float64),
    )


def rejected(*rows: tuple[int, int, float]) -> dict[int, str]:
    _, found = judge_rows(rows_of(*rows), cap_kwh=CAPS, latest=LATEST)
    return {row.line: row.code for row in found}


class TestJudgeRows:
    def test_takes_what_a_meter_can_have_measured(self):
        assert rejected((0, 0, 0.0), (0, 1, 10.0), (0, 47, 5.0)) == {}

    def test_sets_aside_what_it_cannot(self):
        assert rejected((1, 0, 1.0), (0, 0, -0.1), (0, 1, 10.1), (0, 48, 1.0), (0, 2, 1.0)) == {
            1: "reading.unknown_meter",
            2: "reading.impossible",
            3: "reading.impossible",
            4: "reading.in_future",
        }

    def test_sets_aside_both_of_two_values_and_neither_of_a_repetition(self):
        assert rejected((0, 0, 1.0), (0, 0, 2.0), (0, 1, 3.0), (0, 1, 3.0)) == {
            1: "reading.conflicting",
            2: "reading.conflicting",
        }

    def test_takes_no_rows(self):
        assert rejected() == {}

    @given(
        rows=st.lists(
            st.tuples(st.integers(0, 1), st.integers(-2, 50), st.sampled_from([-1.0, 0.0, 1.0, 2.0, 11.0])), max_size=30
        )
    )
    def test_accounts_for_every_row_and_leaves_one_value_a_half_hour(self, rows):
        table = rows_of(*rows) if rows else rows_of()
        is_good, found = judge_rows(table, cap_kwh=CAPS, latest=LATEST)
        assert sorted([*table.lines[is_good].tolist(), *(row.line for row in found)]) == table.lines.tolist()
        good = table.select(is_good)
        values: dict[tuple[int, str], set[float]] = {}
        for series, at, kwh in zip(good.series, good.starts_at, good.energy_kwh, strict=True):
            values.setdefault((int(series), str(at)), set()).add(float(kwh))
        assert all(len(told) == 1 for told in values.values())
        assert not (good.series == 1).any()


class TestRejectionNotes:
    def test_say_each_reason_once_with_its_first_lines(self):
        rows = [RejectedRow(line, "a") for line in range(100, 0, -1)] + [RejectedRow(7, "b")]
        first, second = rejection_notes(rows)
        assert (first.code, first.details["n_row"], second.details["lines"]) == ("a", 100, "7")
        assert str(first.details["lines"]).startswith("1,2,3,")
