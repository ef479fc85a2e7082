from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from aggregator.core.network_area import UnknownNode
from aggregator.core.timegrid import LONDON
from dispatch.models import TargetSignal
from dispatch.services.targets import TargetRefused, receive_target
from tests.factories import make_dno, make_node, make_organisation

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 14, 15, tzinfo=UTC)
START = datetime(2026, 1, 15, 17, tzinfo=UTC)
END = datetime(2026, 1, 15, 19, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def receive(**changes: Any) -> TargetSignal:
    """A sound request of the DNO whose feeder it is, but for the changes."""
    sound: dict[str, Any] = {
        "reference": "CALL-1",
        "node_code": "feeder-1",
        "starts_at": START,
        "ends_at": END,
        "direction": "turn_down",
        "kind": "response",
        "target_kw": 5.0,
        "shortfall_gbp_per_kwh": 1.0,
        "received_at": NOW,
    }
    return receive_target(**{**sound, "issued_by": make_dno(), **changes})


@pytest.fixture(autouse=True)
def feeder():
    return make_node("feeder-1")


def refused(**changes: Any) -> TargetRefused:
    with pytest.raises(TargetRefused) as caught:
        receive(**changes)
    assert caught.value.code == "dispatch.target_refused"
    return caught.value


class TestReceiveTarget:
    def test_stores_what_was_asked(self, feeder):
        signal = TargetSignal.objects.get(pk=receive(kind="routine", direction="turn_up").pk)
        assert (signal.reference, signal.node, signal.issued_by) == ("CALL-1", feeder, make_dno())
        assert (signal.starts_at, signal.ends_at, signal.received_at) == (START, END, NOW)
        assert (signal.direction, signal.kind) == ("turn_up", "routine")
        assert (signal.target_kw, signal.shortfall_gbp_per_kwh) == (5.0, 1.0)

    def test_takes_a_window_stated_in_any_offset(self):
        india = timezone(timedelta(hours=5, minutes=30))
        signal = receive(starts_at=START.astimezone(india), ends_at=END.astimezone(india))
        assert (TargetSignal.objects.get().starts_at, signal.starts_at.utcoffset()) == (START, timedelta(0))

    @pytest.mark.parametrize("target_kw", [0, 0.0, 1e6])
    def test_takes_any_target_from_zero_up(self, target_kw):
        assert receive(target_kw=target_kw).target_kw == target_kw

    @pytest.mark.parametrize("hours", [0.5, 23.5, 24])
    def test_takes_a_window_of_half_an_hour_to_a_day(self, hours):
        assert receive(ends_at=START + timedelta(hours=hours)).ends_at == START + timedelta(hours=hours)

    def test_measures_a_london_window_by_instants_over_the_autumn_change(self):
        before = datetime(2026, 10, 25, 1, 30, tzinfo=LONDON, fold=0)
        after = datetime(2026, 10, 25, 1, 0, tzinfo=LONDON, fold=1)
        signal = receive(starts_at=before, ends_at=after)
        assert signal.ends_at - signal.starts_at == HALF_HOUR

    def test_measures_a_london_window_by_instants_over_the_spring_change(self):
        starts_at = datetime(2026, 3, 29, 0, 30, tzinfo=LONDON)
        signal = receive(starts_at=starts_at, ends_at=datetime(2026, 3, 29, 2, 0, tzinfo=LONDON))
        assert signal.ends_at - signal.starts_at == HALF_HOUR

    @pytest.mark.parametrize("code", ["nowhere", ""])
    def test_refuses_an_unknown_node(self, code):
        with pytest.raises(UnknownNode):
            receive(node_code=code)
        assert not TargetSignal.objects.exists()

    @pytest.mark.parametrize("received_at", [START, START + timedelta(seconds=1), END + timedelta(days=9)])
    def test_refuses_a_window_in_the_past(self, received_at):
        error = refused(received_at=received_at)
        assert error.details["field"] == "starts_at"
        assert "past" in error.message
        assert not TargetSignal.objects.exists()

    @pytest.mark.parametrize("field", ["starts_at", "ends_at"])
    @pytest.mark.parametrize(
        "shift", [timedelta(minutes=15), timedelta(seconds=1), timedelta(microseconds=1), timedelta(minutes=29)]
    )
    def test_refuses_a_window_off_the_half_hour(self, field, shift):
        assert refused(**{field: {"starts_at": START, "ends_at": END}[field] + shift}).details["field"] == field

    @pytest.mark.parametrize("field", ["starts_at", "ends_at"])
    def test_refuses_a_time_without_an_offset(self, field):
        naive = {"starts_at": START, "ends_at": END}[field].replace(tzinfo=None)
        assert "offset" in refused(**{field: naive}).message

    @pytest.mark.parametrize("ends_at", [START, START - HALF_HOUR, START - timedelta(days=3)])
    def test_refuses_a_window_that_is_empty_or_reversed(self, ends_at):
        assert refused(ends_at=ends_at).details["field"] == "ends_at"

    def test_refuses_a_window_longer_than_a_day(self):
        assert refused(ends_at=START + timedelta(hours=24, minutes=30)).details["field"] == "ends_at"

    @pytest.mark.parametrize("field", ["target_kw", "shortfall_gbp_per_kwh"])
    @pytest.mark.parametrize("value", [-0.001, -1e9, float("nan"), float("inf"), float("-inf")])
    def test_refuses_a_number_that_cannot_be_meant(self, field, value):
        assert refused(**{field: value}).details == {"field": field, "value": str(value)}

    @pytest.mark.parametrize(
        ("field", "value"), [("direction", "down"), ("direction", ""), ("kind", "urgent"), ("kind", "ROUTINE")]
    )
    def test_refuses_a_word_it_does_not_know(self, field, value):
        assert refused(**{field: value}).details["field"] == field

    @pytest.mark.parametrize("reference", ["", "   ", "x" * 81])
    def test_refuses_a_reference_nobody_can_quote(self, reference):
        assert refused(reference=reference).details["field"] == "reference"

    @pytest.mark.parametrize("issuer", [("other-dno", "dno"), ("amber", "dsrsp")])
    def test_refuses_a_node_of_somebody_else(self, issuer):
        error = refused(issued_by=make_organisation(*issuer))
        assert error.details == {"field": "node_code", "value": "feeder-1"}
        assert not TargetSignal.objects.exists()

    def test_stores_the_same_request_once(self):
        first = receive()
        assert receive(received_at=NOW + timedelta(hours=1)).pk == first.pk
        assert TargetSignal.objects.get().received_at == NOW

    def test_knows_the_same_request_by_its_instants_and_not_their_spelling(self):
        first = receive()
        assert receive(starts_at=START.astimezone(timezone(timedelta(hours=2)))).pk == first.pk

    @pytest.mark.parametrize("late", [timedelta(hours=27), timedelta(days=30)])
    def test_answers_a_repeated_request_although_it_has_begun(self, late):
        """A sender that got no answer repeats itself; the request was in time."""
        first = receive()
        assert receive(received_at=NOW + late).pk == first.pk

    @pytest.mark.parametrize(
        "change",
        [
            {"target_kw": 6.0},
            {"shortfall_gbp_per_kwh": 2.0},
            {"starts_at": START + HALF_HOUR},
            {"ends_at": END + HALF_HOUR},
            {"direction": "turn_up"},
            {"kind": "routine"},
            {"node_code": "feeder-2"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_refuses_other_content_under_a_known_reference(self, change):
        make_node("feeder-2")
        receive()
        assert refused(**change).details["field"] in {*change, "node"}
        stored = TargetSignal.objects.get()
        assert (stored.target_kw, stored.starts_at, stored.node.code) == (5.0, START, "feeder-1")

    def test_refuses_a_reference_of_another_dno(self):
        receive()
        other = make_dno("other-dno")
        make_node("theirs", dno=other)
        error = refused(node_code="theirs", issued_by=other)
        assert (error.details, error.message) == ({"field": "reference"}, "request CALL-1: the reference is taken")

    def test_tells_requests_of_two_references_apart(self):
        assert receive().pk != receive(reference="CALL-2").pk
