from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import charging_day
from dispatch.core.network_page import age_text, loading_cells, measured, n_evse_cell
from dispatch.core.network_state import (
    Loading,
    Node,
    NodeDay,
    loading_of,
    matching,
    n_evse_below,
    path_to,
    toggle_query,
    tree_rows,
    worst_first,
)

GRID = charging_day(date(2026, 1, 14))
AUTUMN = charging_day(date(2026, 10, 24))
TREE = (
    Node("P", "Town", "primary", None),
    Node("S1", "Mill Lane", "distribution", "P"),
    Node("S2", "Dene Road", "distribution", "P"),
    Node("F1", "", "feeder", "S1"),
    Node("F2", "", "feeder", "S1"),
    Node("F1-A", "", "phase", "F1"),
    Node("F1-B", "", "phase", "F1"),
)


def day(background_kw: float, planned: dict[int, float] | None, rating_kw: float = 100.0, grid=GRID) -> NodeDay:
    planned_kw = None
    if planned is not None:
        planned_kw = np.zeros(grid.n_period)
        for at, power_kw in planned.items():
            planned_kw[at] = power_kw
    return NodeDay(grid, rating_kw, np.full(grid.n_period, background_kw), planned_kw)


def share(value: float | None) -> Loading:
    return Loading(value, "", 0.0, GRID.starts_at, None, has_evs=True)


class TestLoadingOf:
    def test_is_the_half_hour_with_most_background_and_evs_together(self):
        found = loading_of(day(40.0, {11: 35.0, 20: 30.0}))

        assert (found.share, found.word, found.peak_kw, found.headroom_kw) == (0.75, "OK", 75.0, 25.0)
        assert found.peak_at == datetime(2026, 1, 14, 17, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("peak_kw", "word"), [(89.9, "OK"), (90.0, "NEAR"), (100.0, "NEAR"), (100.0 + 1e-9, "NEAR"), (100.1, "OVER")]
    )
    def test_is_near_from_ninety_per_cent_and_over_above_the_rating(self, peak_kw, word):
        assert loading_of(day(peak_kw, {})).word == word

    def test_without_ev_figures_is_of_the_background_alone(self):
        found = loading_of(day(40.0, None))

        assert (found.share, found.has_evs) == (0.4, False)

    @pytest.mark.parametrize("rating_kw", [float("inf"), 0.0, float("nan")])
    def test_without_a_rating_says_no_share(self, rating_kw):
        found = loading_of(day(40.0, {}, rating_kw))

        assert (found.share, found.word, found.headroom_kw, found.peak_kw) == (None, "", None, 40.0)


class TestNEvseBelow:
    def test_counts_upwards_and_on_phases_those_of_their_feeder(self):
        counts = n_evse_below(TREE, {"F1-A": 2, "F1": 3, "S2": 1})

        assert counts == {"P": 6, "S1": 5, "S2": 1, "F1": 5, "F2": 0, "F1-A": 5, "F1-B": 3}

    @given(st.dictionaries(st.sampled_from([node.code for node in TREE]), st.integers(0, 50)))
    def test_of_the_top_is_every_evse(self, n_at):
        assert n_evse_below(TREE, n_at)["P"] == sum(n_at.values())

    def test_ends_on_a_ring_of_parents(self):
        ring = (Node("A", "", "feeder", "B"), Node("B", "", "feeder", "A"))

        assert n_evse_below(ring, {"A": 1}) == {"A": 1, "B": 1}


class TestTreeRows:
    LOADING = {"S1": share(0.5), "S2": share(0.9), "F2": share(0.7), "F1": share(None)}

    def codes(self, opened: frozenset[str] | None) -> list[tuple[str, int]]:
        return [(row.node.code, row.depth) for row in tree_rows(TREE, self.LOADING, opened)]

    def test_opens_the_top_unless_told(self):
        assert self.codes(None) == [("P", 0), ("S2", 1), ("S1", 1)]

    def test_puts_siblings_worst_first_and_unknown_last(self):
        opened = frozenset({"P", "S1"})

        assert self.codes(opened) == [("P", 0), ("S2", 1), ("S1", 1), ("F2", 2), ("F1", 2)]

    def test_shows_nothing_below_a_closed_node_though_its_children_are_open(self):
        assert self.codes(frozenset({"S1", "F1"})) == [("P", 0)]

    def test_starts_where_the_parent_is_not_ours_to_see(self):
        rows = tree_rows((Node("F9", "", "feeder", "elsewhere"),), {}, None)

        assert [(row.node.code, row.depth, row.n_below) for row in rows] == [("F9", 0, 0)]

    @given(st.frozensets(st.sampled_from([node.code for node in TREE])))
    def test_shows_each_node_at_most_once(self, opened):
        codes = [code for code, _ in self.codes(opened)]

        assert len(codes) == len(set(codes))


class TestToggleQuery:
    def test_opens_closes_and_says_that_nothing_is_open(self):
        assert toggle_query(frozenset({"P"}), "S 1&x") == "open=P&open=S+1%26x"
        assert toggle_query(frozenset({"P", "S1"}), "S1") == "open=P"
        assert toggle_query(frozenset({"P"}), "P") == "open="


class TestPathTo:
    def test_leads_from_the_top_to_the_node_above(self):
        assert [node.code for node in path_to("F1-A", TREE)] == ["P", "S1", "F1"]
        assert path_to("P", TREE) == ()


class TestWorstFirst:
    def test_orders_by_share_then_code(self):
        loading = {"F1": share(0.2), "F2": share(0.2), "S1": share(1.3)}

        assert [node.code for node in worst_first(TREE, loading)[:3]] == ["S1", "F1", "F2"]


class TestMatching:
    def test_wants_every_word_in_code_name_or_kind(self):
        assert [node.code for node in matching(TREE, "mill LANE")] == ["S1"]
        assert [node.code for node in matching(TREE, "f1 phase")] == ["F1-A", "F1-B"]
        assert matching(TREE, "mill road") == []


class TestLoadingCells:
    def test_give_local_time_with_its_zone_and_utc_beside(self):
        cells = loading_cells(loading_of(day(40.0, {28: 45.0}, grid=AUTUMN)))

        assert (cells.percent, cells.peak_at, cells.peak_at_utc) == ("85.0 %", "Sun 01:00 GMT", "2026-10-25 01:00Z")

    def test_keep_the_bar_within_its_length(self):
        cells = loading_cells(loading_of(day(1_000.0, {})))

        assert (cells.bar, cells.mark, cells.percent, cells.headroom_kw) == (100.0, 80.0, "1,000.0 %", "-900.0")

    def test_say_what_is_left_out(self):
        assert loading_cells(loading_of(day(40.0, None))).note == "without EVs"

    def test_are_dashes_where_nothing_was_planned(self):
        cells = loading_cells(None)

        assert {cells.percent, cells.headroom_kw, cells.peak_kw, cells.peak_at} == {"—"}


class TestNEvseCell:
    @pytest.mark.parametrize(
        ("n_evse", "is_shown", "cell"),
        [(12, True, "12"), (0, True, "0"), (4, False, "under 5"), (8, False, "not shown"), (None, False, "—")],
    )
    def test_tells_no_handful(self, n_evse, is_shown, cell):
        assert n_evse_cell(n_evse, is_shown=is_shown) == cell


class TestMeasured:
    def test_is_stale_after_two_days(self):
        now = datetime(2026, 1, 16, 12, tzinfo=UTC)

        assert not measured(now - timedelta(hours=48), now=now).is_stale
        assert measured(now - timedelta(hours=48, minutes=1), now=now).is_stale
        assert measured(None, now=now).age == "no monitor"

    @pytest.mark.parametrize(
        ("age", "text"),
        [
            (timedelta(minutes=7), "00:07 h"),
            (timedelta(hours=95, minutes=59), "95:59 h"),
            (timedelta(days=4), "4 d"),
            (timedelta(seconds=-5), "00:00 h"),
        ],
    )
    def test_says_its_age(self, age, text):
        assert age_text(age) == text
