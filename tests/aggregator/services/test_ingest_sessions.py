"""Sessions: stored, stored with a remark, set aside, or refused whole."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.sessions import AmbiguousEvse, load_session_history
from aggregator.core.findings import count_by_code
from aggregator.core.session_rows import InvalidSessionRows, SessionRows
from aggregator.core.sessions import ImpossibleSession
from aggregator.models import Batch, ChargingSession, Finding
from aggregator.services.ingest_sessions import UnknownCsms, ingest_sessions
from tests.factories import make_csms, make_enrolment, make_evse, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
DAY = np.datetime64("2024-05-01", "s")


def session(evse="e", start=0, end=600, kwh=5.0, ref="", connector=""):
    """A row by minutes after midnight; ``end`` None leaves it open."""
    return evse, start, end, kwh, ref, connector


def rows(*sessions):
    evses, starts, ends, energy, refs, connectors = zip(*sessions, strict=True)
    nat = np.datetime64("NaT", "s")
    return SessionRows(
        lines=np.arange(len(sessions)) + 2,
        evse_refs=np.array(evses),
        connectors=np.array(connectors),
        session_refs=np.array(refs),
        plug_in_at=np.array([DAY + start * 60 for start in starts]),
        plug_out_at=np.array([nat if end is None else DAY + end * 60 for end in ends]),
        energy_kwh=np.array(energy, dtype=np.float64),
    )


def deliver(*sessions, at=NOW, sha256="a", **options):
    return ingest_sessions(
        organisation=make_organisation("platform", "platform"),
        source="sessions.csv",
        sha256=sha256,
        received_at=at,
        rows=rows(*sessions),
        **options,
    )


def stored():
    return [list(model.objects.across_tenants().values()) for model in (ChargingSession, Finding)]


@pytest.fixture
def evse():
    return make_evse("e")


class TestIngestSessions:
    def test_stores_a_session_as_the_dsrsps_of_its_plug_in(self, evse):
        result = deliver(session(ref="s1", connector="1"))

        row = ChargingSession.objects.for_tenant(make_organisation()).get()
        assert (result.n_accepted, result.findings) == (1, ())
        assert (row.session_ref, row.connector, row.energy_kwh) == ("s1", "1", 5.0)
        assert row.plug_out_at - row.plug_in_at == timedelta(hours=10)
        assert row.received_at == NOW

    @pytest.mark.parametrize(
        ("odd", "code"),
        [
            (session(end=None, kwh=np.nan), "session.open"),
            (session(end=0), "session.zero_length"),
            (session(start=10, end=0), "session.reversed"),
            (session(evse=""), "session.no_evse"),
            (session(evse="nobody"), "session.unknown_evse"),
        ],
    )
    def test_sets_an_unusable_row_aside_with_all_it_said(self, evse, odd, code):
        result = deliver(session(start=700, end=800), odd)

        assert (result.n_accepted, result.n_quarantined, count_by_code(result.findings)) == (1, 1, {code: 1})
        finding = Finding.objects.across_tenants().get()
        assert (finding.code, finding.severity, finding.organisation.code) == (code, "warning", "platform")
        if code != "session.unknown_evse":
            assert finding.details["line"] == 3
            assert set(finding.details) == {
                *("line", "evse_id", "connector", "session_id", "plug_in_utc", "plug_out_utc", "energy_kwh")
            }

    @pytest.mark.parametrize(
        ("odd", "code"),
        [
            (session(start=300, end=900), "session.overlapping"),
            (session(start=700, end=800, kwh=0.0), "session.zero_energy"),
            (session(start=700, end=700 + 8 * 1440), "session.over_7_days"),
            (session(start=700, end=3000, kwh=120.0), "session.over_100_kwh"),
            (session(start=700, end=760, kwh=20.0), "session.over_rating"),
        ],
    )
    def test_stores_an_odd_but_usable_row_with_a_remark(self, evse, odd, code):
        result = deliver(session(), odd)

        assert (result.n_accepted, result.n_quarantined, count_by_code(result.findings)) == (2, 0, {code: 1})
        assert Finding.objects.across_tenants().get().severity == "info"

    def test_counts_a_row_twice_in_the_file_as_a_finding(self, evse):
        result = deliver(session(ref="1"), session(ref="2"))

        assert (result.n_accepted, result.n_quarantined) == (1, 1)
        assert count_by_code(result.findings) == {"session.duplicate": 1}

    def test_changes_nothing_when_delivered_again_whatever_the_file_is_called(self, evse):
        told = (session(ref="1"), session(ref="2", start=700, end=None, kwh=np.nan))
        deliver(*told)
        before = stored()

        again = deliver(*told, at=NOW + timedelta(days=1))
        other = deliver(session(ref="1"), sha256="b")

        assert (again.n_accepted, again.n_duplicate, again.n_quarantined) == (0, 1, 1)
        assert (other.n_accepted, other.n_duplicate) == (0, 1)
        assert stored() == before

    def test_keeps_the_stored_session_when_another_version_comes(self, evse):
        deliver(session(ref="1"))

        result = deliver(session(ref="1", kwh=6.0), sha256="b")

        assert (result.n_accepted, result.n_quarantined) == (0, 1)
        assert count_by_code(result.findings) == {"session.differs": 1}
        assert ChargingSession.objects.across_tenants().get().energy_kwh == 5.0

    def test_stores_a_session_that_was_open_once_it_has_ended(self, evse):
        deliver(session(ref="1", end=None, kwh=np.nan))

        assert deliver(session(ref="1"), sha256="b").n_accepted == 1

    def test_stores_nothing_without_an_enrolment_at_plug_in(self):
        first, second = make_organisation("first"), make_organisation("second")
        evse = make_evse("e", dsrsp=first, enrolled_to=datetime(2024, 5, 1, 1, tzinfo=UTC))
        make_enrolment(evse, second, datetime(2024, 5, 1, 2, tzinfo=UTC))

        result = deliver(*(session(start=start, end=start + 30, kwh=1.0) for start in (0, 90, 120)))

        assert (result.n_accepted, result.n_quarantined) == (2, 1)
        assert count_by_code(result.findings) == {"session.not_enrolled": 1}
        kept = ChargingSession.objects.across_tenants().order_by("plug_in_at")
        assert [row.organisation.code for row in kept] == ["first", "second"]

    def test_backfills_each_session_as_known_when_it_ended(self, evse):
        deliver(session(start=0, end=60), session(start=120, end=180), backfill=True)

        def known(hour):
            as_of = datetime(2024, 5, 1, hour, tzinfo=UTC)
            history = load_session_history(evse_pks=np.array([evse.pk]), evse_ids=np.array(["x"]), as_of=as_of)
            return len(history)

        assert [known(hour) for hour in (0, 1, 2, 3)] == [0, 1, 1, 2]

    def test_never_backfills_to_later_than_receipt(self, evse):
        deliver(session(end=10**5), backfill=True)

        assert ChargingSession.objects.across_tenants().get().received_at == NOW

    def test_asks_for_the_csms_where_two_have_the_id(self, evse):
        make_evse("e2", csms=make_csms("other"))
        twin = make_evse("twin", csms=make_csms("other"))
        twin.identity.csms_ref = "e"
        twin.identity.save()

        with pytest.raises(AmbiguousEvse):
            deliver(session())
        deliver(session(), csms_code="other")

        assert ChargingSession.objects.across_tenants().get().evse == twin

    def test_refuses_an_unknown_csms(self, evse):
        with pytest.raises(UnknownCsms):
            deliver(session(), csms_code="nobody")

    @pytest.mark.parametrize("kwh", [np.nan, -1.0, 1_001.0])
    def test_refuses_an_impossible_energy_by_its_line_and_stores_nothing(self, evse, kwh):
        with pytest.raises(ImpossibleSession, match=r"sessions\.csv: line 3, column energy_kwh: found"):
            deliver(session(), session(start=700, end=800, kwh=kwh))

        assert not ChargingSession.objects.across_tenants().exists()
        assert not Batch.objects.exists()

    def test_refuses_columns_that_do_not_fit(self):
        with pytest.raises(InvalidSessionRows):
            SessionRows(*(np.zeros(number) for number in (2, 2, 2, 1, 2, 2, 2)))
