"""Settlements that once took a called night for an ordinary day."""

from datetime import date, time, timedelta

import numpy as np
import pytest

from aggregator.core.timegrid import charging_day, utc
from markets.arrays.settlement import load_portfolio_readings, load_portfolios
from markets.services.cycle import run_cycle
from markets.services.rules import baseline_rule
from tests.walks.small_area import call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)


class TestEventDays:
    def test_are_both_dates_of_a_call_over_midnight(self):
        area = make_small_area(DAY)
        call(area, utc(DAY, time(23)), utc(DAY + timedelta(days=1), time(1)))
        run_cycle(order=area.order())
        later = call(
            area,
            utc(DAY + timedelta(days=2), time(17)),
            utc(DAY + timedelta(days=2), time(18)),
            reference="CALL-2",
        )

        read = load_portfolio_readings(
            event=later,
            portfolios=load_portfolios(event=later),
            rule=baseline_rule(later.product),
            as_of=charging_day(DAY).ends_at,
        )

        called = [day for at, day in enumerate(read.history.days) if read.history.is_event_day[0, at]]
        assert called == [DAY, DAY + timedelta(days=1)]
        np.testing.assert_array_equal(read.history.is_event_day[0], read.history.is_event_day[1])
