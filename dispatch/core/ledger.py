"""A running account of what every node still has to give, for filling one session after another."""

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core.network import Network, share_matrix
from dispatch.core.problem import TURN_DOWN, DispatchProblem

_EPS_KW = 1e-9


class Ledger:
    """Loads of all nodes, kept while power is added session by session; every hard cap is honoured by ``offers``.

    Attributes:
        load_kw: (n_node, n_period) EV power booked so far.
    """

    def __init__(self, problem: DispatchProblem, network: Network, power_kw: FloatArray | Float32Array) -> None:
        self._problem = problem
        self._cap_kw = network.cap_kw
        self._by_session = share_matrix(problem).tocsc()
        self.load_kw = network.node_power_kw(power_kw)
        self._requests: dict[int, list[int]] = {}
        for index, request in enumerate(problem.requests):
            self._requests.setdefault(request.node, []).append(index)
        priced_ramp = problem.ramp_gbp_per_kwh > 0 and problem.n_period > 1
        self._has_ramp = np.isfinite(problem.node_ramp_kw) & priced_ramp

    def window(self, session: int) -> slice:
        return slice(int(self._problem.session_start[session]), int(self._problem.session_end[session]))

    def nodes(self, session: int) -> tuple[IntArray, FloatArray]:
        """Nodes the session loads, and by what share."""
        begin, end = self._by_session.indptr[session : session + 2]
        return self._by_session.indices[begin:end], self._by_session.data[begin:end]

    def offers(self, session: int, quantum_kw: float = 0.0, least_kw: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Room and marginal price for the session in each period of its window, as things stand.

        Args:
            quantum_kw: the smallest amount that can be added; a turn-down is kept only if that much fits under it.
            least_kw: the smallest amount that can be added to nothing; a turn-up may be overshot by it.

        Returns:
            (n_window,) kW that can be added at the price, no hard cap broken; (n_window,) GBP per kWh of energy,
            request shortfall and ramp excess together.
        """
        window = self.window(session)
        nodes, share = self.nodes(session)
        free = (self._cap_kw[nodes, window] - self.load_kw[nodes, window]) / share[:, np.newaxis]
        room = np.maximum(free.min(axis=0), 0.0)
        price = self._problem.price_gbp_per_kwh[self._problem.session_tariff[session], window].copy()
        for node, part in zip(nodes.tolist(), share.tolist(), strict=True):
            for index in self._requests.get(node, ()):
                self._weigh_request(index, window, part, (quantum_kw, least_kw), room, price)
            if self._has_ramp[node]:
                price += part * self._ramp_price(node)[window]
        return room, price

    def book(self, session: int, period: int, power_kw: float) -> None:
        """Add power to every node the session loads."""
        nodes, share = self.nodes(session)
        self.load_kw[nodes, period] += share * power_kw

    def _weigh_request(
        self,
        index: int,
        window: slice,
        share: float,
        smallest_kw: tuple[float, float],
        room: FloatArray,
        price: FloatArray,
    ) -> None:
        """Stop ``room`` at a request's target, and put what lies beyond or short of it on ``price``; both in place."""
        request = self._problem.requests[index]
        begin, end = max(request.start, window.start), min(request.end, window.stop)
        if begin >= end:
            return
        here, (quantum_kw, least_kw) = slice(begin - window.start, end - window.start), smallest_kw
        under_kw = (request.target_kw - self.load_kw[request.node, begin:end]) / share
        down = request.direction == TURN_DOWN
        short = under_kw > max(quantum_kw - _EPS_KW, _EPS_KW) if down else under_kw > _EPS_KW
        step_up = share * request.shortfall_gbp_per_kwh
        price[here] += np.where(short, 0.0, step_up) if down else np.where(short, -step_up, 0.0)
        stop_kw = under_kw if down else np.maximum(under_kw + quantum_kw, least_kw)
        room[here] = np.where(short, np.minimum(room[here], stop_kw), room[here])

    def _ramp_price(self, node: int) -> FloatArray:
        """(n_period,) change of the ramp cost, GBP per kWh, for one more kW at the node in each period."""
        free_kw = self._problem.node_ramp_kw[node]
        rise = np.diff(self.load_kw[node])
        # Raising the later period adds to a rise and takes from a fall; raising the earlier one the other way.
        later = np.where(rise >= free_kw - _EPS_KW, 1.0, 0.0) - np.where(-rise > free_kw + _EPS_KW, 1.0, 0.0)
        earlier = np.where(-rise >= free_kw - _EPS_KW, 1.0, 0.0) - np.where(rise > free_kw + _EPS_KW, 1.0, 0.0)
        price = np.zeros(self._problem.n_period)
        price[1:] += later
        price[:-1] += earlier
        return price * self._problem.ramp_gbp_per_kwh
