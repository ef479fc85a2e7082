"""A network area as arrays: who hangs on what, and what each element may carry."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray

PHASE = "phase"


class UnknownNode(FlexError):
    code = "network.unknown_node"


@dataclass(frozen=True, slots=True)
class NetworkArea:
    """A node and everything under it, parents before children, siblings by code.

    Attributes:
        node_pks: (n_node,) database keys.
        codes: (n_node,) text ids.
        kinds: (n_node,) primary, distribution, feeder or phase.
        parent: (n_node,) index of the parent, -1 for the area's root.
        rating_kva: (n_node,) smallest in force in the window; +inf where none is.
        power_factor, cyclic_factor, diversity: (n_node,).
        ramp_kw: (n_node,) +inf where free.
        n_customers: (n_node,) connected directly at the node.
        admd_kw: (n_node,) after diversity maximum demand a customer.
    """

    node_pks: IntArray
    codes: StrArray
    kinds: StrArray
    parent: IntArray
    rating_kva: FloatArray
    power_factor: FloatArray
    cyclic_factor: FloatArray
    diversity: FloatArray
    ramp_kw: FloatArray
    n_customers: IntArray
    admd_kw: FloatArray

    @property
    def n_node(self) -> int:
        return len(self.node_pks)

    @property
    def is_phase(self) -> BoolArray:
        """(n_node,) True on phases."""
        phases: BoolArray = self.kinds == PHASE
        return phases

    def index_of(self, node_pk: int) -> int:
        """Index of a node by its key.

        Raises:
            UnknownNode: the node is not in this area.
        """
        found = np.flatnonzero(self.node_pks == node_pk)
        if not len(found):
            raise UnknownNode(f"node {node_pk} is not in the area of {self.codes[0]}", node=node_pk)
        return int(found[0])
