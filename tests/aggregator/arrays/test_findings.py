"""Findings as rows."""

from datetime import UTC, datetime

import pytest

from aggregator.arrays.findings import store_findings
from aggregator.core.findings import FindingNote
from aggregator.models import Finding
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def store(*notes, source="batch:1", **options):
    return store_findings(notes=notes, source=source, noticed_at=NOW, **options)


class TestStoreFindings:
    def test_keeps_every_part_of_a_note(self):
        organisation = make_organisation()

        n_new = store(FindingNote("a.b", "meter", "odd", "alarm", {"energy_kwh": 1.25}), organisation=organisation)

        row = Finding.objects.for_tenant(organisation).get()
        assert n_new == 1
        assert (row.code, row.subject, row.message, row.severity) == ("a.b", "meter", "odd", "alarm")
        assert (row.details, row.source, row.noticed_at) == ({"energy_kwh": 1.25}, "batch:1", NOW)

    def test_stores_a_note_once_a_source(self):
        note, other = (
            FindingNote("a", "m", "odd", details={"line": 1}),
            FindingNote("a", "m", "odd", details={"line": 2}),
        )

        assert [store(note, note, other), store(note), store(note, source="batch:2")] == [2, 0, 1]

    def test_cuts_what_is_too_long_visibly(self):
        store(FindingNote("a", "s" * 300, "m" * 600))

        row = Finding.objects.across_tenants().get()
        assert (len(row.subject), row.subject[-1]) == (200, "…")
        assert (len(row.message), row.message[-1]) == (500, "…")
