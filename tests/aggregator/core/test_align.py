import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.align import NOWHERE, index_of, text_order

TEXTS = st.lists(st.text(max_size=12) | st.text(alphabet="abAB01_", max_size=30).map("evse_".__add__), max_size=30)
KEYS = st.lists(st.integers(-(2**62), 2**62), unique=True, max_size=20)


class TestTextOrder:
    @given(TEXTS)
    def test_is_the_order_of_the_characters(self, texts):
        texts = [text.rstrip("\0") for text in texts]  # numpy keeps no NUL at the end, nor does PostgreSQL any
        found = np.array(texts, dtype=np.str_)[text_order(np.array(texts, dtype=np.str_))]
        assert found.tolist() == sorted(texts)

    def test_keeps_equals_in_their_order(self):
        assert text_order(np.array(["b", "a", "b", "a"])).tolist() == [1, 3, 0, 2]

    def test_tells_texts_apart_beyond_the_first_characters(self):
        texts = np.array(["evse_" + "0" * 20 + ending for ending in ("b", "a", "", "ba")])
        assert text_order(texts).tolist() == [2, 1, 0, 3]
        texts = np.array(["x" + "0" * 20 + "b", "y" + "0" * 20, "x" + "0" * 20 + "a"])
        assert text_order(texts).tolist() == [2, 0, 1]


class TestIndexOf:
    @given(KEYS, KEYS)
    def test_finds_each_key_or_says_it_is_not_there(self, keys, wanted):
        found = index_of(np.array(keys, dtype=np.int64), np.array(wanted, dtype=np.int64)).tolist()
        assert found == [keys.index(key) if key in keys else NOWHERE for key in wanted]
