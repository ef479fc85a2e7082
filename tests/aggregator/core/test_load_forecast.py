from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.load_forecast import (
    DOMESTIC_WINTER_SHAPE,
    DemandHistory,
    InvalidDemand,
    background_quantile_kw,
    node_demand_kw,
)
from aggregator.core.local_clock import DayTypes, clock_period
from aggregator.core.timegrid import charging_day, settlement_day

FIRST = date(2026, 1, 1)
TYPES = DayTypes(FIRST, np.array([(FIRST + timedelta(index)).weekday() < 5 for index in range(365)]))


def local_history(first_day: date, n_day: int, by_clock_kw: np.ndarray) -> DemandHistory:
    """One node that draws ``by_clock_kw`` (48,) by London clock on every day."""
    empty = DemandHistory(np.array(["node"]), first_day, np.zeros((1, n_day, 48)))
    return DemandHistory(empty.ids, first_day, by_clock_kw[clock_period(empty.grid())].reshape(1, n_day, 48))


def background(history: DemandHistory, day: date, **kwargs):
    kwargs.setdefault("n_customer", np.full(len(history.ids), 10))
    return background_quantile_kw(history, day_types=TYPES, grid=charging_day(day), **kwargs)


class TestBackgroundQuantile:
    @pytest.mark.parametrize("day", [date(2026, 3, 28), date(2026, 10, 24), date(2026, 7, 1)])
    def test_keeps_the_wall_clock_hour_over_a_clock_change(self, day):
        by_clock_kw = np.arange(48.0)

        found = background(local_history(day - timedelta(days=60), 60, by_clock_kw), day)

        np.testing.assert_allclose(found.power_kw[0], by_clock_kw[clock_period(charging_day(day))])
        assert found.is_measured.all()
        assert found.findings == ()

    def test_takes_the_quantile_of_like_days(self):
        power_kw = np.zeros((1, 70, 48))
        days = FIRST + np.arange(70) * timedelta(days=1)
        working = np.array([day.weekday() < 5 for day in days])
        power_kw[0, working] = np.arange(working.sum())[:, np.newaxis]
        power_kw[0, ~working] = 100.0 + np.arange((~working).sum())[:, np.newaxis]
        history = DemandHistory(np.array(["node"]), FIRST, power_kw)

        friday_to_saturday = background(history, date(2026, 2, 27), quantile=0.5)

        assert friday_to_saturday.power_kw[0, 0] == np.median(np.arange(working.sum()))
        assert friday_to_saturday.power_kw[0, -1] == 100 + np.median(np.arange((~working).sum()))

    def test_leaves_missing_values_out(self):
        power_kw = np.full((1, 60, 48), 5.0)
        power_kw[0, ::2] = np.nan

        assert (background(DemandHistory(np.array(["node"]), FIRST, power_kw), date(2026, 3, 2)).power_kw == 5.0).all()

    def test_takes_both_day_types_together_where_one_has_too_few_samples(self):
        power_kw = np.full((1, 14, 48), 5.0)

        found = background(DemandHistory(np.array(["node"]), FIRST, power_kw), date(2026, 1, 17), min_samples=14)

        assert (found.power_kw == 5.0).all()
        assert found.is_measured.all()

    def test_falls_back_to_the_admd_where_nothing_was_measured(self):
        power_kw = np.full((2, 30, 48), 5.0)
        power_kw[1] = np.nan
        history = DemandHistory(np.array(["measured", "blind"]), FIRST, power_kw)

        found = background(history, date(2026, 3, 28), n_customer=np.array([10, 20]), admd_kw=2.0)

        assert found.is_measured.tolist() == [True, False]
        np.testing.assert_allclose(
            found.power_kw[1], 40.0 * DOMESTIC_WINTER_SHAPE[clock_period(charging_day(date(2026, 3, 28)))]
        )
        assert [(note.code, note.subject) for note in found.findings] == [("demand.unmeasured", "blind")]
        assert found.findings[0].details == {"n_period": 46, "n_customer": 20}

    def test_needs_no_history_at_all(self):
        history = DemandHistory(np.array(["node"]), FIRST, np.zeros((1, 0, 48)))

        found = background(history, date(2026, 3, 28), admd_kw=1.0)

        assert found.power_kw.max() == pytest.approx(10.0)
        assert not found.is_measured.any()

    @given(quantile=st.floats(0, 1), seed=st.integers(0, 100))
    def test_stays_within_what_was_measured(self, quantile, seed):
        power_kw = np.random.default_rng(seed).uniform(3, 9, (1, 40, 48))
        history = DemandHistory(np.array(["node"]), FIRST, power_kw)

        found = background_quantile_kw(
            history,
            day_types=TYPES,
            grid=settlement_day(date(2026, 3, 29)),
            n_customer=np.array([1]),
            quantile=quantile,
        )

        assert found.power_kw.shape == (1, 46)
        assert ((found.power_kw >= power_kw.min()) & (found.power_kw <= power_kw.max())).all()

    @pytest.mark.parametrize(
        "wrong", [{"quantile": 1.1}, {"admd_kw": -1.0}, {"min_samples": 0}, {"n_customer": np.array([1, 2])}]
    )
    def test_refuses_values_out_of_range(self, wrong):
        with pytest.raises(InvalidDemand):
            background(local_history(FIRST, 2, np.ones(48)), date(2026, 1, 2), **wrong)


class TestDomesticWinterShape:
    def test_peaks_at_1_in_the_evening(self):
        assert DOMESTIC_WINTER_SHAPE.shape == (48,)
        assert DOMESTIC_WINTER_SHAPE.max() == 1.0
        assert DOMESTIC_WINTER_SHAPE.argmax() == 38
        assert DOMESTIC_WINTER_SHAPE.min() > 0

    def test_goes_over_midnight_without_a_jump(self):
        """Storage heaters on a time switch once lifted it from 0.57 to 0.92 there, which ordinary homes don't."""
        step = np.abs(np.diff(DOMESTIC_WINTER_SHAPE, append=DOMESTIC_WINTER_SHAPE[0]))
        assert step.max() < 0.1


class TestNodeDemand:
    def customers(self, power_kw: np.ndarray) -> DemandHistory:
        return DemandHistory(np.array([f"c{index}" for index in range(len(power_kw))]), FIRST, power_kw)

    def test_takes_the_missing_as_the_mean_of_those_present(self):
        power_kw = np.ones((4, 1, 48)) * np.array([1.0, 3.0, 5.0, 7.0])[:, np.newaxis, np.newaxis]
        power_kw[1, 0, 0] = np.nan
        power_kw[3] = np.nan

        found = node_demand_kw(
            self.customers(power_kw),
            node=np.array([0, 0, 1, 1]),
            node_ids=np.array(["n0", "n1", "n2"]),
            n_customer=np.array([2, 2, 0]),
        )

        assert found.history.power_kw[0, 0, :2].tolist() == [2.0, 4.0]
        assert found.history.power_kw[1, 0, 0] == 10.0
        assert np.isnan(found.history.power_kw[2]).all()
        assert found.present_share.tolist() == pytest.approx([95 / 96, 0.5, 0.0])
        assert [(note.code, note.subject) for note in found.findings] == [
            ("demand.scaled_up", "n0"),
            ("demand.scaled_up", "n1"),
        ]

    def test_tells_nothing_where_too_few_are_present(self):
        found = node_demand_kw(
            self.customers(np.ones((1, 1, 48))), node=np.array([0]), node_ids=np.array(["n0"]), n_customer=np.array([3])
        )

        assert np.isnan(found.history.power_kw).all()

    @given(seed=st.integers(0, 50))
    def test_is_the_plain_sum_when_all_are_present(self, seed):
        power_kw = np.random.default_rng(seed).uniform(0, 5, (5, 2, 48))
        node = np.array([0, 1, 1, 0, 1])

        found = node_demand_kw(
            self.customers(power_kw), node=node, node_ids=np.array(["n0", "n1"]), n_customer=np.array([2, 3])
        )

        for index in (0, 1):
            np.testing.assert_allclose(found.history.power_kw[index], power_kw[node == index].sum(axis=0))
        assert found.findings == ()

    @pytest.mark.parametrize(
        ("node", "n_customer"), [([0, 0], [1]), ([0, 1], [2]), ([0, -1], [2]), ([0], [2]), ([0, 0], [2, 2])]
    )
    def test_refuses_customers_that_do_not_fit_their_nodes(self, node, n_customer):
        with pytest.raises(InvalidDemand):
            node_demand_kw(
                self.customers(np.ones((2, 1, 48))),
                node=np.array(node),
                node_ids=np.array(["n0"]),
                n_customer=np.array(n_customer),
            )


class TestDemandHistory:
    @pytest.mark.parametrize(
        "power_kw", [np.zeros((1, 2, 46)), np.zeros((2, 2, 48)), np.zeros((1, 48)), np.full((1, 1, 48), np.inf)]
    )
    def test_refuses_what_cannot_be(self, power_kw):
        with pytest.raises(InvalidDemand):
            DemandHistory(np.array(["node"]), FIRST, power_kw)
