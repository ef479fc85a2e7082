"""What the log keeps of registrations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.core.network_draft import NetworkDraft, NodeDraft, RatingDraft
from aggregator.core.registration import Registration
from aggregator.models import Event
from aggregator.services.event_log import verify_events
from aggregator.services.register_fleet import register_fleet
from aggregator.services.register_network import register_network
from tests.factories import make_csms, make_dno, make_feeder, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def events() -> list[Event]:
    return list(Event.objects.across_tenants().select_related("organisation").order_by("sequence"))


def register(*rows: Registration, sha256: str = "a"):
    platform = make_organisation("platform", "platform")
    return register_fleet(organisation=platform, rows=rows, source="evses.csv", sha256=sha256 * 64, now=NOW)


def row(number: int, dsrsp: str = "flexco", **stated: object) -> Registration:
    return Registration(
        number, f"e{number}", **{"csms": "csms", "dsrsp": dsrsp, "node": "f", "rated_kw": 8.0, **stated}
    )


class TestRecordEnrolments:
    @pytest.fixture(autouse=True)
    def surroundings(self):
        make_csms()
        make_feeder("f")
        for code in ("flexco", "voltway"):
            make_organisation(code)

    def test_keeps_one_event_a_dsrsp_and_batch(self):
        result = register(row(1), row(2), row(3, "voltway"))
        first, second = events()
        assert (first.action, first.subject, first.organisation.code) == (
            "enrolments.changed",
            "fleet of flexco",
            "flexco",
        )
        assert first.before == {"n_evse": 0, "rated_kw": 0.0}
        assert first.after == {
            "n_evse": 2,
            "rated_kw": 16.0,
            "n_row": 2,
            "batch": result.batch.pk,
            "source": "evses.csv",
            "sha256": "a" * 64,
        }
        assert (second.organisation.code, second.after["n_evse"]) == ("voltway", 1)
        assert verify_events().is_intact

    def test_keeps_nothing_of_what_changed_nothing(self):
        register(row(1))
        register(row(1))
        register(row(1), sha256="b")
        assert len(events()) == 1

    def test_tells_who_lost_an_evse_by_a_switch(self):
        register(row(1), row(2))
        register(row(2, "voltway", enrolled_from=NOW + timedelta(days=1)), sha256="b")
        register(row(2, "voltway", enrolled_from=NOW + timedelta(days=1), firmware="2"), sha256="c")
        seen = [(event.organisation.code, event.before["n_evse"], event.after["n_evse"]) for event in events()]
        # until tomorrow it is flexco's: of what is enrolled now or later, both have it
        assert seen == [("flexco", 0, 2), ("voltway", 0, 1), ("voltway", 1, 1)]

    def test_tells_who_lost_an_evse_at_once(self):
        register(row(1, enrolled_from=NOW - timedelta(days=9)), row(2, enrolled_from=NOW - timedelta(days=9)))
        register(row(2, "voltway"), sha256="b")
        seen = [(event.organisation.code, event.before["n_evse"], event.after["n_evse"]) for event in events()[1:]]
        assert seen == [("flexco", 2, 1), ("voltway", 0, 1)]


class TestRecordRatings:
    def draft(self, rating_kva: float = 100.0, n_feeder: int = 1) -> NetworkDraft:
        feeders = (
            NodeDraft(f"f{number:03}", "feeder", "s", rating=RatingDraft(rating_kva)) for number in range(n_feeder)
        )
        return NetworkDraft((NodeDraft("s", "distribution", None), *feeders))

    def register(self, draft: NetworkDraft, sha256: str = "a", days: int = 0):
        return register_network(
            organisation=make_dno(),
            draft=draft,
            source="network.json",
            sha256=sha256 * 64,
            now=NOW + timedelta(days=days),
        )

    def test_keeps_a_rating_before_and_after(self):
        self.register(self.draft())
        self.register(self.draft(80.0), "b", 1)
        first, second = events()
        assert (first.action, first.organisation.code, first.subject) == ("limits.registered", "dno", "network of dno")
        assert (first.before, first.after["n_node"]) == ({"n_node": 0, "ratings": {}}, 1)
        assert second.before["ratings"]["f000"]["rating_kva"] == 100.0
        assert second.after["ratings"]["f000"]["rating_kva"] == 80.0
        assert second.after["ratings"]["f000"]["valid_from"] == "2026-03-02T00:00:00+00:00"
        assert second.after["sha256"] == "b" * 64

    def test_keeps_nothing_where_no_rating_changed(self):
        draft = self.draft()
        self.register(draft)
        self.register(replace(draft, nodes=(replace(draft.nodes[0], name="Mill Lane"), draft.nodes[1])), "b", 1)
        assert len(events()) == 1

    def test_shows_fifty_nodes_and_counts_all(self):
        self.register(self.draft(n_feeder=60))
        self.register(self.draft(80.0, n_feeder=61), "b", 1)
        first, second = events()
        assert (len(first.after["ratings"]), first.after["n_node"]) == (50, 60)
        assert (len(second.before["ratings"]), second.before["n_node"], second.after["n_node"]) == (50, 60, 61)
