"""Checks that turn what a caller hands in into arrays of one type, or refuse it by name.

A refusal says which field, whose (the id), the value found and what was expected.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray

IdArray: TypeAlias = StrArray | IntArray


class InvalidProblem(FlexError):
    """A dispatch problem that cannot be meant: the field, the id and the value are in ``details``."""

    code = "dispatch.problem_invalid"


def as_ids(field: str, value: object) -> IdArray:
    """(n,) ids as text or int64, each once.

    Raises:
        InvalidProblem: not one-dimensional, neither text nor integers, or an id twice.
    """
    found = np.asarray(value)
    if found.ndim != 1:
        raise InvalidProblem(f"{field} has shape {found.shape}; expected one id each, (n,)", field=field)
    if found.dtype.kind == "O" and all(isinstance(one, str) for one in found):
        found = found.astype(np.str_)
    if found.size == 0:
        return np.zeros(0, dtype=np.str_)
    if found.dtype.kind not in "Uiu":
        raise InvalidProblem(f"{field} has dtype {found.dtype}; expected text or integer ids", field=field)
    if (found[1:] > found[:-1]).all():  # in order, as a fleet comes: no need to sort a million texts
        return _frozen(found if found.dtype.kind == "U" else found.astype(np.int64))
    values, counts = np.unique(found, return_counts=True) if _may_repeat(found) else (found, np.ones(1))
    if (counts > 1).any():
        twice = str(values[counts > 1][0])
        raise InvalidProblem(
            f"{field} holds {twice!r} {counts.max()} times; expected each id once", field=field, id=twice
        )
    return _frozen(found if found.dtype.kind == "U" else found.astype(np.int64))


def _may_repeat(ids: NDArray[Any]) -> bool:
    """Whether two ids share a hash: hashing a million texts takes a third of the time of sorting them."""
    if ids.dtype.kind != "U" or ids.dtype.itemsize == 0:
        return True
    letters = np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), -1)
    mixed = np.zeros(len(ids), dtype=np.uint64)
    for column in range(letters.shape[1]):
        mixed = (mixed ^ letters[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed.sort()
    return bool((mixed[1:] == mixed[:-1]).any())


def as_floats(field: str, value: object, shape: tuple[int, ...]) -> FloatArray:
    """Float64 array of ``shape``; anything but real numbers is refused."""
    found = _shaped(field, value, shape)
    if found.size and found.dtype.kind not in "fiu":
        raise InvalidProblem(f"{field} has dtype {found.dtype}; expected real numbers", field=field)
    return _frozen(np.asarray(found, dtype=np.float64, order="C"))


def as_ints(field: str, value: object, shape: tuple[int, ...]) -> IntArray:
    """Int64 array of ``shape``; floats are refused, even whole ones, because a cast would hide a mistake."""
    found = _shaped(field, value, shape)
    if found.size and found.dtype.kind not in "iu":
        raise InvalidProblem(f"{field} has dtype {found.dtype}; expected integers", field=field)
    return _frozen(np.asarray(found, dtype=np.int64, order="C"))


def as_bools(field: str, value: object, shape: tuple[int, ...]) -> BoolArray:
    """Boolean array of ``shape``."""
    found = _shaped(field, value, shape)
    if found.size and found.dtype.kind != "b":
        raise InvalidProblem(f"{field} has dtype {found.dtype}; expected booleans", field=field)
    return _frozen(np.asarray(found, dtype=np.bool_, order="C"))


def as_price(field: str, value: object) -> float:
    """One finite number of at least zero."""
    number = float(as_floats(field, value, ()))
    if not (np.isfinite(number) and number >= 0):
        raise InvalidProblem(f"{field} is {number}; expected a finite number of at least 0", field=field, value=number)
    return number


def refuse_where(
    bad: BoolArray, field: str, values: NDArray[Any], *, owner: str, ids: NDArray[Any], expected: str
) -> None:
    """Refuse the first marked value, naming its owner's id and, in a table, the period.

    Args:
        bad: marks, shaped like ``values``; the first axis belongs to ``ids``, a second one is periods.

    Raises:
        InvalidProblem: any mark is set.
    """
    if not bad.any():
        return
    at = tuple(int(index) for index in np.argwhere(bad)[0])
    who, value = str(ids[at[0]]), values[at].item()
    period = f" in period {at[1]}" if len(at) > 1 else ""
    raise InvalidProblem(
        f"{field} of {owner} {who!r}{period} is {value!r}; expected {expected} ({int(bad.sum())} such)",
        field=field,
        id=who,
        value=value,
        period=at[1] if len(at) > 1 else None,
        n_bad=int(bad.sum()),
    )


def _shaped(field: str, value: object, shape: tuple[int, ...]) -> NDArray[Any]:
    found = np.asarray(value)
    if found.shape != shape:
        raise InvalidProblem(f"{field} has shape {found.shape}; expected {shape}", field=field)
    return found


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
