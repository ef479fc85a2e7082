from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.background import MeasuredDemand, forecast_background, node_history_kw
from aggregator.core.load_forecast import DOMESTIC_WINTER_SHAPE, PERIODS_A_DAY
from aggregator.core.local_clock import DayTypes, clock_period
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import charging_day

FIRST = date(2026, 1, 5)  # a Monday in winter, when London is at UTC
TYPES = DayTypes(date(2025, 1, 1), np.array([(date(2025, 1, 1) + timedelta(at)).weekday() < 5 for at in range(900)]))
KINDS = ("primary", "distribution", "feeder", "phase")


def make_area(*nodes: tuple[str, int, int], admd_kw: float = 2.0) -> NetworkArea:
    """An area of (kind, parent, customers connected there); node 0 is called n0 and so on."""
    n_node = len(nodes)
    return NetworkArea(
        node_pks=np.arange(1, n_node + 1),
        codes=np.array([f"n{at}" for at in range(n_node)]),
        kinds=np.array([node[0] for node in nodes]),
        parent=np.array([node[1] for node in nodes]),
        rating_kva=np.full(n_node, 100.0),
        power_factor=np.ones(n_node),
        cyclic_factor=np.ones(n_node),
        diversity=np.ones(n_node),
        ramp_kw=np.full(n_node, np.inf),
        n_customers=np.array([node[2] for node in nodes]),
        admd_kw=np.full(n_node, admd_kw),
    )


def make_measured(
    *,
    customers: list[tuple[int, np.ndarray]] | None = None,
    monitors: list[tuple[int, np.ndarray]] | None = None,
    n_day: int = 1,
    first_day: date = FIRST,
) -> MeasuredDemand:
    """Meters as (node, kW that broadcasts to (n_day, 48))."""

    def table(meters: list[tuple[int, np.ndarray]]) -> np.ndarray:
        rows = [np.broadcast_to(np.asarray(power_kw, dtype=float), (n_day, 48)) for _, power_kw in meters]
        return np.array(rows, dtype=float).reshape(len(rows), n_day, 48)

    customers, monitors = customers or [], monitors or []
    return MeasuredDemand(
        first_day=first_day,
        customer_kw=table(customers),
        customer_node=np.array([node for node, _ in customers], dtype=np.int64),
        monitor_kw=table(monitors),
        monitor_node=np.array([node for node, _ in monitors], dtype=np.int64),
    )


def with_gap(power_kw: float, *gaps: int) -> np.ndarray:
    day_kw = np.full(48, power_kw)
    day_kw[list(gaps)] = np.nan
    return day_kw


def history(measured: MeasuredDemand, area: NetworkArea) -> np.ndarray:
    return node_history_kw(measured, area)[0]


class TestNodeHistory:
    def test_adds_customers_up_the_tree(self):
        area = make_area(("primary", -1, 0), ("distribution", 0, 0), ("feeder", 1, 1), ("feeder", 1, 2))
        measured = make_measured(customers=[(2, 1.0), (3, 2.0), (3, 4.0)])

        found = history(measured, area)

        assert found[:, 0, 0].tolist() == [7.0, 7.0, 1.0, 6.0]
        assert found.shape == (4, 1, 48)

    def test_puts_a_third_of_a_feeders_own_customers_on_each_phase(self):
        area = make_area(("feeder", -1, 1), ("phase", 0, 1), ("phase", 0, 0), ("phase", 0, 0))
        measured = make_measured(customers=[(0, 6.0), (1, 1.0)])

        assert history(measured, area)[:, 0, 0].tolist() == [7.0, 3.0, 2.0, 2.0]

    def test_lets_a_monitor_speak_for_its_whole_node(self):
        area = make_area(("distribution", -1, 0), ("feeder", 0, 1), ("feeder", 0, 1))
        measured = make_measured(customers=[(1, 1.0), (2, 2.0)], monitors=[(1, 10.0)])

        assert history(measured, area)[:, 0, 0].tolist() == [12.0, 10.0, 2.0]

    def test_leaves_the_children_of_a_monitored_node_as_they_measure(self):
        area = make_area(("feeder", -1, 0), ("phase", 0, 1), ("phase", 0, 1), ("phase", 0, 1))
        measured = make_measured(customers=[(1, 1.0), (2, 2.0), (3, 3.0)], monitors=[(0, 10.0)])

        assert history(measured, area)[:, 0, 0].tolist() == [10.0, 1.0, 2.0, 3.0]

    def test_does_not_add_a_third_to_a_phase_with_a_monitor(self):
        area = make_area(("feeder", -1, 1), ("phase", 0, 0), ("phase", 0, 0), ("phase", 0, 0))
        measured = make_measured(customers=[(0, 6.0)], monitors=[(1, 1.5)])

        assert history(measured, area)[:, 0, 0].tolist() == [7.5, 1.5, 2.0, 2.0]

    def test_adds_the_monitors_of_one_node(self):
        measured = make_measured(monitors=[(0, 3.0), (0, 4.0), (0, 5.0)])
        assert history(measured, make_area(("feeder", -1, 0)))[0, 0, 0] == 12.0

    @pytest.mark.parametrize(("first_gap", "second_gap"), [((7,), ()), ((), (7,)), ((7,), (7,))])
    def test_never_counts_a_silent_monitor_beside_another_as_nothing(self, first_gap, second_gap):
        measured = make_measured(monitors=[(0, with_gap(3.0, *first_gap)), (0, with_gap(4.0, *second_gap))])

        found = history(measured, make_area(("feeder", -1, 10)))

        assert found[0, 0, 6] == 7.0
        assert found[0, 0, 7] == pytest.approx(10 * 2.0 * DOMESTIC_WINTER_SHAPE[7])

    def test_returns_to_the_customers_while_a_monitor_is_silent(self):
        measured = make_measured(customers=[(0, 4.0)], monitors=[(0, with_gap(10.0, 7))])

        assert history(measured, make_area(("feeder", -1, 1)))[0, 0, 6:9].tolist() == [10.0, 4.0, 10.0]

    def test_fills_a_monitors_gap_from_its_other_days_where_no_customer_is_known(self):
        day_kw = np.stack([np.full(48, 10.0), with_gap(20.0, 7)])
        measured = make_measured(monitors=[(1, day_kw)], n_day=2)

        found = history(measured, make_area(("distribution", -1, 0), ("feeder", 0, 0)))

        assert found[:, 1, 6:9].tolist() == [[20.0, 10.0, 20.0]] * 2

    def test_fills_a_half_hour_a_monitor_never_read_from_the_rest(self):
        measured = make_measured(monitors=[(0, with_gap(8.0, 7))])

        assert history(measured, make_area(("feeder", -1, 0)))[0, 0, 7] == 8.0

    def test_names_a_monitor_whose_gaps_were_filled(self):
        measured = make_measured(monitors=[(0, with_gap(8.0, 7))])

        _, findings = node_history_kw(measured, make_area(("feeder", -1, 0)))

        assert [(note.code, note.subject) for note in findings] == [("demand.monitor_gap", "n0")]

    def test_takes_unmeasured_customers_at_their_admd(self):
        found = history(make_measured(), make_area(("feeder", -1, 30), admd_kw=1.5))

        np.testing.assert_allclose(found[0, 0], 45.0 * DOMESTIC_WINTER_SHAPE)

    def test_takes_the_admd_by_the_london_clock_in_summer(self):
        found = history(make_measured(first_day=date(2026, 7, 1)), make_area(("feeder", -1, 1), admd_kw=1.0))

        assert found[0, 0, 0] == DOMESTIC_WINTER_SHAPE[2]  # midnight UTC is 01:00 in London

    def test_scales_up_where_half_the_customers_are_read(self):
        measured = make_measured(customers=[(0, 1.0), (0, 3.0)])

        assert history(measured, make_area(("feeder", -1, 4)))[0, 0, 0] == 8.0

    def test_falls_back_to_the_admd_where_fewer_are_read(self):
        measured = make_measured(customers=[(0, 1.0), (0, 3.0)])

        assert history(measured, make_area(("feeder", -1, 5)))[0, 0, 0] == pytest.approx(
            10.0 * DOMESTIC_WINTER_SHAPE[0]
        )

    def test_never_reads_a_missing_value_as_nothing(self):
        measured = make_measured(customers=[(0, with_gap(1.0, 5)), (0, 3.0)])

        found = history(measured, make_area(("feeder", -1, 2)))

        assert found[0, 0, 4:7].tolist() == [4.0, 6.0, 4.0]

    def test_counts_more_meters_than_customers_as_customers(self):
        measured = make_measured(customers=[(0, 1.0), (0, 3.0)])

        assert history(measured, make_area(("feeder", -1, 0)))[0, 0, 0] == 4.0

    def test_names_what_rests_on_an_admd(self):
        area = make_area(("distribution", -1, 0), ("feeder", 0, 5), ("feeder", 0, 1))

        _, findings = node_history_kw(make_measured(customers=[(2, 1.0)]), area)

        assert [(note.code, note.subject) for note in findings] == [("demand.unmeasured", "n1")]
        assert findings[0].details == {"missing_share": 1.0, "n_customer": 5}

    def test_holds_nothing_where_nobody_is_connected(self):
        found, findings = node_history_kw(make_measured(), make_area(("feeder", -1, 0)))

        assert not found.any()
        assert findings == ()


@st.composite
def small_areas(draw: st.DrawFn) -> tuple[NetworkArea, MeasuredDemand]:
    """Up to three levels under a substation, meters and monitors anywhere, gaps in both."""
    nodes: list[tuple[str, int, int]] = [("distribution", -1, draw(st.integers(0, 2)))]
    for _ in range(draw(st.integers(1, 2))):
        feeder = len(nodes)
        nodes.append(("feeder", 0, draw(st.integers(0, 3))))
        nodes += [("phase", feeder, draw(st.integers(0, 3))) for _ in range(draw(st.sampled_from([0, 3])))]
    area = make_area(*nodes)
    values = st.one_of(st.just(np.nan), st.integers(1, 8).map(float))
    at = st.integers(0, len(nodes) - 1)

    def meter() -> tuple[int, np.ndarray]:
        day_kw = np.full((2, 48), 1.0)
        day_kw[:, :3] = [[draw(values) for _ in range(3)] for _ in range(2)]
        return draw(at), day_kw

    customers = [meter() for _ in range(draw(st.integers(0, 4)))]
    monitors = [meter() for _ in range(draw(st.integers(0, 3)))]
    return area, make_measured(customers=customers, monitors=monitors, n_day=2)


class ByHand:
    """Demand of one node in one half-hour, by recursion and exact fractions."""

    def __init__(self, area: NetworkArea, measured: MeasuredDemand) -> None:
        self.area, self.measured = area, measured

    def demand_kw(self, node: int, day: int, period: int) -> float:
        value = self.total(node, day, period)
        if self.area.kinds[node] == "phase" and self.speaks(node, day, period) is None:
            value += self.own(int(self.area.parent[node]), day, period) / 3
        return float(value)

    def total(self, node: int, day: int, period: int) -> Fraction:
        told = self.speaks(node, day, period)
        below = (self.total(child, day, period) for child in self.below(node))
        return self.own(node, day, period) + sum(below, Fraction(0)) if told is None else told

    def own(self, node: int, day: int, period: int) -> Fraction:
        places = self.measured.customer_node
        read = [row[day, period] for row, at in zip(self.measured.customer_kw, places, strict=True) if at == node]
        present = [Fraction(value) for value in read if value == value]
        n = max(int(self.area.n_customers[node]), len(read))
        if present and 2 * len(present) >= n:
            return sum(present, Fraction(0)) / len(present) * n
        return n * Fraction(float(self.area.admd_kw[node])) * Fraction(float(DOMESTIC_WINTER_SHAPE[period]))

    def speaks(self, node: int, day: int, period: int) -> Fraction | None:
        told = self.monitor(node, day, period)
        return self.typical(node, period) if told is None and not self.customers(node) else told

    def monitor(self, node: int, day: int, period: int) -> Fraction | None:
        places = self.measured.monitor_node
        read = [row[day, period] for row, at in zip(self.measured.monitor_kw, places, strict=True) if at == node]
        return sum(map(Fraction, read), Fraction(0)) if read and all(value == value for value in read) else None

    def typical(self, node: int, period: int) -> Fraction | None:
        for periods in ([period], range(PERIODS_A_DAY)):
            told = [self.monitor(node, day, at) for day in range(2) for at in periods]
            read = [value for value in told if value is not None]
            if read:
                return sum(read, Fraction(0)) / len(read)
        return None

    def customers(self, node: int) -> int:
        metered = int((self.measured.customer_node == node).sum())
        return max(int(self.area.n_customers[node]), metered) + sum(map(self.customers, self.below(node)))

    def below(self, node: int) -> list[int]:
        return [child for child in range(self.area.n_node) if self.area.parent[child] == node]


class TestNodeHistoryOnAnyArea:
    @given(small_areas())
    def test_agrees_with_a_sum_by_hand(self, made):
        area, measured = made
        by_hand = ByHand(area, measured)
        found = history(measured, area)
        for node, day, period in np.ndindex(area.n_node, 2, 4):
            assert found[node, day, period] == pytest.approx(by_hand.demand_kw(node, day, period))

    @given(small_areas())
    def test_is_finite_and_not_negative(self, made):
        found = history(made[1], made[0])
        assert np.isfinite(found).all()
        assert (found >= 0).all()

    @given(small_areas())
    def test_carries_at_least_its_children_where_no_monitor_speaks(self, made):
        area, measured = made
        found = history(measured, area)
        silent = [node for node in range(area.n_node) if node not in measured.monitor_node.tolist()]
        for node in silent:
            children = [child for child in np.flatnonzero(area.parent == node) if area.kinds[child] != "phase"]
            assert (found[node] >= found[children].sum(axis=0) - 1e-9).all()


class TestForecastBackground:
    def forecast(self, measured: MeasuredDemand, area: NetworkArea, *, quantile: float, day: date = date(2026, 3, 2)):
        return forecast_background(
            measured, area=area, grid=charging_day(day), day_types=TYPES, quantile=quantile
        ).power_kw

    def test_takes_the_quantile_of_the_sum_and_not_the_sum_of_quantiles(self):
        """Two feeders that peak on alternate days: each peaks at 10, together they never pass 11."""
        odd = (np.arange(56) % 2).astype(float)[:, np.newaxis]
        area = make_area(("distribution", -1, 0), ("feeder", 0, 1), ("feeder", 0, 1))
        measured = make_measured(customers=[(1, 1 + 9 * odd), (2, 10 - 9 * odd)], n_day=56)

        found = self.forecast(measured, area, quantile=0.95)

        assert found[1:].max() == pytest.approx(10.0)
        np.testing.assert_allclose(found[0], 11.0)

    def test_takes_the_quantile_by_hand(self):
        """56 days from a Monday are 40 working ones: at a working noon the values are 0 to 39."""
        working = np.array([(FIRST + timedelta(at)).weekday() < 5 for at in range(56)])
        power_kw = np.full((56, 48), 500.0)
        power_kw[working] = np.arange(40.0)[:, np.newaxis]

        found = self.forecast(
            make_measured(customers=[(0, power_kw)], n_day=56), make_area(("feeder", -1, 1)), quantile=0.5
        )

        assert found[0, 0] == 19.5

    @pytest.mark.parametrize("n_day", [1, 2, 5, 9, 14])
    @pytest.mark.parametrize("kind", KINDS[:3])
    def test_keeps_what_was_measured_however_short_the_history(self, n_day, kind):
        area = make_area((kind, -1, 0), ("feeder", 0, 1)) if kind != "feeder" else make_area(("feeder", -1, 1))
        measured = make_measured(customers=[(area.n_node - 1, 8.0)], n_day=n_day)

        np.testing.assert_allclose(self.forecast(measured, area, quantile=0.95), 8.0)

    @pytest.mark.parametrize("day", [date(2026, 3, 28), date(2026, 10, 24)])
    def test_counts_the_periods_of_the_clock_change(self, day):
        measured = make_measured(customers=[(0, 8.0)], n_day=56, first_day=day - timedelta(days=57))

        found = self.forecast(measured, make_area(("feeder", -1, 1)), quantile=0.95, day=day)

        assert found.shape == (1, charging_day(day).n_period)
        np.testing.assert_allclose(found, 8.0)

    def test_keeps_the_clock_hour_of_an_evening_peak_over_the_spring_change(self):
        day = date(2026, 3, 28)
        peak_kw = np.ones(48)
        peak_kw[36] = 9.0  # 18:00 London, still at UTC
        measured = make_measured(customers=[(0, peak_kw)], n_day=56, first_day=day - timedelta(days=56))

        found = self.forecast(measured, make_area(("feeder", -1, 1)), quantile=0.5, day=day + timedelta(days=1))[0]

        assert clock_period(charging_day(day + timedelta(days=1)))[found.argmax()] == 36
