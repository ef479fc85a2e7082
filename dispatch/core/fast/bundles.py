"""What the fast engine's compiled loops are handed: bundles of arrays, in the engine's own order."""

from typing import NamedTuple

from aggregator.core.types import Float32Array, FloatArray, Int32Array, IntArray


class Sessions(NamedTuple):
    """Sessions in the engine's order, what is read together lying together.

    Attributes:
        whole: (n_session, 4) first period, period after the last, row of the tariff table, first block of cells.
        real: (n_session, 3) rating in kW, periods at full power to the energy, unserved price in GBP per kW and period.
    """

    whole: Int32Array
    real: Float32Array


class Nodes(NamedTuple):
    """In the engine's order, chunks' nodes before the top's; a step of 0 marks a row that cannot bind.

    Steps (1 / kW connected, the scale) scale each row; requests are listed by node (``request_ptr``); ``ramp`` is a
    node's row of the ramp tables or -1; ``ramp_most`` and ``request_most`` bound the prices of soft rows.
    """

    n_low: int
    cap_kw: FloatArray
    cap_step: FloatArray
    cap_scale: FloatArray
    request_ptr: IntArray
    request: IntArray
    request_sign: FloatArray
    request_kw: FloatArray
    request_most: FloatArray
    request_step: FloatArray
    ramp: IntArray
    ramp_free_kw: FloatArray
    ramp_step: FloatArray
    ramp_most: float


class Chunks(NamedTuple):
    """Subtrees worked by one thread at a time: their nodes, their runs (sessions of one place), who loads what.

    ``run_*`` and ``top_*`` are compressed rows: nodes of the chunk that a run loads, and nodes of the top that a
    chunk loads, with shares. ``degree`` (n_run,) is how many rows a kW of the run enters, which bounds its step.
    """

    node_first: IntArray
    node_last: IntArray
    run_first: IntArray
    session_first: IntArray
    session_last: IntArray
    degree: FloatArray
    run_ptr: IntArray
    run_node: IntArray
    run_share: FloatArray
    top_ptr: IntArray
    top_node: IntArray
    top_share: FloatArray


class Primal(NamedTuple):
    """(n_cell,) fractions, nothing outside windows, and their anchor; (n_session,) thresholds to start from."""

    x: Float32Array
    anchor: Float32Array
    theta: Float32Array


class Dual(NamedTuple):
    """Prices of caps, requests and ramps (signed: up less down), and the (n_node, n_period) load of ``x``."""

    cap: FloatArray
    request: FloatArray
    ramp: FloatArray
    load_kw: FloatArray


class Step(NamedTuple):
    """Primal weight, and what the next iterate takes of the operator's image, of the iterate and of the anchor."""

    weight: float
    image: float
    iterate: float
    anchor: float


class Work(NamedTuple):
    """Everything a step works on; prices, power and the two tables of the top are changed in place.

    Attributes:
        base: (n_tariff, n_period padded to whole blocks) GBP per kW in a period.
        top_charge: (n_top, n_period) what a kW is charged at each node of the top.
        dual, old: prices and loads, and their anchor.
        out: (n_chunk, n_period) each chunk's extrapolated load.
    """

    sessions: Sessions
    chunks: Chunks
    nodes: Nodes
    base: Float32Array
    top_charge: FloatArray
    primal: Primal
    dual: Dual
    old: Dual
    out: FloatArray
