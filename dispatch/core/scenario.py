"""Curves to hold a plan against."""

import numpy as np
from numba import njit

from aggregator.core.types import Float32Array, FloatArray
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.sessions import connected, serveable_kwh
from dispatch.core.tree import readable


def uncontrolled_power_kw(problem: DispatchProblem) -> FloatArray:
    """Charge every session at full power from plug-in until its energy is in, limits or not.

    Returns:
        (n_session, n_period) mean power of each period; the last one of a session is partly used.
    """
    return drawn_power_kw(problem, problem.session_max_kw[:, np.newaxis] * connected(problem))


def drawn_power_kw(problem: DispatchProblem, ceiling_kw: FloatArray) -> FloatArray:
    """Power EVs draw that follow (n_session, n_period) ceilings and stop by themselves when they have their energy."""
    drawn_kw = np.empty(ceiling_kw.shape)
    _draw(readable(ceiling_kw), serveable_kwh(problem), problem.step_h, drawn_kw)
    return drawn_kw


def node_power_kw(problem: DispatchProblem, power_kw: FloatArray) -> FloatArray:
    """(n_node, n_period) EV power each node carries for (n_session, n_period) ``power_kw``."""
    return Network.of(problem).node_power_kw(power_kw)


@njit(cache=True, nogil=True)
def _draw(ceiling_kw: FloatArray | Float32Array, energy_kwh: FloatArray, step_h: float, drawn_kw: FloatArray) -> None:
    for i in range(ceiling_kw.shape[0]):
        offered = taken = 0.0
        for t in range(ceiling_kw.shape[1]):
            offered += step_h * ceiling_kw[i, t]
            total = min(offered, energy_kwh[i])
            # The difference of sums can stand a rounding above the ceiling; an EV cannot.
            drawn_kw[i, t] = min((total - taken) / step_h, np.float64(ceiling_kw[i, t]))
            taken = total
