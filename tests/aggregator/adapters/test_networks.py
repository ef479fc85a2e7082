"""Network files of either form, and every way they can be wrong."""

import json
from datetime import UTC, datetime

import pytest

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.networks import read_network
from aggregator.core.network_draft import InvalidNetwork


def lv_network(**changes):
    network = {
        "name": "toy",
        "nominal_ll_v": 400,
        "transformers": [{"id": "T1", "lv_bus": 0, "rating_kva": 100}],
        "nodes": [{"id": 0}, {"id": 1}, {"id": 2}],
        "lines": [
            {"id": "L1", "from": 0, "to": 1, "ampacity_a": 100},
            {"id": "L2", "from": 1, "to": 2, "ampacity_a": None},
        ],
        "customers": [{"id": "C1", "node": 2, "phase": "B", "p_kw": 2.0}],
    }
    return {**network, **changes}


@pytest.fixture
def read(tmp_path):
    def read_content(content):
        path = tmp_path / "network.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_network(path)

    return read_content


class TestReadNetwork:
    def test_reads_ids_that_are_numbers_as_it_does_text(self, read):
        draft = read(lv_network()).draft

        assert [node.code for node in draft.nodes] == ["toy-T1", "toy-T1-L1", *(f"toy-T1-L1-{p}" for p in "ABC")]
        assert [(customer.code, customer.node) for customer in draft.customers] == [("toy-C1", "toy-T1-L1-B")]

    def test_takes_p_kw_as_planning_demand_unless_it_scales_a_profile(self, read):
        profiled = [{"id": "C1", "node": 2, "phase": "B", "p_kw": 2.0, "profile": "shape_1"}]

        def admd(network):
            return next(node.admd_kw for node in read(network).draft.nodes if node.code == "toy-T1-L1-B")

        assert admd(lv_network()) == 2.0
        assert admd(lv_network(customers=profiled)) == 1.5

    def test_reads_a_tree_in_any_order(self, read):
        nodes = [
            {"code": "f", "kind": "feeder", "parent": "s", "rating_kva": 50, "valid_from": "2024-01-01T00:00:00Z"},
            {"code": "s", "kind": "distribution", "n_customers": 3, "admd_kw": 2, "colour": "red"},
        ]

        file = read({"nodes": nodes, "made_by": "me"})

        assert [node.code for node in file.draft.nodes] == ["s", "f"]
        assert file.draft.nodes[1].rating.valid_from == datetime(2024, 1, 1, tzinfo=UTC)
        assert file.unknown == ("made_by", "nodes.colour")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "line 1, column 1"),
            ('{"nodes": [}', "line 1, column 12"),
            ("[]", "the file is [], expected an object"),
            ("{}", "neither transformers"),
            ('{"nodes": [{"code": "a", "kind": "primary", "rating_kva": NaN}]}', "NaN"),
            ('{"nodes": [], "nodes": []}', "'nodes' twice"),
            ({"nodes": {}}, "nodes is {}, expected a list"),
            ({"nodes": [7]}, "nodes[0] is 7, expected an object"),
            ({"nodes": [{"kind": "primary"}]}, "nodes[0].code is nothing"),
            ({"nodes": [{"code": "", "kind": "primary"}]}, "nodes[0].code is"),
            ({"nodes": [{"code": "a", "kind": "cable"}]}, 'nodes[0].kind is "cable", expected one of primary'),
            ({"nodes": [{"code": "a", "kind": "primary", "rating_kva": -5}]}, "nodes[0].rating_kva is -5"),
            ({"nodes": [{"code": "a", "kind": "primary", "rating_kva": "5"}]}, 'nodes[0].rating_kva is "5"'),
            ({"nodes": [{"code": "a", "kind": "primary", "rating_kva": True}]}, "nodes[0].rating_kva is true"),
            (
                {"nodes": [{"code": "a", "kind": "primary", "rating_kva": 5, "power_factor": 1.1}]},
                "power_factor is 1.1",
            ),
            ({"nodes": [{"code": "a", "kind": "primary", "n_customers": -1}]}, "n_customers is -1"),
            (
                {"nodes": [{"code": "a", "kind": "primary", "rating_kva": 5, "valid_from": "2024-01-01"}]},
                "valid_from is",
            ),
            (lv_network(transformers=[{"id": "T1", "lv_bus": 0, "rating_kva": 0}]), "transformers[0].rating_kva is 0"),
            (
                lv_network(lines=[{"id": "L1", "from": 0, "to": 9, "ampacity_a": 1}]),
                "lines[0].to is 9, expected the id",
            ),
            (lv_network(customers=[{"id": "C1", "node": 1, "phase": "D"}]), 'customers[0].phase is "D"'),
            (lv_network(customers=[{"id": "C1", "node": 1, "p_kw": -2}]), "customers[0].p_kw is -2"),
            (lv_network(nominal_ll_v=None), "nominal_ll_v is null"),
        ],
    )
    def test_refuses_a_bad_file_by_its_place(self, read, content, said):
        with pytest.raises(FileRefused) as refused:
            read(content)

        assert said in refused.value.message

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (lv_network(transformers=[]), "has no transformer"),
            (
                {
                    "nodes": [
                        {"code": "a", "kind": "feeder", "parent": "b"},
                        {"code": "b", "kind": "feeder", "parent": "a"},
                    ]
                },
                "above itself",
            ),
        ],
    )
    def test_refuses_a_network_that_contradicts_itself(self, read, content, said):
        with pytest.raises(InvalidNetwork, match=said):
            read(content)

    def test_refuses_deep_nesting_and_a_missing_file(self, read, tmp_path):
        with pytest.raises(FileRefused, match="nested too deeply"):
            read("[" * 100_000)
        with pytest.raises(FileRefused, match="can't be read"):
            read_network(tmp_path / "none.json")
