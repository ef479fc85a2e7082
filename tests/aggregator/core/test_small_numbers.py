from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.small_numbers import shown_nodes


@st.composite
def trees(draw) -> tuple[dict[str, int], dict[str, str | None]]:
    """Nodes with EVSEs of their own, summed upwards; parents come first."""
    n_node = draw(st.integers(1, 8))
    above = [None, *(draw(st.integers(-1, index - 1)) for index in range(1, n_node))]
    total = draw(st.lists(st.integers(0, 9), min_size=n_node, max_size=n_node))
    for index in range(n_node - 1, 0, -1):
        if above[index] is not None and above[index] >= 0:
            total[above[index]] += total[index]
    parents = {f"n{i}": None if up is None or up < 0 else f"n{up}" for i, up in enumerate(above)}
    return {f"n{i}": n for i, n in enumerate(total)}, parents


class TestShownNodes:
    def test_hide_a_small_node_and_the_neighbour_that_would_tell_it(self):
        n_evse = {"S": 24, "F1": 12, "F2": 3, "F3": 9}
        parents = {"S": None, "F1": "S", "F2": "S", "F3": "S"}

        assert shown_nodes(n_evse, parents) == {"S", "F1"}

    def test_hide_everything_below_a_hidden_node(self):
        n_evse = {"S": 12, "F1": 3, "F2": 9, "F2A": 9}
        parents = {"S": None, "F1": "S", "F2": "S", "F2A": "F2"}

        assert shown_nodes(n_evse, parents) == {"S"}

    def test_keep_small_neighbours_that_are_five_together(self):
        n_evse = {"S": 15, "F1": 3, "F2": 2, "F3": 10, "F4": 0}
        parents = {"S": None, "F1": "S", "F2": "S", "F3": "S", "F4": "S"}

        assert shown_nodes(n_evse, parents) == {"S", "F3", "F4"}

    def test_guard_a_few_evses_on_the_node_itself(self):
        n_evse = {"F": 20, "A": 8, "B": 10}

        assert shown_nodes(n_evse, {"F": None, "A": "F", "B": "F"}) == {"F", "B"}

    def test_count_a_three_phase_evse_on_each_phase_without_hiding_for_it(self):
        n_evse = {"F": 10, "A": 6, "B": 5, "C": 5}

        assert shown_nodes(n_evse, {"F": None, "A": "F", "B": "F", "C": "F"}) == set(n_evse)

    def test_guard_a_small_phase_beside_three_phase_evses(self):
        n_evse = {"F": 16, "A": 3, "B": 10, "C": 9}

        assert shown_nodes(n_evse, {"F": None, "A": "F", "B": "F", "C": "F"}) == {"F", "B"}

    def test_show_all_where_all_are_large(self):
        n_evse = {"F": 18, "A": 6, "B": 5, "C": 7}

        assert shown_nodes(n_evse, {"F": None, "A": "F", "B": "F", "C": "F"}) == set(n_evse)

    @given(tree=trees())
    def test_let_no_subtraction_reach_a_small_group(self, tree):
        """No set of one to four EVSEs is a combination of the totals shown: it lies outside what they span."""
        n_evse, parents = tree
        own = {code: n - sum(n_evse[c] for c, up in parents.items() if up == code) for code, n in n_evse.items()}
        homes = [code for code in n_evse if own[code]]
        totals = np.zeros((0, len(homes)))
        for code in sorted(shown_nodes(n_evse, parents)):
            totals = np.vstack([totals, [float(code in _path(home, parents)) for home in homes]])
        spanned = np.linalg.pinv(totals) @ totals

        for members in product([0.0, 1.0], repeat=len(homes)):
            if 0 < sum(own[home] for home, is_in in zip(homes, members, strict=True) if is_in) < 5:
                assert not np.allclose(np.array(members) @ spanned, members)


def _path(code: str, parents: dict[str, str | None]) -> set[str]:
    path = {code}
    while (up := parents[code]) is not None:
        path.add(up)
        code = up
    return path
