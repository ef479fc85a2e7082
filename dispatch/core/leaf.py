"""Innermost compiled functions: they are handed arrays, make none, and so need not count references to them."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Sums may be taken in any order; nothing is assumed about NaN and infinity.
_ANY_ORDER: Any = {"reassoc", "contract", "nsz", "arcp"}
_LEAF: Any = {"cache": True, "nogil": True, "_nrt": False}


def leaf(function: _Function) -> _Function:
    """Compile a function that owns no array; counting references to those it is handed took half of the time.

    ``_nrt`` is numba's own switch for that and no promise of numba's: a function that makes an array after all, or a
    numba without the switch, fails to compile.
    """
    return cast(_Function, njit(**_LEAF)(function))


def summing_leaf(function: _Function) -> _Function:
    """``leaf`` for loops over float32 that may add up in any order, and divide without asking for zero."""
    return cast(_Function, njit(**_LEAF, fastmath=_ANY_ORDER, error_model="numpy")(function))
