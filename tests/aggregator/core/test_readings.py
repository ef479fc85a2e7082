from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.intervals import NaiveTime
from aggregator.core.readings import (
    PERIODS_A_DAY,
    ConflictingReadings,
    ImpossibleReading,
    InvalidMeterDays,
    MeterDays,
    ReadingOffPeriod,
    changes_only,
    check_readings,
    gather_meter_days,
    overlay_kwh,
)

START = np.datetime64("2026-03-29T00:00:00", "s")
N_METER, N_DAY = 2, 2


def rows_of(*rows) -> tuple[MeterDays, np.ndarray, np.ndarray]:
    """Rows of (meter, day, {period: kWh}, received minute, batch)."""
    energy_kwh = np.full((len(rows), PERIODS_A_DAY), np.nan)
    for index, row in enumerate(rows):
        for period, value in row[2].items():
            energy_kwh[index, period] = value
    meter, day, batch = (np.array([row[at] for row in rows], dtype=np.int64) for at in (0, 1, 4))
    received_at = START + np.array([row[3] for row in rows], dtype=np.int64) * np.timedelta64(60, "s")
    return MeterDays(energy_kwh, meter, day), received_at.astype("datetime64[s]"), batch


def overlaid(rows, as_of_minute: int | None = None) -> np.ndarray:
    days, received_at, batch = rows_of(*rows)
    as_of = None if as_of_minute is None else datetime(2026, 3, 29, tzinfo=UTC) + timedelta(minutes=as_of_minute)
    return overlay_kwh(days, received_at=received_at, batch=batch, n_meter=N_METER, n_day=N_DAY, as_of=as_of)


@st.composite
def told_rows(draw: st.DrawFn):
    """Rows in any order, several received at once; no batch speaks twice of one meter and day."""
    cells = st.dictionaries(st.sampled_from([0, 1, 47]), st.floats(0, 50), max_size=3)
    drawn = draw(
        st.lists(
            st.tuples(st.integers(0, N_METER - 1), st.integers(0, N_DAY - 1), cells, st.integers(0, 3)), max_size=10
        )
    )
    return [(*row, batch) for batch, row in enumerate(drawn)]


class TestOverlayKwh:
    def test_lets_the_last_word_stand_period_by_period(self):
        rows = [(0, 0, {0: 1.0, 1: 2.0}, 0, 1), (0, 0, {1: 3.0}, 10, 2), (1, 1, {47: 4.0}, 5, 1)]

        known = overlaid(rows)

        assert known[0, 0, :2].tolist() == [1.0, 3.0]
        assert known[1, 1, 47] == 4.0
        assert np.isfinite(known).sum() == 3

    def test_shows_what_was_known_then(self):
        rows = [(0, 0, {0: 1.0}, 0, 1), (0, 0, {0: 3.0}, 10, 2)]

        assert overlaid(rows, as_of_minute=9)[0, 0, 0] == 1.0
        assert overlaid(rows, as_of_minute=10)[0, 0, 0] == 3.0
        assert np.isnan(overlaid(rows, as_of_minute=-1)).all()

    def test_orders_by_batch_what_was_received_at_once(self):
        assert overlaid([(0, 0, {0: 3.0}, 0, 2), (0, 0, {0: 1.0}, 0, 1)])[0, 0, 0] == 3.0

    def test_keeps_a_measured_zero(self):
        assert overlaid([(0, 0, {0: 3.0}, 0, 1), (0, 0, {0: 0.0}, 1, 2)])[0, 0, 0] == 0.0

    @given(rows=told_rows(), data=st.data(), as_of_minute=st.sampled_from([None, 0, 1, 2]))
    def test_does_not_depend_on_the_order_of_rows(self, rows, data, as_of_minute):
        shuffled = data.draw(st.permutations(rows))

        np.testing.assert_array_equal(overlaid(shuffled, as_of_minute), overlaid(rows, as_of_minute))

    @given(rows=told_rows(), as_of_minute=st.integers(0, 3))
    def test_agrees_with_telling_the_story_row_by_row(self, rows, as_of_minute):
        expected = np.full((N_METER, N_DAY, PERIODS_A_DAY), np.nan)
        for meter, day, cells, minute, _ in sorted(rows, key=lambda row: (row[3], row[4])):
            for period, value in cells.items() if minute <= as_of_minute else ():
                expected[meter, day, period] = value

        np.testing.assert_array_equal(overlaid(rows, as_of_minute), expected)

    def test_refuses_a_batch_that_speaks_twice_of_one_day(self):
        with pytest.raises(InvalidMeterDays) as refused:
            overlaid([(0, 0, {0: 1.0}, 0, 7), (0, 0, {1: 2.0}, 0, 7)])

        assert refused.value.details == {"meter": 0, "day": 0, "batch": 7}

    @pytest.mark.parametrize("row", [(2, 0, {}, 0, 1), (0, 2, {}, 0, 1)])
    def test_refuses_a_row_outside_the_meters_and_days_asked_for(self, row):
        with pytest.raises(InvalidMeterDays):
            overlaid([row])

    def test_refuses_a_naive_time(self):
        days, received_at, batch = rows_of((0, 0, {0: 1.0}, 0, 1))

        naive = datetime(2026, 3, 29)  # noqa: DTZ001

        with pytest.raises(NaiveTime):
            overlay_kwh(days, received_at=received_at, batch=batch, n_meter=1, n_day=1, as_of=naive)


class TestChangesOnly:
    def test_keeps_what_is_new_or_differs(self):
        existing, incoming = (np.full((2, PERIODS_A_DAY), np.nan) for _ in range(2))
        existing[0, :3] = [1.0, 2.0, 3.0]
        incoming[0, 1:4] = [2.0, 3.5, 4.0]
        incoming[1, :0] = []

        changes = changes_only(existing, incoming)

        assert np.flatnonzero(np.isfinite(changes.energy_kwh[0])).tolist() == [2, 3]
        assert (changes.n_new, changes.n_revised, changes.n_duplicate, changes.n_accepted) == (1, 1, 1, 2)
        assert changes.changed_rows.tolist() == [True, False]

    @given(rows=told_rows())
    def test_stores_nothing_when_a_batch_comes_twice(self, rows):
        days, _, _ = rows_of(*rows)
        known = overlaid(rows)
        last = known[days.meter, days.day]

        again = changes_only(last, np.where(np.isnan(days.energy_kwh), np.nan, last))

        assert again.n_accepted == 0
        assert not again.changed_rows.any()
        assert again.n_duplicate == np.isfinite(days.energy_kwh).sum()

    def test_refuses_other_shapes(self):
        with pytest.raises(InvalidMeterDays):
            changes_only(np.zeros((1, 48)), np.zeros((2, 48)))


class TestGatherMeterDays:
    def gather(self, *rows):
        return gather_meter_days(
            meter=np.array([row[0] for row in rows], dtype=np.int64),
            starts_at=np.array([row[1] for row in rows], dtype="datetime64[s]"),
            energy_kwh=np.array([row[2] for row in rows], dtype=np.float64),
            first_day=np.datetime64("2026-10-25"),
        )

    def test_lays_single_readings_into_utc_days(self):
        found = self.gather(
            (1, "2026-10-26T23:30", 4.0),
            (0, "2026-10-25T00:30", 1.0),
            (0, "2026-10-25T01:00", 2.0),
            (1, "2026-10-25T00:00", 0.0),
        )

        assert found.meter.tolist() == [0, 1, 1]
        assert found.day.tolist() == [0, 0, 1]
        assert found.energy_kwh[0, 1:3].tolist() == [1.0, 2.0]
        assert found.energy_kwh[2, 47] == 4.0
        assert np.isfinite(found.energy_kwh).sum() == 4

    def test_takes_the_same_reading_twice(self):
        found = self.gather((0, "2026-10-25T00:30", 1.0), (0, "2026-10-25T00:30", 1.0))

        assert np.isfinite(found.energy_kwh).sum() == 1

    def test_refuses_two_values_for_one_half_hour(self):
        with pytest.raises(ConflictingReadings) as refused:
            self.gather((0, "2026-10-25T00:30", 1.0), (0, "2026-10-25T00:30", 1.5))

        assert refused.value.details["row"] == 0

    @pytest.mark.parametrize("at", ["2026-10-25T00:10", "2026-10-24T23:30"])
    def test_refuses_a_start_off_the_half_hours(self, at):
        with pytest.raises(ReadingOffPeriod) as refused:
            self.gather((0, "2026-10-25T00:30", 1.0), (0, at, 1.0))

        assert refused.value.details["row"] == 1

    def test_takes_no_readings(self):
        assert len(self.gather().meter) == 0


class TestCheckReadings:
    CODES = np.array(["meter-a", "meter-b"])

    @pytest.mark.parametrize("energy_kwh", [-0.001, np.nan, np.inf, -np.inf, 345.1])
    def test_refuses_what_no_meter_can_read(self, energy_kwh):
        with pytest.raises(ImpossibleReading) as refused:
            check_readings(np.array([1.0, energy_kwh]), meter=np.array([0, 1]), meter_codes=self.CODES)

        assert refused.value.details["row"] == 1
        assert refused.value.details["meter"] == "meter-b"
        assert refused.value.details["value"] == str(energy_kwh)

    def test_reports_meters_above_their_rating(self):
        energy_kwh, meter = np.array([3.7, 3.8, 9.0, 4.0]), np.array([0, 0, 1, 0])

        notes = check_readings(energy_kwh, meter=meter, meter_codes=self.CODES, rated_kw=np.array([7.36, np.nan]))

        assert [(note.code, note.subject) for note in notes] == [("reading.above_rating", "meter-a")]
        assert notes[0].details == {"n_reading": 2, "highest_kw": 8.0, "rated_kw": 7.36}

    def test_says_nothing_without_a_rating(self):
        assert check_readings(np.array([9.0]), meter=np.array([0]), meter_codes=self.CODES) == ()


class TestMeterDays:
    @pytest.mark.parametrize(
        ("energy_kwh", "meter"),
        [(np.zeros((1, 46)), np.array([0])), (np.zeros((2, 48)), np.array([0])), (np.zeros((1, 48)), np.array([-1]))],
    )
    def test_refuses_shapes_that_do_not_fit(self, energy_kwh, meter):
        with pytest.raises(InvalidMeterDays):
            MeterDays(energy_kwh, meter, np.array([0]))
