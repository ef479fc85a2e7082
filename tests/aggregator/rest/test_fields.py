"""Values in, strictly; each is tried in a body (JSON values) and in a query string (text)."""

from datetime import UTC, date, datetime

import pytest
from django.http import QueryDict
from rest_framework import serializers

from aggregator.rest.fields import Choice, Day, Flag, Number, OffsetDateTime, PublicId, Text, Whole, WholeChoice
from aggregator.rest.problems import InvalidInput, field_errors
from aggregator.rest.serializers import Query, StrictSerializer

ARABIC_FIVE = "\u0665"


class Inner(StrictSerializer):
    n = Whole(max_value=10)


class Body(StrictSerializer):
    at = OffsetDateTime(required=False)
    day = Day(required=False)
    n = Whole(required=False)
    kw = Number(min_value=-5, max_value=5, required=False)
    text = Text(max_length=10, required=False)
    one_of = Choice(choices=["a", "1"], required=False)
    phases = WholeChoice(choices=[1, 3], required=False)
    is_on = Flag(required=False)
    run = PublicId("run", required=False)
    inner = Inner(required=False)
    rows = Inner(many=True, required=False)


class Params(Query):
    at = OffsetDateTime(required=False)
    n = Whole(min_value=1, max_value=9, required=False)
    kw = Number(min_value=-5, max_value=5, required=False)
    is_on = Flag(required=False)
    text = Text(max_length=10, required=False)


def body(**values):
    asked = Body(data=values)
    asked.is_valid(raise_exception=True)
    return asked.validated_data


def errors_of(**values):
    asked = Body(data=values)
    assert not asked.is_valid()
    return [(error.pointer, error.code) for error in field_errors(asked.errors, place="body")]


class TestBody:
    def test_takes_good_values(self):
        assert body(at="2026-10-25T01:30:00+01:00", day="2026-02-28", n=2**63 - 1, kw=-5, text="x y") == {
            "at": datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            "day": date(2026, 2, 28),
            "n": 2**63 - 1,
            "kw": -5.0,
            "text": "x y",
        }
        assert (
            body(one_of="1", phases=3.0, n=5.0, is_on=False, run="run_17", inner={"n": 1}, rows=[{"n": 2}])["run"] == 17
        )

    @pytest.mark.parametrize(
        "value",
        [
            "2026-11-22T17:30:00",  # no offset
            "2026-11-22",
            "1999-12-31T23:59:59Z",
            "2026-02-30T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22 17:30:00Z",
            "2026-11-22T17:30:00+25:00",
            f"202{ARABIC_FIVE}-11-22T17:30:00Z",
            "2026-11-22T17:30:00Z\n",
            1_700_000_000,
            True,
            None,
        ],
    )
    def test_refuses_a_time_that_is_not_one_instant(self, value):
        assert [pointer for pointer, _ in errors_of(at=value)] == ["/at"]

    @pytest.mark.parametrize("value", ["5", 5.5, True, None, -1, 2**63, 10**40, ARABIC_FIVE, [5], {}])
    def test_refuses_what_is_no_whole_number(self, value):
        assert [pointer for pointer, _ in errors_of(n=value)] == ["/n"]

    @pytest.mark.parametrize("value", ["5", " 5 ", True, None, 5.1, -(10**400), float("nan"), float("inf")])
    def test_refuses_what_is_no_number_within_bounds(self, value):
        assert [pointer for pointer, _ in errors_of(kw=value)] == ["/kw"]

    @pytest.mark.parametrize("value", ["", " x", "x ", "x\x00", "x\ny", "\ud800", 5, True, None, "x" * 11, ["x"]])
    def test_refuses_text_that_is_not_neat(self, value):
        assert {pointer for pointer, _ in errors_of(text=value)} == {"/text"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("one_of", 1),
            ("one_of", "b"),
            ("one_of", ["a"]),
            ("phases", 2),
            ("phases", True),
            ("phases", "1"),
            ("phases", 1.5),
            ("is_on", "true"),
            ("is_on", 1),
            ("day", "2026-2-3"),
            ("day", "2026-02-30"),
            ("run", "run_0"),
            ("run", "run_1234567890123456"),
            ("run", "job_1"),
            ("run", 1),
        ],
    )
    def test_refuses_what_only_looks_like_it(self, name, value):
        assert [pointer for pointer, _ in errors_of(**{name: value})] == [f"/{name}"]

    def test_names_every_unknown_and_wrong_value_by_its_pointer(self):
        found = errors_of(tenant="other", inner={"n": "1", "price": 1}, rows=[{"n": 1}, {"n": 11}, {"m/n": 1, "n": 1}])
        assert sorted(found) == [
            ("/inner/n", "invalid"),
            ("/inner/price", "unknown"),
            ("/rows/1/n", "max_value"),
            ("/rows/2/m~1n", "unknown"),
            ("/tenant", "unknown"),
        ]

    @pytest.mark.parametrize("data", [[], "x", 5, None, True])
    def test_is_an_object(self, data):
        asked = Body(data=data)
        assert not asked.is_valid()


class TestQuery:
    def read(self, text):
        return Params.read(QueryDict(text))

    def test_reads_text_as_what_it_is_meant_for(self):
        assert self.read("n=9&kw=-0.5&is_on=true&at=2026-11-22T00%3A00%3A00Z&text=a") == {
            "n": 9,
            "kw": -0.5,
            "is_on": True,
            "at": datetime(2026, 11, 22, tzinfo=UTC),
            "text": "a",
        }

    @pytest.mark.parametrize(
        ("text", "pointer", "code"),
        [
            ("n=0", "/n", "min_value"),
            ("n=+5", "/n", "invalid"),
            ("n=%205", "/n", "invalid"),
            (f"n={ARABIC_FIVE}", "/n", "invalid"),
            ("n=1_0", "/n", "invalid"),
            ("n=", "/n", "invalid"),
            ("kw=nan", "/kw", "invalid"),
            ("kw=1e3", "/kw", "max_value"),
            ("kw=1e999", "/kw", "max_value"),
            ("is_on=1", "/is_on", "invalid"),
            ("is_on=True", "/is_on", "invalid"),
            ("text=", "/text", "blank"),
            ("text=%00", "/text", "invalid"),
            ("n=1&n=1", "/n", "repeated"),
            ("m=1", "/m", "unknown"),
        ],
    )
    def test_refuses(self, text, pointer, code):
        with pytest.raises(InvalidInput) as refused:
            self.read(text)
        found = field_errors(refused.value.detail, place=refused.value.place)
        assert [(error.place, error.pointer, error.code) for error in found] == [("query", pointer, code)]


class TestOutput:
    def test_writes_utc_with_z(self):
        class Shown(serializers.Serializer):
            at = OffsetDateTime()

        at = datetime.fromisoformat("2026-06-01T13:00:00.5+01:00")
        assert Shown({"at": at}).data == {"at": "2026-06-01T12:00:00.500000Z"}
