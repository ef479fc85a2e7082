import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import ConflictingReadings
from aggregator.core.registers import InvalidRegister, register_energy

NAN = np.nan
DAY = np.datetime64("2026-01-14T00:00:00", "s")


def samples(*read, names=("m",), series=None) -> ReadingRows:
    """Registers read at (minutes after midnight, kWh)."""
    return ReadingRows(
        names=np.array(names),
        series=np.zeros(len(read), dtype=np.int64) if series is None else np.array(series),
        lines=np.arange(2, 2 + len(read)),
        starts_at=np.array([DAY + np.timedelta64(int(minute * 60), "s") for minute, _ in read], dtype="datetime64[s]"),
        energy_kwh=np.array([kwh for _, kwh in read], dtype=np.float64),
    )


def energy(found) -> list[tuple[int, float]]:
    """(minute, kWh) of each half-hour."""
    starts = ((found.rows.starts_at - DAY) // np.timedelta64(60, "s")).astype(int).tolist()
    return list(zip(starts, found.rows.energy_kwh.tolist(), strict=True))


def codes(found) -> dict[str, object]:
    return {note.code: next(iter(note.details.values())) for note in found.findings}


class TestRegisterEnergy:
    def test_is_the_difference_of_samples_on_the_boundaries(self):
        found = register_energy(samples((0, 100.0), (30, 101.5), (60, 101.5), (90, 104.0)))

        assert energy(found) == [(0, 1.5), (30, 0.0), (60, 2.5)]
        assert found.findings == ()

    def test_never_interpolates_a_missing_boundary(self):
        found = register_energy(samples((0, 100.0), (29, 101.0), (31, 101.2), (60, 102.0), (90, 103.0)))

        assert energy(found) == [(60, 1.0)]
        assert codes(found) == {"reading.register_gap": 2}

    def test_says_nothing_of_a_half_hour_with_a_reset(self):
        found = register_energy(samples((0, 100.0), (30, 101.0), (60, 0.5), (90, 1.5)))

        np.testing.assert_array_equal([kwh for _, kwh in energy(found)], [1.0, NAN, 1.0])
        assert codes(found) == {"reading.register_reset": 1}

    def test_sees_a_reset_that_the_boundaries_alone_would_hide(self):
        """100.0 to 100.4 looks like 0.4 kWh; the sample between shows it fell to 0 and grew again."""
        found = register_energy(samples((0, 100.0), (10, 0.0), (30, 100.4)))

        assert np.isnan(found.rows.energy_kwh).all()
        assert codes(found) == {"reading.register_reset": 1}

    def test_goes_round_where_the_size_is_known(self):
        read = samples((0, 99_999.0), (30, 0.5), (60, 2.0))

        assert energy(register_energy(read, rolls_over_at_kwh=100_000.0)) == [(0, 1.5), (30, 1.5)]
        assert codes(register_energy(read, rolls_over_at_kwh=100_000.0)) == {"reading.register_rollover": 1}
        assert np.isnan(register_energy(read).rows.energy_kwh[0])

    def test_takes_a_fall_no_meter_can_explain_for_a_reset(self):
        found = register_energy(samples((0, 50_000.0), (30, 1.0)), rolls_over_at_kwh=100_000.0)

        assert np.isnan(found.rows.energy_kwh).all()
        assert codes(found) == {"reading.register_reset": 1}

    def test_keeps_meters_apart(self):
        found = register_energy(
            samples((0, 5.0), (30, 6.0), (0, 1.0), (30, 1.25), names=("a", "b"), series=[0, 0, 1, 1])
        )

        assert found.rows.series.tolist() == [0, 1]
        assert found.rows.energy_kwh.tolist() == [1.0, 0.25]
        assert found.findings == ()

    def test_takes_a_sample_twice_for_once_and_refuses_two_values(self):
        assert energy(register_energy(samples((0, 5.0), (0, 5.0), (30, 6.0)))) == [(0, 1.0)]
        with pytest.raises(ConflictingReadings):
            register_energy(samples((0, 5.0), (0, 5.5), (30, 6.0)))

    def test_leaves_empty_samples_out(self):
        assert energy(register_energy(samples((0, 5.0), (30, NAN), (60, 6.0)))) == []

    @pytest.mark.parametrize(("size", "shown"), [(0.0, 0.0), (-1.0, 0.0), (10.0, 10.0)])
    def test_refuses_a_size_that_cannot_be(self, size, shown):
        with pytest.raises(InvalidRegister):
            register_energy(samples((0, shown)), rolls_over_at_kwh=size)

    def test_says_nothing_of_nothing(self):
        assert len(register_energy(samples()).rows) == 0

    @given(
        steps=st.lists(st.integers(0, 300), min_size=1, max_size=40), start=st.integers(0, 9_999), shuffle=st.randoms()
    )
    def test_gives_back_what_went_through_in_any_order_of_arrival_and_past_any_rollover(self, steps, start, shuffle):
        shown = np.concatenate(([start], start + np.cumsum(steps))) % 10_000
        read = [(30 * index, float(kwh)) for index, kwh in enumerate(shown)]
        shuffle.shuffle(read)
        found = register_energy(samples(*read), rolls_over_at_kwh=10_000.0)

        assert sorted(energy(found)) == [(30 * index, float(step)) for index, step in enumerate(steps)]
