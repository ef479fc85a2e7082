import json
import re
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregator.core.chart import (
    Chart,
    Frame,
    InvalidChart,
    Series,
    boundary_labels,
    draw_chart,
    nice_ticks,
    step_runs,
)
from aggregator.core.timegrid import charging_day

PLAIN, SPRING, AUTUMN = date(2026, 1, 14), date(2026, 3, 28), date(2026, 10, 24)
NAN = float("nan")

days = st.sampled_from([PLAIN, SPRING, AUTUMN])
powers = st.one_of(st.floats(-1e6, 1e6), st.just(NAN), st.just(float("inf")))


def chart_of(day: date, *curves: np.ndarray) -> Chart:
    return draw_chart(charging_day(day), tuple(Series(f"c{i}", f"c{i}", curve) for i, curve in enumerate(curves)))


def corners(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)])


class TestFrame:
    def test_places_edges_and_middle(self):
        frame = Frame(left=10, top=20, width=100, height=50, low_kw=-10, high_kw=40, n_period=4)

        np.testing.assert_allclose(frame.x(np.array([0, 1, 4])), [10, 35, 110])
        np.testing.assert_allclose(frame.y(np.array([-10, 0, 15, 40])), [70, 60, 45, 20])


class TestNiceTicks:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0, 100, [0, 20, 40, 60, 80, 100]),
            (0, 90, [0, 20, 40, 60, 80, 100]),
            (0, 11.2, [0, 2.5, 5, 7.5, 10, 12.5]),
            (0, 0.3, [0, 0.1, 0.2, 0.3]),
            (-7, 20, [-10, 0, 10, 20]),
            (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ],
    )
    def test_are_round_and_enclose_the_values(self, low, high, expected):
        np.testing.assert_allclose(nice_ticks(low, high), expected, atol=1e-12)

    @given(low=st.floats(-1e6, 0), span=st.floats(1e-3, 1e6))
    def test_enclose_any_range_in_a_few_equal_steps(self, low, span):
        ticks = nice_ticks(low, low + span)

        assert ticks[0] <= low + 1e-6 * span
        assert ticks[-1] >= low + span - 1e-6 * span
        assert 3 <= len(ticks) <= 8
        np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


class TestStepRuns:
    FRAME = Frame(left=0, top=0, width=4, height=10, low_kw=0, high_kw=10, n_period=4)

    def test_hold_each_value_from_its_start_to_its_end(self):
        (run,) = step_runs(np.array([1.0, 3.0, 3.0, 0.0]), self.FRAME)

        assert run.tolist() == [[0, 9], [1, 9], [1, 7], [2, 7], [2, 7], [3, 7], [3, 10], [4, 10]]

    def test_break_where_there_is_no_value(self):
        runs = list(step_runs(np.array([1.0, NAN, 2.0, np.inf]), self.FRAME))

        assert [run.tolist() for run in runs] == [[[0, 9], [1, 9]], [[2, 8], [3, 8]]]

    def test_are_none_without_values(self):
        assert list(step_runs(np.full(4, NAN), self.FRAME)) == []


class TestDrawChart:
    @given(day=days, data=st.data())
    def test_keeps_every_corner_in_the_plot_box_and_x_rising(self, day, data):
        n_period = charging_day(day).n_period
        curves = data.draw(hnp.arrays(np.float64, (2, n_period), elements=powers))
        chart = chart_of(day, *curves)

        for line in chart.lines:
            points = corners(line.path)
            if len(points):
                assert points[:, 0].min() >= chart.frame.left - 0.01
                assert points[:, 0].max() <= chart.frame.right + 0.01
                assert points[:, 1].min() >= chart.frame.top - 0.01
                assert points[:, 1].max() <= chart.frame.bottom + 0.01
                assert (np.diff(points[:, 0]) >= 0).all()

    def test_draws_twice_the_power_twice_as_high(self):
        grid = charging_day(PLAIN)
        power_kw = np.linspace(0, 50, grid.n_period)
        chart = chart_of(PLAIN, power_kw, 2 * power_kw)
        low, high = (chart.zero_y - corners(line.path)[:, 1] for line in chart.lines)

        np.testing.assert_allclose(high, 2 * low, atol=0.02)
        assert high.max() > 200

    def test_closes_an_area_at_zero(self):
        grid = charging_day(PLAIN)
        (line,) = draw_chart(grid, (Series("a", "a", np.full(grid.n_period, 5.0), is_area=True),)).lines

        assert line.path.endswith("Z")
        assert corners(line.path)[-2:, 1].tolist() == [344.0, 344.0]

    def test_labels_power_round_and_downwards(self):
        chart = chart_of(PLAIN, np.full(48, 11.2))

        assert [tick.label for tick in chart.powers] == ["0.0", "2.5", "5.0", "7.5", "10.0", "12.5"]
        assert [tick.y for tick in chart.powers] == sorted((tick.y for tick in chart.powers), reverse=True)

    def test_refuses_a_curve_of_another_length(self):
        with pytest.raises(InvalidChart):
            chart_of(PLAIN, np.zeros(46))


class TestTimeAxis:
    def test_labels_every_third_local_hour_of_a_plain_day(self):
        chart = chart_of(PLAIN, np.ones(48))

        assert [(tick.label, tick.x) for tick in chart.hours] == [
            ("12:00", 54.0),
            ("15:00", 164.0),
            ("18:00", 274.0),
            ("21:00", 384.0),
            ("00:00", 494.0),
            ("03:00", 604.0),
            ("06:00", 714.0),
            ("09:00", 824.0),
            ("12:00", 934.0),
        ]
        assert chart.clock_change == ()
        assert [(tick.label, tick.x) for tick in chart.days] == [("Wed 14 Jan 2026", 54.0), ("Thu 15 Jan 2026", 494.0)]

    def test_shows_the_skipped_hour_in_spring(self):
        chart = chart_of(SPRING, np.ones(46))
        per_hour = 880 / 23

        assert [(tick.label, tick.x, tick.anchor) for tick in chart.clock_change] == [
            ("00:00 GMT", round(54 + 12 * per_hour, 2), "end"),
            ("02:00 BST", round(54 + 13 * per_hour, 2), "start"),
        ]
        assert {tick.label: tick.x for tick in chart.hours}["03:00"] == round(54 + 14 * per_hour, 2)

    def test_shows_the_repeated_hour_in_autumn(self):
        chart = chart_of(AUTUMN, np.ones(50))
        per_hour = 880 / 25

        assert [(tick.label, tick.x, tick.anchor) for tick in chart.clock_change] == [
            ("01:00 BST", round(54 + 13 * per_hour, 2), "end"),
            ("01:00 GMT", round(54 + 14 * per_hour, 2), "start"),
        ]
        assert {tick.label: tick.x for tick in chart.hours}["03:00"] == round(54 + 16 * per_hour, 2)


class TestData:
    def test_is_what_json_can_hold_with_gaps_said(self):
        drawn = chart_of(PLAIN, np.array([NAN, 1.23456, float("inf"), *[0.0] * 45]))
        data = json.loads(json.dumps(drawn.data, allow_nan=False))

        assert data["series"][0]["values"][:4] == [None, 1.235, None, 0.0]
        assert data["unit"] == "kW"

    @pytest.mark.parametrize(("day", "n_period"), [(PLAIN, 48), (SPRING, 46), (AUTUMN, 50)])
    def test_has_one_boundary_and_label_more_than_values(self, day, n_period):
        data = chart_of(day, np.zeros(n_period)).data

        assert [len(data["starts"]), len(data["labels"]), len(data["series"][0]["values"])] == [
            n_period + 1,
            n_period + 1,
            n_period,
        ]
        assert set(np.diff(data["starts"])) == {1800}

    def test_tells_the_doubled_hour_apart(self):
        labels = boundary_labels(charging_day(AUTUMN))

        assert labels.count("01:00 BST") == labels.count("01:00 GMT") == 1
        assert labels.count("01:30 BST") == labels.count("01:30 GMT") == 1

    def test_leaves_zones_out_on_an_ordinary_day(self):
        labels = boundary_labels(charging_day(PLAIN))

        assert labels[0] == labels[-1] == "12:00"
        assert labels[1] == "12:30"

    def test_names_each_local_date_where_it_begins(self):
        days = chart_of(SPRING, np.zeros(46)).data["days"]

        assert days == [{"boundary": 0, "label": "Sat 28 Mar 2026"}, {"boundary": 24, "label": "Sun 29 Mar 2026"}]
