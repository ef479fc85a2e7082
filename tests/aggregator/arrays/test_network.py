from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.network import DESIGN_DIVERSITY, find_node, load_area
from aggregator.core.network_area import NetworkArea, UnknownNode
from aggregator.models import NetworkNode, NodeRating
from tests.factories import make_feeder, make_node

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
NEXT_NOON = NOON + timedelta(days=1)


def area_of(root: NetworkNode) -> NetworkArea:
    return load_area(root=root, starts_at=NOON, ends_at=NEXT_NOON)


def rate(node: NetworkNode, valid_from: datetime, valid_to: datetime | None = None, **facts) -> None:
    NodeRating.objects.create(node=node, valid_from=valid_from, valid_to=valid_to, **{"rating_kva": 100.0, **facts})


class TestFindNode:
    def test_finds_a_node_by_its_code(self):
        node = make_node("feeder-1")
        assert find_node("feeder-1") == node

    @pytest.mark.parametrize("code", ["nowhere", "", "FEEDER-1", "feeder-1 "])
    def test_refuses_an_unknown_one(self, code):
        make_node("feeder-1")
        with pytest.raises(UnknownNode) as refused:
            find_node(code)
        assert refused.value.code == "network.unknown_node"
        assert refused.value.details == {"node": code}


class TestLoadArea:
    def test_puts_parents_before_children_and_siblings_by_code(self):
        primary = make_node("p", "primary")
        later, first = (make_node(code, "distribution", primary) for code in ("p-2", "p-1"))
        make_node("f-1", "feeder", later)
        make_node("f-9", "feeder", first)
        make_node("elsewhere", "primary")

        area = area_of(primary)

        assert area.codes.tolist() == ["p", "p-1", "p-2", "f-1", "f-9"]
        assert area.parent.tolist() == [-1, 0, 0, 2, 1]
        assert (area.parent < np.arange(area.n_node)).all()
        assert area.kinds.tolist() == ["primary", "distribution", "distribution", "feeder", "feeder"]

    def test_starts_at_the_node_asked_for_wherever_it_hangs(self):
        feeder = make_feeder("street", rating_kva=90.0)

        area = area_of(feeder)

        assert area.codes.tolist() == ["street", "street-A", "street-B", "street-C"]
        assert area.parent.tolist() == [-1, 0, 0, 0]
        assert area.is_phase.tolist() == [False, True, True, True]
        assert area.rating_kva.tolist() == [90.0, 30.0, 30.0, 30.0]

    def test_reads_a_single_node(self):
        node = make_feeder("street").children.get(phase="B")
        assert area_of(node).codes.tolist() == ["street-B"]

    def test_carries_every_fact_of_the_rating(self):
        node = make_node("f", rating_kva=None, n_customers=12)
        rate(node, NOON, rating_kva=80.0, power_factor=0.95, cyclic_factor=1.2, diversity=0.9, ramp_kw=5.0)

        area = area_of(node)

        assert (area.rating_kva[0], area.power_factor[0], area.cyclic_factor[0]) == (80.0, 0.95, 1.2)
        assert (area.diversity[0], area.ramp_kw[0], area.n_customers[0], area.admd_kw[0]) == (0.9, 5.0, 12, 1.5)

    def test_holds_a_node_without_a_rating_to_the_design_diversity(self):
        area = area_of(make_node("f", rating_kva=None))

        assert area.rating_kva.tolist() == [np.inf]
        assert area.diversity.tolist() == [DESIGN_DIVERSITY]
        assert area.ramp_kw.tolist() == [np.inf]

    @pytest.mark.parametrize("order", [(60.0, 80.0), (80.0, 60.0)])
    def test_binds_by_the_tightest_rating_of_the_window(self, order):
        node = make_node("f", rating_kva=None)
        change_at = NOON + timedelta(hours=5)
        rate(node, NOON - timedelta(days=9), change_at, rating_kva=order[0])
        rate(node, change_at, rating_kva=order[1])

        assert area_of(node).rating_kva.tolist() == [60.0]

    def test_takes_the_tightest_in_kw_and_not_in_kva(self):
        node = make_node("f", rating_kva=None)
        rate(node, NOON - timedelta(days=9), NOON + timedelta(hours=5), rating_kva=80.0, cyclic_factor=1.3)
        rate(node, NOON + timedelta(hours=5), rating_kva=100.0, power_factor=0.9)

        area = area_of(node)

        assert (area.rating_kva * area.power_factor * area.cyclic_factor).tolist() == [90.0]

    def test_never_lets_another_rows_diversity_hide_a_smaller_rating(self):
        """Diversity limits the share of EVs, not the kW: 100 kVA at 0.5 is no tighter than 60 kVA."""
        node = make_node("f", rating_kva=None)
        rate(node, NOON - timedelta(days=9), NOON + timedelta(hours=5), rating_kva=60.0)
        rate(node, NOON + timedelta(hours=5), rating_kva=100.0, diversity=0.5)

        area = area_of(node)

        assert (area.rating_kva[0], area.diversity[0]) == (60.0, 0.5)

    def test_keeps_the_tightest_ramp_of_the_window(self):
        node = make_node("f", rating_kva=None)
        rate(node, NOON - timedelta(days=9), NOON + timedelta(hours=5), rating_kva=100.0, ramp_kw=3.0)
        rate(node, NOON + timedelta(hours=5), rating_kva=60.0)

        area = area_of(node)

        assert (area.rating_kva[0], area.ramp_kw[0]) == (60.0, 3.0)

    @pytest.mark.parametrize(
        ("valid_from", "valid_to"),
        [(NOON - timedelta(days=9), NOON), (NEXT_NOON, None), (NEXT_NOON, NEXT_NOON + timedelta(days=1))],
    )
    def test_leaves_out_a_rating_that_only_touches_the_window(self, valid_from, valid_to):
        node = make_node("f", rating_kva=None)
        rate(node, valid_from, valid_to, rating_kva=1.0)

        assert area_of(node).rating_kva.tolist() == [np.inf]

    @pytest.mark.parametrize("valid_to", [NOON + timedelta(seconds=1), NEXT_NOON, None])
    def test_counts_a_rating_that_holds_for_any_part_of_the_window(self, valid_to):
        node = make_node("f", rating_kva=None)
        rate(node, NOON - timedelta(days=9), valid_to, rating_kva=7.0)

        assert area_of(node).rating_kva.tolist() == [7.0]
