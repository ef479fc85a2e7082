import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from aggregator.rest.parsers import MAX_DEPTH, parse_json

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner)
    ),
    max_leaves=20,
)


class TestParseJson:
    @given(value=PLAIN)
    def test_reads_what_json_writes(self, value):
        assert parse_json(json.dumps(value).encode()) == value

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"a": NaN}', "NaN"),
            (b'{"a": Infinity}', "Infinity"),
            (b'{"a": -Infinity}', "Infinity"),
            (b'{"a": 1e400}', "too large"),
            (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
            (b'{"a": 1, "a": 2}', "stands twice"),
            (b'{"a": {"b": 1, "b": 1}}', "stands twice"),
            (b'{"a": "\\u0000"}', "NUL"),
            (b'{"\\u0000": 1}', "NUL"),
            (b'{"a": "\\ud800"}', "surrogate"),
            (b'{"a": "\xff"}', "UTF-8"),
            (b"{", "not JSON"),
            (b"", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        ],
    )
    def test_refuses(self, body, said):
        with pytest.raises(ParseError) as refused:
            parse_json(body)
        assert said in str(refused.value)
