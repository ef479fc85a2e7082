import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.reading_form import InvalidReadingForm, ReadingForm, half_hours, sum_minutes, translate
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import ConflictingReadings

NAN = np.nan
FLEXIBLE_POWER = ReadingForm("flexible-power", "half-hour", "energy")
MINUTES = ReadingForm("flexible-power", "minute", "power")
PLAIN_MINUTES = ReadingForm("headroom", "minute", "power")


def rows(*stamped, names=("m",), series=None) -> ReadingRows:
    return ReadingRows(
        names=np.array(names),
        series=np.zeros(len(stamped), dtype=np.int64) if series is None else np.array(series),
        lines=np.arange(2, 2 + len(stamped)),
        starts_at=np.array([at for at, _ in stamped], dtype="datetime64[s]"),
        energy_kwh=np.array([value for _, value in stamped], dtype=np.float64),
    )


def minutes(first, power_kw) -> ReadingRows:
    """Consecutive minutes from the first stamp on."""
    start = np.datetime64(first, "s")
    return rows(*((start + np.timedelta64(60 * index, "s"), value) for index, value in enumerate(power_kw)))


class TestReadingForm:
    def test_takes_a_flexible_power_stamp_for_the_end_and_import_for_negative(self):
        found = half_hours(rows(("2026-01-14T18:30:00", -3.5), ("2026-01-15T00:00:00", 0.25)), FLEXIBLE_POWER)

        assert (
            found.starts_at.tolist() == rows(("2026-01-14T18:00:00", 0), ("2026-01-14T23:30:00", 0)).starts_at.tolist()
        )
        assert found.energy_kwh.tolist() == [3.5, -0.25]

    def test_leaves_the_house_s_own_form_as_it_is(self):
        given_rows = rows(("2026-01-14T18:00:00", 3.5), ("2026-01-14T18:30:00", NAN))
        found = half_hours(given_rows, ReadingForm())

        assert found.starts_at.tolist() == given_rows.starts_at.tolist()
        np.testing.assert_array_equal(found.energy_kwh, [3.5, NAN])
        assert ReadingForm().part == ""

    def test_makes_no_minus_zero(self):
        assert not np.signbit(half_hours(rows(("2026-01-14T18:30:00", 0.0)), FLEXIBLE_POWER).energy_kwh[0])

    def test_makes_energy_of_half_hourly_power(self):
        form = ReadingForm("flexible-power", "half-hour", "power")

        assert half_hours(rows(("2026-01-14T18:30:00", -7.0)), form).energy_kwh.tolist() == [3.5]

    @pytest.mark.parametrize(
        ("stamp", "start"),
        [
            ("2026-03-29T01:00:00", "2026-03-29T00:30:00"),  # London's clocks skip 01:00 to 02:00: 01:00Z is 02:00
            ("2026-03-29T01:30:00", "2026-03-29T01:00:00"),
            ("2026-10-25T00:30:00", "2026-10-25T00:00:00"),  # 01:00 BST, the first of the two hours from 01:00
            ("2026-10-25T01:30:00", "2026-10-25T01:00:00"),  # 01:00 GMT, the second
        ],
    )
    def test_moves_a_stamp_by_elapsed_time_on_clock_change_days(self, stamp, start):
        found = half_hours(rows((stamp, -1.0)), FLEXIBLE_POWER)

        assert found.starts_at[0] == np.datetime64(start, "s")

    @pytest.mark.parametrize(("day", "n_period"), [("2026-03-29", 46), ("2026-10-25", 50)])
    def test_keeps_every_half_hour_of_a_clock_change_day_apart(self, day, n_period):
        offset = {"2026-03-29": 0, "2026-10-25": -3600}[day]  # London midnight in UTC
        first = np.datetime64(day, "s") + np.timedelta64(offset, "s")
        ends = first + np.arange(1, n_period + 1) * np.timedelta64(1800, "s")
        found = half_hours(rows(*((end, -1.0) for end in ends)), FLEXIBLE_POWER)

        assert len(set(found.starts_at.tolist())) == n_period
        assert found.starts_at[0] == first

    @pytest.mark.parametrize(
        "words",
        [
            ("piclo", "half-hour", "energy"),
            ("headroom", "hour", "energy"),
            ("headroom", "half-hour", "charge"),
            ("headroom", "minute", "energy"),
            ("flexible-power", "half-hour", "register"),
            ("headroom", "half-hour", "register", "period-end"),
            ("headroom", "half-hour", "energy", "period-middle"),
        ],
    )
    def test_refuses_what_nobody_sends(self, words):
        with pytest.raises(InvalidReadingForm):
            ReadingForm(*words)

    def test_says_what_the_same_content_means_in_it(self):
        stamped_otherwise = ReadingForm(stamp="period-end")
        parts = {form.part for form in (ReadingForm(), FLEXIBLE_POWER, MINUTES, PLAIN_MINUTES, stamped_otherwise)}
        assert len(parts) == 5

    def test_is_the_convention_s_own_form_where_its_own_stamp_is_stated(self):
        assert ReadingForm(stamp="period-start") == ReadingForm()
        assert ReadingForm("flexible-power", stamp="period-end") == ReadingForm("flexible-power")

    @pytest.mark.parametrize("convention", ["headroom", "flexible-power"])
    @pytest.mark.parametrize(("stamp", "at"), [("period-start", "18:00:00"), ("period-end", "18:30:00")])
    def test_takes_either_stamp_with_either_sign(self, convention, stamp, at):
        sent_kwh = 3.5 if convention == "headroom" else -3.5
        found = half_hours(rows((f"2026-01-14T{at}", sent_kwh)), ReadingForm(convention, stamp=stamp))

        assert (found.starts_at[0], found.energy_kwh[0]) == (np.datetime64("2026-01-14T18:00:00", "s"), 3.5)


class TestSumMinutes:
    def test_is_mean_power_times_half_an_hour(self):
        """10 minutes at 6.9 kW and 20 at 0: mean 2.3 kW, 1.15 kWh."""
        found = sum_minutes(minutes("2026-01-14T18:00:00", [6.9] * 10 + [0.0] * 20))

        assert found.rows.energy_kwh == pytest.approx([1.15], abs=1e-12)
        assert found.rows.starts_at[0] == np.datetime64("2026-01-14T18:00:00", "s")
        assert found.n_minute.tolist() == [30]

    def test_is_the_same_from_stamps_of_ends_and_import_negative(self):
        found = half_hours(minutes("2026-01-14T18:01:00", [-6.9] * 10 + [0.0] * 20), MINUTES)

        assert found.energy_kwh == pytest.approx([1.15], abs=1e-12)
        assert found.starts_at[0] == np.datetime64("2026-01-14T18:00:00", "s")
        assert found.lines.tolist() == [2]

    def test_knows_nothing_of_a_half_hour_with_a_missing_minute(self):
        power_kw = [6.9] * 29 + [NAN] + [3.0] * 30
        found = sum_minutes(minutes("2026-01-14T18:00:00", power_kw))
        absent = sum_minutes(minutes("2026-01-14T18:00:00", power_kw[:29]))

        np.testing.assert_array_equal(found.rows.energy_kwh, [NAN, 1.5])
        np.testing.assert_array_equal(absent.rows.energy_kwh, [NAN])
        assert found.n_minute.tolist() == [29, 30]

    def test_takes_the_same_minute_twice_for_once(self):
        once = minutes("2026-01-14T18:00:00", [4.0] * 30)
        twice = half_hours(rows(*zip(np.tile(once.starts_at, 2), [4.0] * 60, strict=True)), PLAIN_MINUTES)

        assert twice.energy_kwh.tolist() == [2.0]

    def test_refuses_two_values_for_a_minute_in_a_file_and_sets_its_half_hour_aside_in_a_batch(self):
        minute = np.datetime64("2026-01-14T18:00:00", "s")
        both = rows((minute, 4.0), (minute, 5.0))

        with pytest.raises(ConflictingReadings) as caught:
            half_hours(both, PLAIN_MINUTES)
        assert caught.value.details["row"] == 1
        assert translate(both, PLAIN_MINUTES).is_conflicting.tolist() == [True]
        assert np.isnan(translate(both, PLAIN_MINUTES).rows.energy_kwh).all()

    def test_keeps_meters_and_half_hours_apart(self):
        stamps = np.datetime64("2026-01-14T18:00:00", "s") + np.arange(60) * np.timedelta64(60, "s")
        power_kw = np.concatenate([np.full(30, 2.0), np.full(30, 6.0)])
        both = rows(
            *((at, value) for value in (1.0, 3.0) for at in stamps), names=("a", "b"), series=[0] * 60 + [1] * 60
        )
        found = sum_minutes(ReadingRows(both.names, both.series, both.lines, both.starts_at, np.tile(power_kw, 2)))

        assert found.rows.series.tolist() == [0, 0, 1, 1]
        assert found.rows.energy_kwh.tolist() == [1.0, 3.0, 1.0, 3.0]

    @given(power_kw=st.lists(st.floats(0, 22, allow_nan=False), min_size=60, max_size=60), shuffle=st.randoms())
    def test_is_the_same_in_any_order_of_arrival(self, power_kw, shuffle):
        ordered = minutes("2026-01-14T18:00:00", power_kw)
        order = list(range(60))
        shuffle.shuffle(order)
        shuffled = ReadingRows(
            ordered.names, ordered.series, ordered.lines[order], ordered.starts_at[order], ordered.energy_kwh[order]
        )

        assert sum_minutes(shuffled).rows.energy_kwh.tolist() == sum_minutes(ordered).rows.energy_kwh.tolist()
        by_hand = [sum(power_kw[:30]) / 60, sum(power_kw[30:]) / 60]
        assert sum_minutes(ordered).rows.energy_kwh == pytest.approx(by_hand, abs=1e-9)

    def test_holds_nothing_of_nothing(self):
        assert len(sum_minutes(rows()).rows) == 0
