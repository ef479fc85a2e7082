import pytest

from markets.core.baseline_lab import MethodScore
from markets.core.lab_chart import draw_lab

NAN = float("nan")


def score(method="bl01", bias_kw=0.1, low_kw=-0.5, high_kw=1.0, n_compared=10):
    return MethodScore(method, "fleet", n_compared, 0, 1.0, bias_kw, 0.5, low_kw, high_kw)


class TestDrawLab:
    def test_places_every_method_on_one_axis_that_holds_zero(self):
        chart = draw_lab([score(), score("zero", bias_kw=-1.0, low_kw=-2.0, high_kw=-0.2)])

        first, second = chart.rows
        assert first.low_x < chart.zero_x < first.bias_x < first.high_x
        assert second.high_x < chart.zero_x
        assert second.y - first.y == pytest.approx(30.0)
        assert chart.left <= second.low_x
        assert first.high_x <= chart.right
        assert [tick.label for tick in chart.ticks] == ["-2.00", "-1.00", "0", "+1.00"]
        assert next(tick.x for tick in chart.ticks if tick.label == "0") == chart.zero_x

    def test_leaves_out_what_would_squeeze_the_others(self):
        chart = draw_lab(
            [score(), score("asset-capacity", bias_kw=90, low_kw=80, high_kw=99)], left_out=["asset-capacity"]
        )

        assert [row.label for row in chart.rows] == ["BL01, most recent days"]

    def test_names_a_method_without_a_baseline(self):
        chart = draw_lab([score(), score("mid-8-in-10", NAN, NAN, NAN, n_compared=0)])

        assert [row.is_known for row in chart.rows] == [True, False]

    def test_draws_nothing_of_nothing(self):
        assert draw_lab([score(bias_kw=NAN, low_kw=NAN, high_kw=NAN, n_compared=0)]) is None
