import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.fleet_size import ControllableGauge
from markets.core.gauge import gauge_bar


def gauge(mw: float, committed_mw: float, cap_mw: float = 290.0) -> ControllableGauge:
    return ControllableGauge(mw=mw, committed_mw=committed_mw, cap_mw=cap_mw, threshold_mw=300.0, mw_by_dsrsp={})


class TestGaugeBar:
    def test_places_every_figure_on_one_scale(self):
        bar = gauge_bar(gauge(30.0, 60.0))

        assert (bar.now, bar.committed, bar.cap, bar.threshold) == (10.0, 20.0, 96.67, 100.0)
        assert (bar.mw, bar.committed_mw, bar.left_mw, bar.share_of_threshold) == ("30.00", "60.00", "230.00", "10.0")

    @pytest.mark.parametrize(
        ("mw", "committed_mw", "cap_mw", "word"),
        [
            (0.0, 0.0, 290.0, "OK"),
            (10.0, 260.9, 290.0, "OK"),
            (10.0, 261.0, 290.0, "NEAR"),
            (290.0, 290.0, 290.0, "NEAR"),
            (290.0, 290.1, 290.0, "OVER"),
            (300.0, 300.0, 400.0, "OVER"),
            (0.0, 0.1, 0.0, "OVER"),
        ],
    )
    def test_says_near_and_over(self, mw, committed_mw, cap_mw, word):
        assert gauge_bar(gauge(mw, committed_mw, cap_mw)).word == word

    @given(mw=st.floats(0, 1e4), more_mw=st.floats(0, 1e4), cap_mw=st.floats(0, 1e4))
    def test_keeps_within_the_bar(self, mw, more_mw, cap_mw):
        bar = gauge_bar(gauge(mw, mw + more_mw, cap_mw))

        assert all(0 <= place <= 100 for place in (bar.now, bar.committed, bar.cap, bar.threshold))
        assert bar.now <= bar.committed
