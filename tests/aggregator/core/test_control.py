from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.control import NAMES, ActFigures, NotAFigure, Thresholds, exceeded, together

THRESHOLDS = Thresholds(total_mw=1.0, mw_per_minute=0.5, n_evse=500, n_limits=20, n_statements=10)
AT = ActFigures(**asdict(THRESHOLDS))
MW = st.floats(0, 1_000)
COUNTS = st.integers(0, 10_000)
FIGURES = st.builds(ActFigures, total_mw=MW, mw_per_minute=MW, n_evse=COUNTS, n_limits=COUNTS, n_statements=COUNTS)
SOME_THRESHOLDS = st.builds(
    Thresholds, total_mw=MW, mw_per_minute=MW, n_evse=COUNTS, n_limits=COUNTS, n_statements=COUNTS
)


def scaled(name: str, factor: float) -> ActFigures:
    at = getattr(AT, name)
    value = at * factor
    return replace(ActFigures(), **{name: value if isinstance(at, float) else round(value)})


class TestExceeded:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(("factor", "is_above"), [(0.9, False), (1.0, False), (1.1, True), (10.0, True)])
    def test_names_what_is_above_its_threshold_and_nothing_else(self, name, factor, is_above):
        assert exceeded(scaled(name, factor), THRESHOLDS) == ((name,) if is_above else ())

    @pytest.mark.parametrize("name", ["total_mw", "mw_per_minute"])
    def test_names_a_hundredth_more(self, name):
        assert exceeded(scaled(name, 1.01), THRESHOLDS) == (name,)

    def test_names_one_evse_more(self):
        assert exceeded(ActFigures(n_evse=501), THRESHOLDS) == ("n_evse",)

    def test_names_all_of_them_in_their_order(self):
        assert exceeded(together([AT, AT]), THRESHOLDS) == NAMES
        assert exceeded(AT, THRESHOLDS) == ()

    def test_names_the_first_of_what_a_threshold_of_0_always_asks_two_people_for(self):
        none = Thresholds(0.0, 0.0, 0, 0, 0)
        assert exceeded(ActFigures(n_limits=1), none) == ("n_limits",)
        assert exceeded(ActFigures(), none) == ()

    @given(smaller=FIGURES, more=FIGURES, thresholds=SOME_THRESHOLDS)
    def test_names_no_fewer_when_an_act_moves_more(self, smaller, more, thresholds):
        assert set(exceeded(smaller, thresholds)) <= set(exceeded(together([smaller, more]), thresholds))

    @given(figures=FIGURES, thresholds=SOME_THRESHOLDS)
    def test_names_no_more_when_one_person_may_move_more(self, figures, thresholds):
        twice = Thresholds(**{name: 2 * getattr(thresholds, name) for name in NAMES})
        assert set(exceeded(figures, twice)) <= set(exceeded(figures, thresholds))

    @given(figures=FIGURES)
    def test_names_nothing_at_exactly_the_threshold(self, figures):
        assert exceeded(figures, Thresholds(**asdict(figures))) == ()


class TestTogether:
    @given(n_part=st.integers(2, 20), n_evse=COUNTS, total_mw=MW)
    def test_gives_parts_as_the_whole(self, n_part, n_evse, total_mw):
        parts = [ActFigures(total_mw=total_mw / n_part, n_evse=n_evse)] * n_part
        assert together(parts).n_evse == n_part * n_evse
        assert together(parts).total_mw == pytest.approx(total_mw)

    def test_of_nothing_is_nothing(self):
        assert together([]) == ActFigures()


class TestActFigures:
    @pytest.mark.parametrize("kind", [ActFigures, Thresholds])
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
    def test_refuse_what_would_be_above_no_threshold(self, kind, name, value):
        with pytest.raises(NotAFigure, match=name):
            kind(**{**asdict(AT), name: value})
