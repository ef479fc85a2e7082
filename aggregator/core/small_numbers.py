"""Which nodes may show EV-only figures without showing what a handful of homes does.

A total over fewer than five EVSEs is hidden. Hiding it alone is not enough: where its neighbours and the
total above are shown, a subtraction brings it back. So what is hidden below a node always holds at least
five EVSEs together, and everything below a hidden node is hidden with it.
"""

from collections.abc import Mapping, Sequence

SMALLEST_GROUP = 5


def shown_nodes(
    n_evse: Mapping[str, int], parents: Mapping[str, str | None], *, smallest: int = SMALLEST_GROUP
) -> frozenset[str]:
    """Choose the nodes whose EV-only figures may be shown.

    Args:
        n_evse: EVSEs at and below each node, by node code.
        parents: nearest node above each that is in ``n_evse`` too; None at the top.

    Returns:
        Codes such that any figure, and any difference of figures, is over no EVSE or at least ``smallest``.
    """
    children: dict[str, list[str]] = {code: [] for code in n_evse}
    for code in sorted(n_evse):
        parent = parents.get(code)
        if parent is not None:
            children[parent].append(code)
    shown: set[str] = set()
    to_visit = [code for code in n_evse if parents.get(code) is None and _is_large(n_evse[code], smallest)]
    while to_visit:
        code = to_visit.pop()
        shown.add(code)
        to_visit.extend(_shown_children(n_evse, code, children[code], smallest))
    return frozenset(shown)


def _is_large(n_evse: int, smallest: int) -> bool:
    return n_evse == 0 or n_evse >= smallest


def _shown_children(n_evse: Mapping[str, int], code: str, children: Sequence[str], smallest: int) -> list[str]:
    """Children of a shown node that may be shown, so that what is left of the node is empty or large."""
    by_size = sorted(children, key=lambda child: (n_evse[child], child))
    shown = [child for child in by_size if _is_large(n_evse[child], smallest)]
    hidden = [child for child in by_size if not _is_large(n_evse[child], smallest)]
    while not _is_large(_n_left(n_evse, code, shown, hidden), smallest):
        next_hidden = next((child for child in shown if n_evse[child]), None)
        if next_hidden is None:  # nothing but empty nodes is left to hide
            break
        shown.remove(next_hidden)
        hidden.append(next_hidden)
    return shown


def _n_left(n_evse: Mapping[str, int], code: str, shown: Sequence[str], hidden: Sequence[str]) -> int:
    """EVSEs, at least, behind what is left of a node once its shown children are taken off.

    A three-phase EVSE counts on each phase, so the parts may add up to more than the whole.
    """
    n_outside = n_evse[code] - sum(n_evse[child] for child in shown)
    return max(n_outside, max((n_evse[child] for child in hidden), default=0))
