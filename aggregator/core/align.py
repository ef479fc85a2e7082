"""Put one array's rows beside another's: by integer key, and texts in the order of their characters."""

import numpy as np

from aggregator.core.types import IntArray, StrArray

NOWHERE = -1
_KEY_CHARACTERS = 8


def index_of(keys: IntArray, wanted: IntArray) -> IntArray:
    """(n_wanted,) index of each key among (n_key,) ``keys``, each there once; ``NOWHERE`` for one that is not."""
    if not len(keys):
        return np.full(len(wanted), NOWHERE, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[at] == wanted, at, NOWHERE)


def text_order(texts: StrArray) -> IntArray:
    """(n,) indices that put texts in the order of their characters' numbers; equals keep their order.

    Sorted by the first characters that are not the same in all, which is a sort of integers, and again as texts only
    where that leaves a tie: pseudonyms share a prefix and then differ at once.
    """
    order: IntArray = np.argsort(_leading_key(texts), kind="stable").astype(np.int64)
    found = texts[order]
    if (found[1:] >= found[:-1]).all():
        return order
    return np.argsort(texts, kind="stable").astype(np.int64)


def _leading_key(texts: StrArray) -> IntArray:
    """(n,) up to eight characters as one integer that keeps their order; all 0 where one does not fit a byte."""
    n_text, width = len(texts), texts.dtype.itemsize // 4
    if not n_text or not width:
        return np.zeros(n_text, dtype=np.int64)
    characters = np.ascontiguousarray(texts).view(np.uint32).reshape(n_text, width)
    differs = next((at for at in range(width) if (characters[:, at] != characters[0, at]).any()), width - 1)
    key = np.zeros(n_text, dtype=np.int64)
    for at in range(differs, min(differs + _KEY_CHARACTERS, width)):
        key = key * 128 + characters[:, at]
    return key if (characters[:, differs : differs + _KEY_CHARACTERS] < 128).all() else np.zeros(n_text, dtype=np.int64)
