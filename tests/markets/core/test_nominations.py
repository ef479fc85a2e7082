"""Nominated days and the files that say them."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.baseline_template import DAYS
from markets.core.nominations import InvalidNomination, NominatedDay, nominated_energy_kwh, read_nominations

PLAIN, MARCH, OCTOBER = date(2026, 1, 14), date(2026, 3, 29), date(2026, 10, 25)
HEADER = "settlement_date,settlement_period,power_kw"


def dated(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


def weekly(power_of) -> str:
    rows = [
        f"{name},{half // 2:02}:{half % 2 * 30:02},{power_of(day, half)}"
        for day, name in enumerate(DAYS)
        for half in range(48)
    ]
    return "\n".join(["day_of_week,local_time,power_kw", *rows])


class TestNominatedDay:
    @pytest.mark.parametrize(("day", "n_period"), [(PLAIN, 48), (MARCH, 46), (OCTOBER, 50)])
    def test_has_as_many_powers_as_its_date_has_periods(self, day, n_period):
        assert NominatedDay(day, np.zeros(n_period)).power_kw.shape == (n_period,)
        for other in {46, 48, 50} - {n_period}:
            with pytest.raises(InvalidNomination, match=f"{n_period} settlement periods"):
                NominatedDay(day, np.zeros(other))

    @pytest.mark.parametrize("power_kw", [np.inf, -np.inf, 1e7, np.nan])
    def test_refuses_power_that_is_none(self, power_kw):
        with pytest.raises(InvalidNomination):
            NominatedDay(PLAIN, np.full(48, power_kw))


class TestReadNominations:
    def test_reads_dated_periods_in_any_order(self):
        text = dated("2026-01-15,1,-3.5", "2026-01-14,48,2", "2026-01-14,36,12.5")

        first, second = read_nominations("\ufeff" + text)

        assert (first.settlement_date, second.settlement_date) == (PLAIN, date(2026, 1, 15))
        assert {n + 1: kw for n, kw in enumerate(first.power_kw.tolist()) if kw == kw} == {36: 12.5, 48: 2.0}
        assert second.power_kw[0] == -3.5

    def test_numbers_50_periods_on_the_long_day(self):
        (day,) = read_nominations(dated("2026-10-25,50,1"))
        assert day.power_kw[49] == 1.0

    def test_takes_only_the_dates_asked_for(self):
        days = read_nominations(dated(*(f"2026-01-{day},1,1" for day in (13, 14, 15))), first=PLAIN, last=PLAIN)
        assert [day.settlement_date for day in days] == [PLAIN]

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            (["2026-03-29,47,1"], "line 2: 2026-03-29 has settlement periods 1 to 46"),
            (["2026-01-14,0,1"], "settlement periods 1 to 48"),
            (["2026-01-14,1,1", "2026-01-14,1,1"], "line 3: 2026-01-14 period 1 is named twice"),
            (["2026-01-14,1,nan"], "power_kw"),
            (["2026-01-14,1,1_0"], "power_kw"),
            (["14/01/2026,1,1"], "settlement_date"),
            (["2026-02-30,1,1"], "settlement_date"),
            (["2026-01-14,1.5,1"], "settlement_period"),
            (["2026-01-14,1"], "line 2: 2 fields"),
            ([], "0 settlement dates"),
        ],
    )
    def test_names_the_line_that_is_wrong(self, rows, said):
        with pytest.raises(InvalidNomination, match=said):
            read_nominations(dated(*rows))

    def test_refuses_another_header(self):
        for text in ("", "date,kw\n2026-01-14,1\n"):
            with pytest.raises(InvalidNomination, match="line 1"):
                read_nominations(text)

    def test_puts_a_week_on_dates_with_import_positive(self):
        """The template's import is negative: Wednesday 17:00 says -17 and becomes 17 kW of period 35."""
        text = weekly(lambda day, half: -half / 2 if day == 2 else 0)

        wednesday, thursday = read_nominations(text, first=PLAIN, last=date(2026, 1, 15))

        assert wednesday.power_kw[34] == 17.0
        assert not thursday.power_kw.any()

    def test_reads_the_clock_of_a_week_where_the_clocks_change(self):
        text = weekly(lambda _day, half: -half)
        (march,) = read_nominations(text, first=MARCH, last=MARCH)
        (october,) = read_nominations(text, first=OCTOBER, last=OCTOBER)

        assert march.power_kw[:4].tolist() == [0.0, 1.0, 4.0, 5.0]  # 01:00 and 01:30 are skipped
        assert october.power_kw[:7].tolist() == [0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0]  # and here read twice

    def test_needs_the_dates_of_a_week(self):
        for first, last in ((None, None), (PLAIN, None), (PLAIN, date(2026, 1, 13)), (PLAIN, date(2028, 1, 14))):
            with pytest.raises(InvalidNomination):
                read_nominations(weekly(lambda _day, _half: 0), first=first, last=last)

    @given(st.dictionaries(st.integers(1, 48), st.integers(-9999, 9999), min_size=1))
    def test_gives_back_what_was_written(self, powers):
        (day,) = read_nominations(dated(*(f"2026-01-14,{n},{kw / 10}" for n, kw in powers.items())))
        assert {n + 1: round(kw * 10) for n, kw in enumerate(day.power_kw.tolist()) if kw == kw} == powers


class TestNominatedEnergyKwh:
    def test_is_half_an_hour_of_the_power(self):
        np.testing.assert_array_equal(nominated_energy_kwh([5.0, None, -2.0]), [2.5, np.nan, -1.0])
