"""The layout keeps every session and every load, wherever the tree is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.fast import kernels, layout
from dispatch.core.fast.layout import Layout, lay_out
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from tests.benchmarks.fleets import Shape, national_fleet
from tests.strategies import dispatch_problems


def laid_out(problem: DispatchProblem, sessions_per_chunk: int) -> Layout:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SESSIONS_PER_CHUNK", sessions_per_chunk)
        shortfall = np.array([request.shortfall_gbp_per_kwh for request in problem.requests])
        return lay_out(problem, Network.of(problem), problem.session_unserved_gbp_per_kwh, shortfall)


def loads_kw(problem: DispatchProblem, made: Layout, power_kw: np.ndarray) -> np.ndarray:
    """Each node's load as the engine adds it up, in the problem's order."""
    fractions, load_kw = np.zeros(made.n_cell, dtype=np.float32), np.zeros((problem.n_node, problem.n_period))
    kernels.read_power(0, problem.n_session, made.session, made.sessions, power_kw, fractions)
    kernels.add_loads(made.chunks, made.sessions, made.nodes.n_low, fractions, load_kw)
    found = np.empty_like(load_kw)
    found[made.node] = load_kw
    return found


class TestLayOut:
    @settings(max_examples=100)
    @given(problem=dispatch_problems(), size=st.integers(1, 5), seed=st.integers(0, 99))
    def test_adds_up_what_the_network_adds_up(self, problem, size, seed):
        made = laid_out(problem, size)
        period = np.arange(problem.n_period)
        window = (period >= problem.session_start[:, None]) & (period < problem.session_end[:, None])
        part = np.random.default_rng(seed).random(window.shape) * window
        power_kw = (part * problem.session_max_kw[:, None]).astype(np.float32)
        expected_kw = Network.of(problem).node_power_kw(power_kw)
        np.testing.assert_allclose(loads_kw(problem, made, power_kw), expected_kw, rtol=1e-5, atol=1e-5)

    @settings(max_examples=100)
    @given(problem=dispatch_problems(), size=st.integers(1, 5))
    def test_puts_each_session_into_one_run_of_one_chunk(self, problem, size):
        chunks = laid_out(problem, size).chunks
        runs = [range(a, b) for a, b in zip(chunks.session_first, chunks.session_last, strict=True)]
        assert [session for run in runs for session in run] == list(range(problem.n_session))
        assert chunks.run_first[0] == 0
        assert chunks.run_first[-1] == len(runs)
        assert (np.diff(chunks.run_first) > 0).all()

    def test_keeps_chunks_small_and_the_top_thin(self):
        problem = national_fleet(Shape(20_000))
        made = laid_out(problem, 1_000)
        chunks = made.chunks
        sizes = chunks.session_last[chunks.run_first[1:] - 1] - chunks.session_first[chunks.run_first[:-1]]
        assert sizes.max() <= 1_000
        assert problem.n_node - made.nodes.n_low == 4  # a grid point and its primaries

    def test_slices_a_node_that_is_busy_by_itself(self):
        problem = national_fleet(Shape(50))
        made = laid_out(problem, 20)
        assert len(made.chunks.node_first) == 3
        assert made.nodes.n_low == 0
