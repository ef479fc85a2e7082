"""Files that wait to be registered: whose they are, how long, and that they are registered once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from aggregator.core.registration import Registration, RegistrationRefused
from aggregator.models import EVSE, Batch, Enrolment, FleetUpload, Organisation
from aggregator.services.fleet_uploads import (
    UnknownUpload,
    UploadRefused,
    commit_upload,
    describe_upload,
    drop_stale_uploads,
    drop_upload,
    find_upload,
    store_upload,
    waiting_uploads,
)
from tests.factories import make_csms, make_evse, make_feeder, make_organisation
from tests.markets.builders import make_person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROWS = (
    Registration(2, "e1", "csms", "amber", "f-A", 7.4),
    Registration(3, "e2", "csms", "amber", "f-B", 7.4),
)


@pytest.fixture
def amber() -> Organisation:
    make_csms()
    make_feeder("f")
    return make_organisation("amber")


@pytest.fixture
def ada(amber) -> User:
    return make_person("ada", amber)


def bring(amber, ada, content=b"rows", *, name="fleet.csv", now=NOW) -> FleetUpload:
    return store_upload(organisation=amber, user_pk=ada.pk, file_name=name, content=content, max_bytes=100, now=now)


def commit(upload, amber, ada, *, rows=ROWS, now=NOW) -> FleetUpload:
    return commit_upload(upload_pk=upload.pk, organisation=amber, user_pk=ada.pk, rows=rows, now=now)


class TestStoreUpload:
    @pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"x" * 101, "101 bytes")])
    def test_refuses_an_empty_or_large_file(self, amber, ada, content, said):
        with pytest.raises(UploadRefused, match=said):
            bring(amber, ada, content)

    @pytest.mark.parametrize("name", ["", "a" * 400 + ".csv", "a\x00b.csv"])
    def test_takes_any_name(self, amber, ada, name):
        assert 0 < len(bring(amber, ada, name=name).file_name) <= 300

    def test_keeps_the_newest_five_of_each_person(self, amber, ada):
        ben = make_person("ben", amber)
        theirs = bring(amber, ben)
        uploads = [bring(amber, ada, now=NOW + timedelta(minutes=at)) for at in range(7)]

        waiting = waiting_uploads(organisation=amber, user_pk=ada.pk)
        assert [one.pk for one in waiting] == [one.pk for one in uploads[:1:-1]]
        assert find_upload(upload_pk=theirs.pk, organisation=amber, user_pk=ben.pk)

    def test_drops_what_waited_for_a_day(self, amber, ada):
        old = bring(amber, ada, now=NOW - timedelta(days=1, seconds=1))
        done = bring(amber, ada, now=NOW - timedelta(days=3))
        commit(done, amber, ada)

        bring(amber, ada)

        assert set(FleetUpload.objects.for_tenant(amber).values_list("pk", flat=True)).isdisjoint({old.pk})
        assert drop_stale_uploads(organisation=amber, now=NOW + timedelta(days=2)) == 1
        assert FleetUpload.objects.for_tenant(amber).get().pk == done.pk


class TestWhose:
    def test_is_whoever_brought_it(self, amber, ada):
        upload = bring(amber, ada)
        ben = make_person("ben", amber)
        blue = make_organisation("blue")

        for organisation, person in ((amber, ben), (blue, ada)):
            named = {"upload_pk": upload.pk, "organisation": organisation, "user_pk": person.pk}
            with pytest.raises(UnknownUpload):
                find_upload(**named)
            with pytest.raises(UnknownUpload):
                commit_upload(**named, rows=ROWS, now=NOW)
            assert not drop_upload(**named)
        assert find_upload(upload_pk=upload.pk, organisation=amber, user_pk=ada.pk) == upload

    def test_is_dropped_on_request_unless_registered(self, amber, ada):
        waiting, done = bring(amber, ada), bring(amber, ada, b"other")
        commit(done, amber, ada)

        assert drop_upload(upload_pk=waiting.pk, organisation=amber, user_pk=ada.pk)
        assert not drop_upload(upload_pk=done.pk, organisation=amber, user_pk=ada.pk)
        assert FleetUpload.objects.for_tenant(amber).get() == done


class TestDescribeUpload:
    def test_counts_rows_by_what_they_would_do_and_changes_nothing(self, amber):
        preview = describe_upload(organisation=amber, rows=ROWS, now=NOW)

        assert (preview.n_by_kind, preview.errors) == ({"new": 2}, ())
        assert not EVSE.objects.across_tenants().exists()
        assert not Batch.objects.exists()


class TestCommitUpload:
    def test_registers_once_whatever_is_asked_twice(self, amber, ada):
        upload = bring(amber, ada)

        first = commit(upload, amber, ada)
        again = commit(upload, amber, ada, now=NOW + timedelta(hours=1))

        assert first.batch == again.batch
        assert first.batch.counts["accepted"] == 2
        assert Enrolment.objects.across_tenants().count() == 2
        assert Batch.objects.count() == 1

    def test_gives_the_same_batch_for_the_same_file_brought_again(self, amber, ada):
        first = commit(bring(amber, ada), amber, ada)

        again = commit(bring(amber, ada), amber, ada, now=NOW + timedelta(hours=1))

        assert again.batch == first.batch
        assert Enrolment.objects.across_tenants().count() == 2

    def test_registers_nothing_where_a_row_stands_in_the_way_since_the_preview(self, amber, ada):
        upload = bring(amber, ada)
        make_evse("e2", dsrsp=make_organisation("blue"), csms=make_csms())

        with pytest.raises(RegistrationRefused):
            commit(upload, amber, ada)

        upload.refresh_from_db()
        assert upload.batch is None
        assert EVSE.objects.across_tenants().count() == 1
