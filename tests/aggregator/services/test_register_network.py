"""Network trees as rows: once, over time, and never another's."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.core.findings import FindingNote
from aggregator.core.network_draft import CustomerDraft, InvalidNetwork, NetworkDraft, NodeDraft, RatingDraft
from aggregator.models import Batch, Finding, Meter, NetworkNode, NodeRating
from aggregator.services.register_network import ALWAYS, OwnedByAnother, RatingNotLater, register_network
from tests.factories import make_dno, make_meter

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def draft(rating_kva=100.0, customers=(), **feeder):
    return NetworkDraft(
        nodes=(
            NodeDraft("s", "distribution", None),
            NodeDraft("f", "feeder", "s", **{"rating": RatingDraft(rating_kva), **feeder}),
            NodeDraft("f-A", "phase", "f", phase="A", rating=RatingDraft(rating_kva / 3)),
        ),
        customers=customers,
    )


def register(network, *, now=NOW, dno="dno", sha256="a", **options):
    return register_network(
        organisation=make_dno(dno), draft=network, source="network.json", sha256=sha256, now=now, **options
    )


def ratings(code="f"):
    rows = NodeRating.objects.filter(node__code=code).order_by("valid_from")
    return [(row.rating_kva, row.valid_from, row.valid_to) for row in rows]


class TestRegisterNetwork:
    def test_stores_nodes_ratings_and_customers_meters(self):
        result = register(draft(customers=(CustomerDraft("c", "f-A"), CustomerDraft("lost", None))))

        assert (result.n_accepted, result.n_duplicate) == (5, 0)
        assert NetworkNode.objects.get(code="f-A").parent.parent.code == "s"
        assert ratings() == [(100.0, ALWAYS, None)]
        meters = Meter.objects.for_tenant(make_dno())
        assert {(meter.code, meter.kind, meter.node and meter.node.code) for meter in meters} == {
            ("c", "customer", "f-A"),
            ("lost", "customer", None),
        }

    def test_changes_nothing_the_second_time(self):
        network = draft(customers=(CustomerDraft("c", "f-A"),))
        register(network)
        before = [list(model.objects.values()) for model in (NetworkNode, NodeRating, Batch)]

        again = register(network, now=NOW + timedelta(days=1))

        assert (again.n_accepted, again.n_duplicate) == (0, 4)
        assert [list(model.objects.values()) for model in (NetworkNode, NodeRating, Batch)] == before

    def test_ends_a_changed_rating_where_the_new_one_starts(self):
        register(draft())

        result = register(draft(80.0), sha256="b")

        assert result.n_revised == 2
        assert ratings() == [(100.0, ALWAYS, NOW), (80.0, NOW, None)]

    def test_starts_ratings_when_told(self):
        start = datetime(2024, 1, 1, tzinfo=UTC)
        register(draft())

        register(draft(80.0), sha256="b", valid_from=start)

        assert ratings()[1] == (80.0, start, None)

    def test_prefers_the_start_a_node_states(self):
        start = datetime(2023, 1, 1, tzinfo=UTC)

        register(draft(rating=RatingDraft(50.0, valid_from=start)), valid_from=NOW)

        assert ratings() == [(50.0, start, None)]
        assert ratings("f-A")[0][1] == NOW

    def test_refuses_a_change_before_the_rating_it_replaces(self):
        register(draft(), valid_from=NOW)

        with pytest.raises(RatingNotLater, match="state a later start"):
            register(draft(80.0), sha256="b", valid_from=NOW)

        assert ratings() == [(100.0, NOW, None)]

    def test_brings_names_customers_and_parents_up_to_date(self):
        register(draft())
        other = NetworkDraft((NodeDraft("t", "distribution", None), NodeDraft("f", "feeder", "t", n_customers=9)))

        result = register(other, sha256="b")

        assert (result.n_accepted, result.n_revised) == (2, 1)
        feeder = NetworkNode.objects.get(code="f")
        assert (feeder.parent.code, feeder.n_customers) == ("t", 9)
        assert ratings() == [(100.0, ALWAYS, None)]

    def test_leaves_a_stored_parent_that_a_file_does_not_name(self):
        register(NetworkDraft((NodeDraft("p", "primary", None), NodeDraft("s", "distribution", "p"))))

        register(NetworkDraft((NodeDraft("s", "distribution", None),)), sha256="b")

        assert NetworkNode.objects.get(code="s").parent.code == "p"

    def test_moves_a_customer_to_another_node(self):
        register(draft(customers=(CustomerDraft("c", "f-A"),)))

        result = register(draft(customers=(CustomerDraft("c", "f"),)), sha256="b")

        assert result.n_revised == 1
        assert Meter.objects.across_tenants().get(code="c").node.code == "f"

    def test_hangs_a_file_beneath_what_is_stored(self):
        register(NetworkDraft((NodeDraft("p", "primary", None),)))

        register(NetworkDraft((NodeDraft("s", "distribution", "p"),)), sha256="b")

        assert NetworkNode.objects.get(code="s").parent.code == "p"

    @pytest.mark.parametrize(
        ("network", "dno", "error"),
        [
            (NetworkDraft((NodeDraft("x", "feeder", "nowhere"),)), "dno", InvalidNetwork),
            (NetworkDraft((NodeDraft("x", "phase", "s", phase="A"),)), "dno", InvalidNetwork),
            (NetworkDraft((NodeDraft("s", "primary", None),)), "dno", InvalidNetwork),
            (draft(), "other", OwnedByAnother),
            (draft(customers=(CustomerDraft("taken", "f"),)), "dno", OwnedByAnother),
        ],
    )
    def test_refuses_what_contradicts_the_stored_and_stores_nothing(self, network, dno, error):
        register(draft())
        make_meter("taken")
        before = (NetworkNode.objects.count(), Batch.objects.count(), Meter.objects.across_tenants().count())

        with pytest.raises(error):
            register(network, dno=dno, sha256="b")

        after = (NetworkNode.objects.count(), Batch.objects.count(), Meter.objects.across_tenants().count())
        assert after == before

    def test_stores_the_findings_of_the_draft_once(self):
        odd = NetworkDraft(draft().nodes, findings=(FindingNote("network.meshed", "f", "meets g"),))
        register(odd)
        register(odd)

        assert Finding.objects.for_tenant(make_dno()).count() == 1
