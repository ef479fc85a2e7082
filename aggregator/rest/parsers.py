"""JSON as it is meant: bounded, without duplicate names, NaN, infinities, NULs or half characters."""

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from aggregator.rest.problems import Refused

MAX_BYTES = 2**20
MAX_DEPTH = 16
MAX_NUMERAL = 400
JSON = "application/json"


class _NotOurJson(ValueError):
    pass


class StrictJsonParser(BaseParser):
    media_type = JSON

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Read one JSON value of at most ``MAX_BYTES``.

        Raises:
            Refused: 413, larger.
            ParseError: 400, not JSON, or JSON that says what only looks like a value.
        """
        context = parser_context or {}
        return parse_json(read_bounded(stream, getattr(context.get("view"), "max_bytes", MAX_BYTES)))


def read_bounded(stream: IO[Any], max_bytes: int) -> bytes:
    """Everything of a stream.

    Raises:
        Refused: 413, there is more than ``max_bytes``.
    """
    content: bytes = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Refused(413, "too_large", f"The body is larger than the {max_bytes:,} bytes this operation takes.")
    return content


def parse_json(content: bytes) -> Any:
    """Parse UTF-8 JSON strictly.

    Raises:
        ParseError: see ``StrictJsonParser``.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        _check(value)
    except _NotOurJson as error:
        raise ParseError(f"The body can't be taken: {error}.") from None
    except (ValueError, RecursionError):
        raise ParseError("The body is not JSON in UTF-8.") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = _first_repeat(name for name, _ in pairs)
        raise _NotOurJson(f"the name {twice[:60]!r} stands twice in one object")
    return found


def _first_repeat(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _constant(text: str) -> float:
    raise _NotOurJson(f"{text} is not a number")


def _float(text: str) -> float:
    value = float(text) if len(text) <= MAX_NUMERAL else float("inf")
    if not isfinite(value):
        raise _NotOurJson("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_NUMERAL:
        raise _NotOurJson("a number is too large")
    return int(text)


def _check(value: Any) -> None:
    """Refuse deep nesting and characters no text of ours holds, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                _check_text(one)
            elif isinstance(one, dict):
                for name in one:
                    _check_text(name)
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        if not inner:
            return
        level = inner
    raise _NotOurJson(f"it is nested deeper than {MAX_DEPTH} levels")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _NotOurJson("a text holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _NotOurJson("a text holds half of a surrogate pair") from None
