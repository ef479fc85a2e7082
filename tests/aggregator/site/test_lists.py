"""What lists share: pages, filters, and files of them."""

from datetime import UTC, date, datetime

import pytest
from django.http import Http404
from django.test import RequestFactory

from aggregator.site.csv_answer import cell, csv_answer
from aggregator.site.filters import asked_only, choice_filter, day_filter, local_day, text_filter
from aggregator.site.paging import page_of


def ask(**query: str):
    return RequestFactory().get("/", query)


class TestPageOf:
    def test_names_neighbours_with_the_filters(self):
        page = page_of(ask(q="a b", page="2"), list(range(5)), n=2)

        assert (page.rows, page.first, page.last, page.n_row, page.n_page) == ([2, 3], 3, 4, 5, 3)
        assert (page.previous, page.following) == ("?q=a+b&page=1", "?q=a+b&page=3")

    def test_of_an_empty_list_is_one_empty_page(self):
        page = page_of(ask(), [])

        assert (page.rows, page.n_row, page.previous, page.following) == ([], 0, "", "")

    def test_beyond_the_end_is_the_last(self):
        assert page_of(ask(nodes="99"), [1, 2, 3], n=2, name="nodes").rows == [3]

    @pytest.mark.parametrize("asked", ["", "0", "-1", "1.0", "٣", "9" * 20])
    def test_is_404_for_what_is_no_number(self, asked):
        with pytest.raises(Http404):
            page_of(ask(page=asked), [1])


class TestFilters:
    def test_take_text_without_what_a_database_can_not_keep(self):
        assert text_filter(ask(q=" a\x00b "), "q") == "ab"
        assert len(text_filter(ask(q="x" * 500), "q")) == 100
        assert asked_only({"a": "", "b": "c"}) == {"b": "c"}

    def test_take_only_known_choices(self):
        assert choice_filter(ask(state="done"), "state", {"done"}) == "done"
        assert choice_filter(ask(state="x"), "state", {"done"}) == ""

    def test_take_a_local_day_of_any_length(self):
        assert day_filter(ask(day="2026-10-25")) == date(2026, 10, 25)
        assert day_filter(ask()) is None
        starts_at, ends_at = local_day(date(2026, 10, 25))
        assert (ends_at - starts_at).total_seconds() == 25 * 3600

    @pytest.mark.parametrize("day", ["x", "2026-02-30", "1999-12-31", "2100-01-01"])
    def test_are_404_for_what_is_no_day(self, day):
        with pytest.raises(Http404):
            day_filter(ask(day=day))


class TestCsvAnswer:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (None, ""),
            (-1.5, "-1.5"),
            (0, "0"),
            ("-1", "'-1"),
            ("=1+1", "'=1+1"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            (" @x", "' @x"),
            ("'quoted", "''quoted"),
            ("plain", "plain"),
            (date(2026, 1, 2), "2026-01-02"),
            (datetime(2026, 7, 1, 12, tzinfo=UTC), "2026-07-01T12:00:00Z"),
        ],
    )
    def test_guards_text_and_leaves_numbers_alone(self, value, written):
        assert cell(value) == written

    def test_quotes_what_would_break_a_line(self):
        assert csv_answer("x.csv", ("a", "b"), [("1,2", 'say "x"\n')]).content == b'a,b\n"1,2","say ""x""\n"\n'
