import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.event_chain import (
    GENESIS_SHA256,
    NO_EVENT,
    Anchor,
    EventRow,
    Head,
    NotCanonical,
    chained,
    event_sha256,
    event_text,
    find_anchor_break,
    find_break,
)

AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.builds(
    EventRow,
    sequence=st.just(0),
    at=st.datetimes(timezones=st.just(UTC)),
    actor=st.text(max_size=20),
    organisation_pk=st.none() | st.integers(1, 9),
    action=st.text(max_size=10),
    subject=st.text(max_size=10),
    reason=st.text(max_size=10),
    before=st.none() | st.dictionaries(st.text(), JSON, max_size=3),
    after=st.none() | st.dictionaries(st.text(), JSON, max_size=3),
    previous_sha256=st.just(""),
)
ALTERED = {
    "at": AT + timedelta(microseconds=1),
    "actor": "person:mallory",
    "organisation_pk": 8,
    "action": "other",
    "subject": "other",
    "reason": "other",
    "before": {"kva": 100.5},
    "after": {"kva": 99.0},
}


def event(number: int = 1, **fields: object) -> EventRow:
    stated = {
        "sequence": 0,
        "at": AT,
        "actor": "person:amber.operator",
        "organisation_pk": 7,
        "action": "limits.changed",
        "subject": f"node F{number}",
        "reason": "cable replaced – Größe",
        "before": {"kva": 100.0, "ramp": None},
        "after": {"kva": 120, "ramp": [1.5, True]},
        "previous_sha256": "",
    }
    return EventRow(**{**stated, **fields})


def log(n_event: int = 5) -> list[EventRow]:
    rows, head = [], NO_EVENT
    for number in range(1, n_event + 1):
        rows.append(chained(event(number), head=head))
        head = Head(rows[-1].sequence, rows[-1].sha256)
    return rows


def rechained(rows: list[EventRow]) -> list[EventRow]:
    made, head = [], NO_EVENT
    for row in rows:
        made.append(chained(row, head=head))
        head = Head(made[-1].sequence, made[-1].sha256)
    return made


def second_sha256(row: EventRow) -> str:
    """The hash worked out another way: the text written by hand, in the order of the letters."""

    def said(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{said(key)}:{said(value[key])}" for key in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + ",".join(said(part) for part in value) + "]"
        if isinstance(value, float) and value == int(value):
            return format(Decimal(repr(value)), "f").removesuffix(".0").replace("-0", "0")
        return json.dumps(value, ensure_ascii=False)

    at = row.at.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00").rjust(32, "0")
    parts = [
        f'"action":{said(row.action)}',
        f'"actor":{said(row.actor)}',
        f'"after":{said(row.after)}',
        f'"at":"{at}"',
        f'"before":{said(row.before)}',
        f'"organisation":{said(row.organisation_pk)}',
        f'"previous_sha256":"{row.previous_sha256}"',
        f'"reason":{said(row.reason)}',
        f'"sequence":{row.sequence}',
        f'"subject":{said(row.subject)}',
    ]
    return hashlib.sha256(("{" + ",".join(parts) + "}").encode("utf-8")).hexdigest()


class TestEventSha256:
    def test_is_this_for_one_event_written_out(self):
        row = chained(event(), head=NO_EVENT)
        text = (
            '{"action":"limits.changed","actor":"person:amber.operator","after":{"kva":120,"ramp":[1.5,true]},'
            '"at":"2026-03-29T01:30:00.000000+00:00","before":{"kva":100,"ramp":null},"organisation":7,'
            f'"previous_sha256":"{"0" * 64}","reason":"cable replaced – Größe","sequence":1,"subject":"node F1"}}'
        )
        assert event_text(row) == text
        assert row.sha256 == hashlib.sha256(text.encode()).hexdigest()

    @given(row=EVENTS)
    def test_is_what_a_second_way_to_work_it_out_gives(self, row):
        placed = chained(row, head=Head(3, "a" * 64))
        assert placed.sha256 == second_sha256(placed)

    @given(row=EVENTS)
    def test_is_the_same_after_a_round_trip_through_json(self, row):
        back = replace(row, before=json.loads(json.dumps(row.before)), after=json.loads(json.dumps(row.after)))
        assert event_sha256(back) == event_sha256(row)

    @pytest.mark.parametrize("same", [3, 3.0])
    def test_takes_numbers_by_their_value(self, same):
        assert event_sha256(event(after={"n": same})) == event_sha256(event(after={"n": 3}))

    def test_tells_true_from_one_and_text_from_number(self):
        hashes = {event_sha256(event(after={"n": value})) for value in (1, True, "1", None, [1])}
        assert len(hashes) == 5

    def test_takes_times_as_the_same_instant(self):
        london = AT.astimezone(timezone(timedelta(hours=1)))
        assert event_sha256(event(at=london)) == event_sha256(event(at=AT))

    @pytest.mark.parametrize("column", ALTERED)
    def test_changes_with_each_column(self, column):
        assert event_sha256(event(**{column: ALTERED[column]})) != event_sha256(event())

    @pytest.mark.parametrize("column", ["sequence", "previous_sha256"])
    def test_changes_with_the_place_in_the_chain(self, column):
        assert event_sha256(event(**{column: 2 if column == "sequence" else "b"})) != event_sha256(event())

    def test_refuses_what_has_no_one_text(self):
        for broken in (event(at=AT.replace(tzinfo=None)), event(after={"kw": float("nan")}), event(before={"a": {1}})):
            with pytest.raises(NotCanonical):
                event_sha256(broken)


class TestFindBreak:
    def test_finds_none_in_a_log_or_any_piece_of_it(self):
        rows = log()
        assert find_break(rows, head=NO_EVENT) is None
        assert find_break(rows[2:4], head=Head(2, rows[1].sha256), following=rows[4]) is None
        assert find_break([], head=NO_EVENT) is None
        assert rows[0].previous_sha256 == GENESIS_SHA256

    @pytest.mark.parametrize("place", [0, 2, 4])
    @pytest.mark.parametrize("column", ALTERED)
    def test_names_the_row_with_an_altered_column(self, column, place):
        rows = log()
        rows[place] = replace(rows[place], **{column: ALTERED[column]})
        found = find_break(rows, head=NO_EVENT)
        assert (found.sequence, found.column) == (place + 1, "")
        assert column.removesuffix("_pk") in found.message

    @pytest.mark.parametrize("column", ["sha256", "previous_sha256"])
    def test_names_an_altered_hash_by_its_column(self, column):
        rows = log()
        rows[2] = replace(rows[2], **{column: "f" * 64})
        found = find_break(rows, head=NO_EVENT)
        assert (found.sequence, found.column) == (3, column)

    def test_names_an_altered_sequence(self):
        rows = log()
        rows[4] = replace(rows[4], sequence=9)
        found = find_break(rows, head=NO_EVENT)
        assert (found.sequence, found.column) == (5, "sequence")

    @pytest.mark.parametrize(("gone", "first"), [([2], 3), ([0], 1), ([1, 2], 2)])
    def test_names_what_is_missing(self, gone, first):
        rows = [row for at, row in enumerate(log()) if at not in gone]
        found = find_break(rows, head=NO_EVENT)
        assert found.sequence == first
        assert "missing" in found.message

    def test_names_a_row_altered_and_hashed_anew(self):
        rows = log()
        rows[2] = chained(replace(rows[2], actor="person:mallory"), head=Head(2, rows[1].sha256))
        assert find_break(rows, head=NO_EVENT).sequence == 3

    def test_names_a_row_put_in_with_a_hash_of_its_own(self):
        rows = log(3)
        forged = chained(event(9), head=Head(3, "e" * 64))
        found = find_break([*rows, forged], head=NO_EVENT)
        assert found.sequence in (3, 4)
        assert "event 4 was put in" in found.message

    @pytest.mark.parametrize("sequence", [0, -3])
    def test_names_a_row_put_in_before_the_first(self, sequence):
        forged = replace(event(9), sequence=sequence, previous_sha256=GENESIS_SHA256)
        found = find_break([replace(forged, sha256=event_sha256(forged)), *log(3)], head=NO_EVENT)
        assert found.sequence == 1
        assert f"event {sequence}" in found.message

    def test_tells_which_of_two_neighbours_was_hashed_anew(self):
        rows = log()
        rows[2] = chained(rows[2], head=Head(2, "e" * 64))
        assert find_break(rows, head=NO_EVENT).sequence == 3

    @given(n_event=st.integers(2, 8), data=st.data())
    def test_finds_any_one_row_taken_out_or_swapped(self, n_event, data):
        rows = log(n_event)
        at = data.draw(st.integers(0, n_event - 2))
        assert find_break(rows[:at] + rows[at + 1 :], head=NO_EVENT).sequence == at + 1
        swapped = [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]]
        assert find_break(swapped, head=NO_EVENT).sequence == at + 1


class TestFindAnchorBreak:
    def anchor(self, row: EventRow) -> Anchor:
        return Anchor(day=date(2026, 3, 29), head=Head(row.sequence, row.sha256), at=AT)

    def test_finds_none_where_the_anchored_head_is_still_there(self):
        rows = log()
        found = Head(3, rows[2].sha256)
        assert find_anchor_break(self.anchor(rows[2]), found=found, head=Head(5, rows[4].sha256)) is None

    def test_finds_a_tail_cut_off(self):
        rows = log()
        broken = find_anchor_break(self.anchor(rows[4]), found=None, head=Head(3, rows[2].sha256))
        assert broken.sequence == 4
        assert "events 4 to 5 are missing" in broken.message

    def test_finds_a_log_chained_anew_that_fits_itself(self):
        rows = log()
        forged = rechained([rows[0], replace(rows[1], actor="person:mallory"), *rows[2:]])
        assert find_break(forged, head=NO_EVENT) is None
        broken = find_anchor_break(
            self.anchor(rows[2]), found=Head(3, forged[2].sha256), head=Head(5, forged[4].sha256)
        )
        assert broken.sequence == 3
