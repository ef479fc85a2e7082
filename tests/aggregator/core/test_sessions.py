from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.sessions import (
    NO_EVSE,
    SESSION_CODES,
    ImpossibleSession,
    InvalidSessionHistory,
    SessionHistory,
    classify_sessions,
)
from tests.sessions import history

NAT = np.datetime64("NaT", "s")


def classify(*rows, rated_kw=None, **kwargs):
    """Rows of (evse, connector, plug-in, plug-out or None, kWh)."""
    return classify_sessions(
        evse=np.array([row[0] for row in rows], dtype=np.int64),
        connector=np.array([row[1] for row in rows], dtype=np.int64),
        plug_in_at=np.array([row[2] or NAT for row in rows], dtype="datetime64[s]"),
        plug_out_at=np.array([row[3] or NAT for row in rows], dtype="datetime64[s]"),
        energy_kwh=np.array([row[4] for row in rows], dtype=np.float64),
        rated_kw=None if rated_kw is None else np.array(rated_kw, dtype=np.float64),
        **kwargs,
    )


SOUND = (0, 1, "2026-01-15T17:10", "2026-01-16T07:00", 9.0)


class TestClassifySessions:
    def test_has_nothing_to_say_of_a_sound_session(self):
        found = classify(SOUND)

        assert found.is_kept.tolist() == [True]
        assert not any(found.counts().values())

    @pytest.mark.parametrize(
        ("code", "row"),
        [
            ("session.no_evse", (NO_EVSE, 1, "2026-01-20T17:10", "2026-01-20T18:00", 3.0)),
            ("session.open", (0, 1, "2026-01-20T17:10", None, np.nan)),
            ("session.reversed", (0, 1, "2026-01-20T17:10", "1970-01-01T00:00", 7.03)),
            ("session.zero_length", (0, 1, "2026-01-20T17:10", "2026-01-20T17:10", 0.35)),
            ("session.duplicate", SOUND),
        ],
    )
    def test_sets_aside(self, code, row):
        found = classify(SOUND, row)

        assert found.is_kept.tolist() == [True, False]
        assert found.has(code).tolist() == [False, True]
        assert found.counts()[code] == 1

    @pytest.mark.parametrize(
        ("code", "row"),
        [
            ("session.overlapping", (0, 1, "2026-01-16T06:59", "2026-01-16T08:00", 3.0)),
            ("session.zero_energy", (0, 1, "2026-01-20T17:10", "2026-01-20T18:00", 0.0)),
            ("session.over_7_days", (0, 1, "2026-01-20T17:10", "2026-01-27T17:11", 5.0)),
            ("session.over_100_kwh", (0, 1, "2026-01-20T17:10", "2026-01-22T17:10", 100.01)),
            ("session.over_rating", (0, 1, "2026-01-20T17:00", "2026-01-20T17:30", 30.1)),
        ],
    )
    def test_keeps_with_a_remark(self, code, row):
        found = classify(SOUND, row)

        assert found.is_kept.all()
        assert {name: number for name, number in found.counts().items() if number} == {code: 1}

    def test_takes_sessions_that_touch_or_use_another_connector_as_apart(self):
        touching = (0, 1, "2026-01-16T07:00", "2026-01-16T08:00", 3.0)
        beside = (0, 2, "2026-01-16T06:00", "2026-01-16T08:00", 3.0)
        elsewhere = (1, 1, "2026-01-16T06:00", "2026-01-16T08:00", 3.0)

        assert not classify(SOUND, touching, beside, elsewhere).has("session.overlapping").any()

    def test_sees_an_overlap_beyond_the_previous_session(self):
        short = (0, 1, "2026-01-15T18:00", "2026-01-15T19:00", 1.0)
        later = (0, 1, "2026-01-15T20:00", "2026-01-15T21:00", 1.0)

        assert classify(later, SOUND, short).has("session.overlapping").tolist() == [True, False, True]

    def test_measures_power_against_the_rating_where_one_is_known(self):
        row = (0, 1, "2026-01-20T17:00", "2026-01-20T18:00", 7.5)

        found = classify(row, (1, *row[1:]), (2, *row[1:]), rated_kw=[7.36, 11.0, np.nan])

        assert found.has("session.over_rating").tolist() == [True, False, False]

    def test_takes_missing_values_as_equal_when_looking_for_duplicates(self):
        still_open = (0, 1, "2026-01-20T17:10", None, np.nan)

        assert classify(still_open, still_open).has("session.duplicate").tolist() == [False, True]

    @pytest.mark.parametrize("energy_kwh", [-0.1, 1000.1, np.inf, -np.inf, np.nan])
    def test_refuses_an_impossible_energy_and_names_it(self, energy_kwh):
        with pytest.raises(ImpossibleSession) as refused:
            classify(SOUND, (0, 1, "2026-01-20T17:10", "2026-01-20T18:00", energy_kwh))

        assert refused.value.details == {
            "row": 1,
            "field": "energy_kwh",
            "value": str(energy_kwh),
            "expected": "0 to 1,000 kWh",
        }

    def test_refuses_a_session_without_plug_in(self):
        with pytest.raises(ImpossibleSession) as refused:
            classify(SOUND, (0, 1, None, "2026-01-20T18:00", 1.0))

        assert refused.value.details["field"] == "plug_in_at"

    def test_sets_aside_a_stray_impossible_energy_among_thousands(self):
        rows = [(index, 1, *SOUND[2:]) for index in range(2000)]
        rows[5], rows[7] = (5, 1, *SOUND[2:4], -25.14), (7, 1, *SOUND[2:4], 1430.17)

        found = classify(*rows)

        assert np.flatnonzero(~found.is_kept).tolist() == [5, 7]
        assert found.counts()["session.negative_energy"] == 1
        assert found.counts()["session.absurd_energy"] == 1
        with pytest.raises(ImpossibleSession):
            classify(*rows, impossible_tolerance=0.0)

    def test_takes_no_rows(self):
        assert classify().flags.shape == (0, len(SESSION_CODES))

    @given(
        rows=st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 40), st.integers(1, 15)), max_size=15
        )
    )
    def test_agrees_with_brute_force_on_overlaps_and_duplicates(self, rows):
        hour = np.timedelta64(3600, "s")
        start = np.datetime64("2026-03-28T12:00", "s")
        given_rows = [
            (evse, line, start + at * hour, start + (at + length) * hour, 1.0) for evse, line, at, length in rows
        ]

        found = classify(*given_rows)

        for index, row in enumerate(rows):
            assert found.has("session.duplicate")[index] == (row in rows[:index])
        kept = [row for row, is_kept in zip(rows, found.is_kept, strict=True) if is_kept]
        for row, is_overlapping in zip(kept, found.has("session.overlapping")[found.is_kept], strict=True):
            others = [other for other in kept if other[:2] == row[:2] and other != row]
            earlier = [other for other in others if other[2] < row[2] < other[2] + other[3]]
            same_start = [other for other in others if other[2] == row[2]]
            assert bool(earlier) <= is_overlapping <= bool(earlier or same_start)


class TestSessionHistory:
    def test_knows_only_what_had_arrived(self):
        sessions = history(
            [("a", "2026-01-15 17:00", "2026-01-15 18:00", 1.0), ("a", "2026-01-15 19:00", "2026-01-15 20:00", 1.0)],
            known_after_s=60,
        )

        assert len(sessions.known(datetime(2026, 1, 15, 18, 1, tzinfo=UTC))) == 1
        assert len(sessions.known(datetime(2026, 1, 15, 18, 0, 59, tzinfo=UTC))) == 0

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("evse", np.array([1])),
            ("evse", np.array([-1])),
            ("energy_kwh", np.array([-1.0])),
            ("energy_kwh", np.array([np.nan])),
            ("energy_kwh", np.array([np.inf])),
            ("energy_kwh", np.array([1.0, 2.0])),
            ("known_at", np.array([NAT])),
            ("plug_out_at", np.array(["2026-01-15T17:00:00"], dtype="datetime64[s]")),
            ("plug_out_at", np.array([NAT])),
            ("plug_in_at", np.array(["2026-01-15T17:00"], dtype="datetime64[m]")),
        ],
    )
    def test_refuses_what_cannot_be(self, field, value):
        sound = history([("a", "2026-01-15 17:00", "2026-01-15 18:00", 1.0)])
        columns = {name: getattr(sound, name) for name in SessionHistory.__dataclass_fields__} | {field: value}

        with pytest.raises(InvalidSessionHistory) as refused:
            SessionHistory(**columns)

        assert refused.value.details["field"] == field

    def test_refuses_an_evse_twice(self):
        with pytest.raises(InvalidSessionHistory):
            history([("a", "2026-01-15 17:00", "2026-01-15 18:00", 1.0)], evse_ids=["a", "a"])
