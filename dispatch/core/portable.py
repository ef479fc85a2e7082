"""A problem or plan as plain named arrays, the form that crosses files and processes."""

import io
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dispatch.core.problem import PLAN_FIELDS, PROBLEM_FIELDS, DispatchPlan, DispatchProblem, FlexRequest, InvalidPlan
from dispatch.core.validate import InvalidProblem, as_floats, as_ints

NamedArrays: TypeAlias = dict[str, NDArray[Any]]

REQUEST_FIELDS = {
    "request_node": "node",
    "request_start": "start",
    "request_end": "end",
    "request_direction": "direction",
    "request_target_kw": "target_kw",
    "request_shortfall_gbp_per_kwh": "shortfall_gbp_per_kwh",
}
_FLOAT_REQUEST_FIELDS = ("request_target_kw", "request_shortfall_gbp_per_kwh")


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack as an npz archive; nothing is pickled."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(archive: bytes) -> NamedArrays:
    """Unpack what ``to_bytes`` packed."""
    with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
        return dict(arrays)


def problem_to_arrays(problem: DispatchProblem) -> NamedArrays:
    """Name every field's array; requests become six arrays of length n_request, scalars 0-d arrays."""
    arrays = {name: np.asarray(getattr(problem, name)) for name in PROBLEM_FIELDS if name != "requests"}
    for name, attribute in REQUEST_FIELDS.items():
        kind = np.float64 if name in _FLOAT_REQUEST_FIELDS else np.int64
        arrays[name] = np.array([getattr(request, attribute) for request in problem.requests], dtype=kind)
    return arrays


def problem_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> DispatchProblem:
    """Make a problem of named arrays; unknown names are left alone, absent request arrays mean no request.

    Raises:
        InvalidProblem: a field is missing, or the problem is refused.
    """
    needed = [name for name in PROBLEM_FIELDS if name != "requests"]
    if any(name in arrays for name in REQUEST_FIELDS):
        needed += REQUEST_FIELDS
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise InvalidProblem(f"the problem lacks {', '.join(missing)}; expected every field", field=missing[0])
    values: dict[str, Any] = {name: arrays[name] for name in PROBLEM_FIELDS if name != "requests"}
    return DispatchProblem(**values, requests=_requests(arrays))


def plan_to_arrays(plan: DispatchPlan) -> NamedArrays:
    """Name every field's array; scalars and words become 0-d arrays."""
    return {name: np.asarray(getattr(plan, name)) for name in PLAN_FIELDS}


def plan_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> DispatchPlan:
    """Make a plan of named arrays; names that are no fields are left alone.

    Raises:
        InvalidPlan: a field is missing or its shape does not fit.
    """
    missing = [name for name in PLAN_FIELDS if name not in arrays]
    if missing:
        raise InvalidPlan(f"the plan lacks {', '.join(missing)}; expected every field", field=missing[0])
    values: dict[str, Any] = {name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in PLAN_FIELDS}
    return DispatchPlan(**values)


def _requests(arrays: Mapping[str, NDArray[Any]]) -> tuple[FlexRequest, ...]:
    if "request_node" not in arrays:
        return ()
    shape = (arrays["request_node"].size,)
    columns = [
        (as_floats if name in _FLOAT_REQUEST_FIELDS else as_ints)(name, arrays[name], shape).tolist()
        for name in REQUEST_FIELDS
    ]
    return tuple(FlexRequest(*row) for row in zip(*columns, strict=True))
