from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.limit_change import MOST_CHANGES, LimitChange, LimitRefused, as_json, check_changes, from_json

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANGE = LimitChange("F1", rating_kva=100.0)
CHANGES = st.builds(
    LimitChange,
    node=st.text(min_size=1, max_size=20),
    rating_kva=st.floats(0.1, 1e6),
    power_factor=st.floats(0.01, 1.0),
    cyclic_factor=st.floats(0.01, 2.0),
    diversity=st.floats(0.01, 1.0),
    ramp_kw=st.none() | st.floats(0, 1e6),
    valid_from=st.none() | st.datetimes(NOW.replace(tzinfo=None) + timedelta(seconds=1), timezones=st.just(UTC)),
)


class TestCheckChanges:
    @given(change=CHANGES)
    def test_takes_what_makes_sense(self, change):
        check_changes([change], now=NOW)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("rating_kva", 0.0),
            ("rating_kva", -1.0),
            ("rating_kva", float("nan")),
            ("rating_kva", float("inf")),
            ("rating_kva", 1e6 + 1),
            ("power_factor", 0.0),
            ("power_factor", 1.01),
            ("cyclic_factor", 2.01),
            ("cyclic_factor", float("nan")),
            ("diversity", 0.0),
            ("diversity", 1.01),
            ("ramp_kw", -0.1),
            ("ramp_kw", float("inf")),
            ("ramp_kw", float("nan")),
            ("valid_from", NOW),
            ("valid_from", NOW - timedelta(microseconds=1)),
            ("valid_from", NOW.replace(tzinfo=None) + timedelta(days=1)),
        ],
    )
    def test_names_what_does_not(self, field, value):
        with pytest.raises(LimitRefused, match=field) as refused:
            check_changes([replace(CHANGE, node="F0"), replace(CHANGE, **{field: value})], now=NOW)
        assert (refused.value.details["field"], refused.value.details["id"]) == (field, "F1")

    def test_refuses_none_too_many_and_a_node_twice(self):
        many = [replace(CHANGE, node=str(number)) for number in range(MOST_CHANGES + 1)]
        for changes in ([], many, [CHANGE, replace(CHANGE, rating_kva=90.0)]):
            with pytest.raises(LimitRefused):
                check_changes(changes, now=NOW)
        check_changes(many[:-1], now=NOW)


class TestAsJson:
    @given(change=CHANGES)
    def test_gives_the_change_back(self, change):
        assert from_json(as_json(change)) == change
