"""From cables to the tree of limits, by hand on small networks."""

import math

import pytest

from aggregator.core.findings import count_by_code
from aggregator.core.lv_network import LvCustomer, LvLine, LvNetwork, LvTransformer, tree_of
from aggregator.core.network_draft import InvalidNetwork, NetworkDraft, NodeDraft, check_draft, parents_first

ONE_TRANSFORMER = (LvTransformer("T", "bus", 100.0),)


def network(lines, customers=(), transformers=ONE_TRANSFORMER):
    return LvNetwork("toy", 400.0, "source", "note", tuple(transformers), tuple(lines), tuple(customers))


def line(name, from_node, to_node, ampacity_a=100.0, **more):
    return LvLine(name, from_node, to_node, ampacity_a, **more)


class TestTreeOf:
    def test_rates_a_feeder_by_its_head_cable(self):
        nodes = {node.code: node for node in tree_of(network([line("L", "bus", "a", 190.0)])).nodes}

        assert nodes["toy-T-L"].rating.rating_kva == pytest.approx(3 * 190 * 400 / math.sqrt(3) / 1000)
        assert nodes["toy-T-L-A"].rating.rating_kva == pytest.approx(nodes["toy-T-L"].rating.rating_kva / 3)
        assert nodes["toy-T"].rating.rating_kva == 100.0

    def test_makes_every_cable_at_the_bus_a_feeder_whichever_way_it_is_drawn(self):
        codes = {node.code for node in tree_of(network([line("L", "bus", "a"), line("M", "b", "bus")])).nodes}

        assert {"toy-T-L", "toy-T-M"} <= codes

    def test_hangs_customers_on_the_phase_the_feeder_or_the_bus(self):
        lines = [line("L", "bus", "a"), line("M", "a", "b")]
        customers = [
            LvCustomer("1", "b", "A", None),
            LvCustomer("2", "b", "", 3.0),
            LvCustomer("3", "bus", "", 9.0),
            LvCustomer("4", "a", "A", 2.0),
            LvCustomer("5", "a", "A", 4.0),
        ]

        draft = tree_of(network(lines, customers))

        assert [customer.node for customer in draft.customers] == [
            *("toy-T-L-A", "toy-T-L", "toy-T", "toy-T-L-A", "toy-T-L-A")
        ]
        counted = {node.code: (node.n_customers, node.admd_kw) for node in draft.nodes if node.n_customers}
        assert counted == {"toy-T": (1, 9.0), "toy-T-L": (1, 3.0), "toy-T-L-A": (3, 3.0)}
        assert count_by_code(draft.findings) == {"network.customer_at_bus": 1}

    def test_leaves_a_customer_on_an_island_without_a_node(self):
        draft = tree_of(network([line("L", "bus", "a"), line("I", "x", "y")], [LvCustomer("1", "y", "A", None)]))

        assert draft.customers[0].node is None
        assert count_by_code(draft.findings) == {"network.customer_unreachable": 1}

    def test_does_not_walk_a_line_that_closes_a_loop(self):
        lines = [line("L", "bus", "a"), line("M", "bus", "b"), line("N", "a", "b", closes_loop=True)]

        draft = tree_of(network(lines, [LvCustomer("1", "b", "", None)]))

        assert draft.customers[0].node == "toy-T-M"
        assert draft.findings == ()

    def test_reports_feeders_that_meet(self):
        lines = [line("L", "bus", "a"), line("M", "bus", "b"), line("N", "a", "b")]

        assert count_by_code(tree_of(network(lines)).findings)["network.meshed"] == 2

    def test_makes_every_transformer_a_substation_of_its_own(self):
        transformers = [LvTransformer("T", "bus", 100.0), LvTransformer("U", "two", 50.0)]
        lines = [line("L", "bus", "a"), line("M", "two", "b")]

        draft = tree_of(network(lines, [LvCustomer("1", "b", "", None)], transformers))

        assert draft.customers[0].node == "toy-U-M"
        assert count_by_code(draft.findings) == {"network.several_transformers": 1}

    def test_gives_a_head_cable_without_ampacity_no_rating_and_an_alarm(self):
        draft = tree_of(network([line("L", "bus", "a", None)]))

        assert [node.rating for node in draft.nodes if node.kind in ("feeder", "phase")] == [None] * 4
        assert [finding.severity for finding in draft.findings] == ["alarm"]

    def test_refuses_ids_that_become_one_code(self):
        with pytest.raises(InvalidNetwork, match="toy-T-L_1"):
            tree_of(network([line("L 1", "bus", "a"), line("L+1", "bus", "b")]))

    def test_hangs_the_transformers_on_the_primary_it_is_told(self):
        assert tree_of(network([line("L", "bus", "a")]), parent="P").nodes[0].parent == "P"


class TestCheckDraft:
    @pytest.mark.parametrize(
        ("nodes", "said"),
        [
            ([NodeDraft("a", "primary", None), NodeDraft("a", "primary", None)], "named twice"),
            ([NodeDraft("a", "primary", None), NodeDraft("b", "feeder", "a")], "hangs on a primary"),
            ([NodeDraft("b", "feeder", None)], "has no parent"),
            ([NodeDraft("b", "feeder", "x", phase="A")], "expected A, B or C on a phase"),
            ([NodeDraft("b", "phase", "x")], "expected A, B or C on a phase"),
            ([NodeDraft("b", "phase", "x", phase="A"), NodeDraft("c", "phase", "x", phase="A")], "phase A twice"),
        ],
    )
    def test_refuses_a_tree_that_contradicts_itself(self, nodes, said):
        with pytest.raises(InvalidNetwork, match=said):
            check_draft(NetworkDraft(tuple(nodes)))


class TestParentsFirst:
    def test_orders_a_long_chain_given_backwards(self):
        chain = [NodeDraft(str(n), "feeder", str(n - 1) if n else None) for n in range(5_000)]

        assert [node.code for node in parents_first(chain[::-1])] == [node.code for node in chain]
