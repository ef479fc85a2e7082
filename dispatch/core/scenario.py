"""Curves to hold a plan against."""

import numpy as np

from aggregator.core.types import FloatArray
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.sessions import connected, serveable_kwh


def uncontrolled_power_kw(problem: DispatchProblem) -> FloatArray:
    """Charge every session at full power from plug-in until its energy is in, limits or not.

    Returns:
        (n_session, n_period) mean power of each period; the last one of a session is partly used.
    """
    return drawn_power_kw(problem, problem.session_max_kw[:, np.newaxis] * connected(problem))


def drawn_power_kw(problem: DispatchProblem, ceiling_kw: FloatArray) -> FloatArray:
    """Power EVs draw that follow (n_session, n_period) ceilings and stop by themselves when they have their energy."""
    offered_kwh = np.cumsum(problem.step_h * ceiling_kw, axis=1)
    taken_kwh = np.minimum(offered_kwh, serveable_kwh(problem)[:, np.newaxis])
    drawn_kw: FloatArray = np.diff(taken_kwh, axis=1, prepend=0.0) / problem.step_h
    # The difference of sums can stand a rounding above the ceiling; an EV cannot.
    return np.minimum(drawn_kw, ceiling_kw)


def node_power_kw(problem: DispatchProblem, power_kw: FloatArray) -> FloatArray:
    """(n_node, n_period) EV power each node carries for (n_session, n_period) ``power_kw``."""
    return Network.of(problem).node_power_kw(power_kw)
