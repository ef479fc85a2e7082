"""One fingerprint over arrays and words: what a result was made from."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest(*parts: str | NDArray[Any]) -> str:
    """SHA-256 in 64 hexadecimal digits; parts carry their shape and type, so no two inputs run together."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else _bytes(part)
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()


def _bytes(array: NDArray[Any]) -> bytes:
    if array.dtype.kind == "U":  # the width of the widest text is no part of the content
        return "\n".join([str(array.shape), *array.ravel().tolist()]).encode()
    plain = array.view(np.int64) if array.dtype.kind == "M" else array
    kind = plain.dtype.newbyteorder(">")
    return f"{array.shape}{array.dtype.kind}".encode() + np.ascontiguousarray(plain.astype(kind)).tobytes()
