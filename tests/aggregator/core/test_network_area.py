import numpy as np
import pytest

from aggregator.core.network_area import NetworkArea, UnknownNode

AREA = NetworkArea(
    node_pks=np.array([40, 7, 12]),
    codes=np.array(["street", "street-A", "street-B"]),
    kinds=np.array(["feeder", "phase", "phase"]),
    parent=np.array([-1, 0, 0]),
    rating_kva=np.full(3, 100.0),
    power_factor=np.ones(3),
    cyclic_factor=np.ones(3),
    diversity=np.ones(3),
    ramp_kw=np.full(3, np.inf),
    n_customers=np.zeros(3, dtype=np.int64),
    admd_kw=np.full(3, 1.5),
)


class TestNetworkArea:
    def test_counts_its_nodes_and_marks_its_phases(self):
        assert AREA.n_node == 3
        assert AREA.is_phase.tolist() == [False, True, True]

    @pytest.mark.parametrize(("node_pk", "index"), [(40, 0), (7, 1), (12, 2)])
    def test_finds_a_node_by_its_key(self, node_pk, index):
        assert AREA.index_of(node_pk) == index

    @pytest.mark.parametrize("node_pk", [0, -1, 41])
    def test_refuses_a_node_of_another_area(self, node_pk):
        with pytest.raises(UnknownNode, match="street") as refused:
            AREA.index_of(node_pk)
        assert refused.value.code == "network.unknown_node"
        assert refused.value.details == {"node": node_pk}
