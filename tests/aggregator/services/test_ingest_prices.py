"""Prices and carbon intensity: as received, corrected beside the old, filled by a stated rule and never silently."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.prices import load_carbon_gco2_per_kwh, load_prices_gbp_per_kwh
from aggregator.core.findings import count_by_code
from aggregator.core.gap_fill import NothingToFillFrom
from aggregator.core.half_hour_series import ConflictingValues, InvalidSeries, SeriesRows
from aggregator.core.timegrid import TimeGrid, settlement_day
from aggregator.models import Batch, CarbonDay, Finding, Tariff, TariffDay
from aggregator.services.ingest_prices import ingest_carbon, ingest_prices
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
START = np.datetime64("2023-03-24T00:00", "s")
NOW = datetime(2023, 6, 1, tzinfo=UTC)
HALF_HOUR = np.timedelta64(1800, "s")


def series(*values, start=START):
    """Consecutive half-hours from ``start``, NaN where missing."""
    n = len(values)
    return SeriesRows(np.arange(n) + 2, start + np.arange(n) * HALF_HOUR, np.array(values, dtype=np.float64))


def deliver(rows, *, at=NOW, sha256="a", **options):
    tariff = Tariff.objects.get_or_create(code="t", defaults={"name": "T"})[0]
    return ingest_prices(
        organisation=make_organisation(),
        tariff=tariff,
        source="p.csv",
        sha256=sha256,
        received_at=at,
        rows=rows,
        **options,
    )


def deliver_carbon(forecast, actual, *, at=NOW, **options):
    return ingest_carbon(
        organisation=make_organisation(),
        source="c.csv",
        sha256="a",
        received_at=at,
        forecast=series(*forecast),
        actual=series(*actual),
        **options,
    )


def grid(n_period, hours=0):
    return TimeGrid(datetime(2023, 3, 24, tzinfo=UTC) + timedelta(hours=hours), n_period)


def prices(n_period=3, *, as_of=NOW, hours=0):
    return load_prices_gbp_per_kwh(tariff=Tariff.objects.get(code="t"), grid=grid(n_period, hours), as_of=as_of)


class TestIngestPrices:
    def test_stores_prices_of_any_sign(self):
        result = deliver(series(0.1, -0.2, 0.0))

        assert (result.n_accepted, result.findings) == (3, ())
        assert prices().values.tolist() == [0.1, -0.2, 0.0]

    def test_keeps_what_was_known_before_a_correction(self):
        deliver(series(0.1, 0.2, 0.3))

        result = deliver(series(0.1, 0.9, 0.3), at=NOW + timedelta(hours=1), sha256="b")

        assert (result.n_accepted, result.n_revised, result.n_duplicate) == (1, 1, 2)
        assert prices(as_of=NOW).values.tolist() == [0.1, 0.2, 0.3]
        assert prices(as_of=NOW + timedelta(hours=1)).values.tolist() == [0.1, 0.9, 0.3]

    def test_changes_nothing_when_delivered_again_even_after_a_correction(self):
        deliver(series(0.1, np.nan, 0.3))
        deliver(series(0.2), at=NOW + timedelta(hours=1), sha256="b")
        before = [list(model.objects.values()) for model in (TariffDay, Batch)]

        again = deliver(series(0.1, np.nan, 0.3), at=NOW + timedelta(hours=2))

        assert (again.n_accepted, again.n_duplicate) == (0, 2)
        assert [list(model.objects.values()) for model in (TariffDay, Batch)] == before
        assert Finding.objects.across_tenants().count() == 1

    def test_takes_another_column_of_the_same_file(self):
        deliver(series(0.1), column="one")

        assert deliver(series(0.2), column="two").n_revised == 1

    def test_reports_gaps_as_runs_of_half_hours(self):
        rows = series(0.1, np.nan, np.nan, 0.4, 0.5, 0.6, 0.7)
        missing_row = np.arange(7) != 5
        rows = SeriesRows(rows.lines[missing_row], rows.starts_at[missing_row], rows.values[missing_row])

        findings = deliver(rows).findings

        assert [(note.code, note.details["n_half_hour"]) for note in findings] == [("price.gap", 2), ("price.gap", 1)]

    def test_backfills_a_day_as_known_when_the_day_before_began(self):
        deliver(series(*np.full(48, 0.1)), backfill=True)

        assert prices(as_of=datetime(2023, 3, 23, tzinfo=UTC)).values.tolist() == [0.1] * 3
        with pytest.raises(NothingToFillFrom):
            prices(as_of=datetime(2023, 3, 22, 23, 59, tzinfo=UTC))

    def test_refuses_two_prices_for_one_half_hour_by_line(self):
        rows = SeriesRows(np.array([2, 3]), np.array([START, START]), np.array([0.1, 0.2]))

        with pytest.raises(ConflictingValues, match="line 2"):
            deliver(rows)

        assert not Batch.objects.exists()

    def test_refuses_no_rows(self):
        with pytest.raises(InvalidSeries):
            series()


class TestLoadPrices:
    def test_fills_a_gap_with_the_last_day_that_knows_the_same_clock_time(self):
        deliver(series(*np.arange(48) / 100, *np.full(48, np.nan), 0.9, start=np.datetime64("2023-03-20T00:00", "s")))

        found = prices(3, hours=-48)

        assert found.values.tolist() == [0.9, 0.01, 0.02]
        assert found.is_filled.tolist() == [False, True, True]
        assert [(note.code, note.details["n_half_hour"]) for note in found.findings] == [("series.filled", 2)]

    def test_keeps_the_clock_time_over_the_change_to_summer(self):
        # Saturday known, Sunday 26 March 2023 (46 periods) not: 08:00 BST takes Saturday's 08:00 GMT.
        deliver(series(*np.arange(48), start=np.datetime64("2023-03-25T00:00", "s")))
        tariff = Tariff.objects.get(code="t")

        found = load_prices_gbp_per_kwh(tariff=tariff, grid=settlement_day(date(2023, 3, 26)), as_of=NOW)

        assert found.values.tolist() == [0, 1, *range(4, 48)]

    def test_gives_both_passings_of_the_repeated_hour_the_price_of_the_day_before(self):
        deliver(series(*np.arange(48), start=np.datetime64("2023-10-27T23:00", "s")))
        tariff = Tariff.objects.get(code="t")

        found = load_prices_gbp_per_kwh(
            tariff=tariff, grid=settlement_day(date(2023, 10, 29)), as_of=NOW.replace(month=12)
        )

        assert found.values.tolist() == [0, 1, 2, 3, 2, 3, *range(4, 48)]

    def test_refuses_to_make_up_a_price(self):
        deliver(series(0.1))

        with pytest.raises(NothingToFillFrom, match="2023-03-24T00:30"):
            prices(2)


class TestIngestCarbon:
    def test_prefers_the_outturn_and_sets_a_zero_aside(self):
        _, actual = deliver_carbon([50, 60, 70], [55, 0, np.nan])

        assert load_carbon_gco2_per_kwh(grid=grid(3), as_of=NOW).values.tolist() == [55, 60, 70]
        assert count_by_code(actual.findings) == {"carbon.gap": 1, "carbon.zero_outturn": 1}
        assert (actual.n_accepted, actual.n_quarantined) == (1, 1)

    def test_backfills_forecasts_ahead_and_outturns_afterwards(self):
        deliver_carbon([50] * 48, [55] * 48, backfill=True)

        def known(day):
            return load_carbon_gco2_per_kwh(grid=grid(1), as_of=datetime(2023, 3, day, tzinfo=UTC)).values.tolist()

        assert [known(23), known(24), known(25)] == [[50], [50], [55]]
        with pytest.raises(NothingToFillFrom):
            known(22)

    def test_changes_nothing_when_delivered_again(self):
        deliver_carbon([50, 60], [55, 0])
        before = [list(CarbonDay.objects.values()), list(Finding.objects.across_tenants().values())]

        results = deliver_carbon([50, 60], [55, 0], at=NOW + timedelta(days=1))

        assert [result.n_accepted for result in results] == [0, 0]
        assert [list(CarbonDay.objects.values()), list(Finding.objects.across_tenants().values())] == before
