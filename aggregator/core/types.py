"""The array types every core shares."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int64]
Int16Array: TypeAlias = NDArray[np.int16]
Int32Array: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]
StrArray: TypeAlias = NDArray[np.str_]
TimeArray: TypeAlias = NDArray[np.datetime64]
ObjectArray: TypeAlias = NDArray[np.object_]


def float_array(values: Sequence[float]) -> FloatArray:
    """Numbers as a row stores them, as a core takes them."""
    return np.array(values, dtype=np.float64)
