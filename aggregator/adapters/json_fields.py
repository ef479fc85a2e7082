"""Strict reading of JSON objects: what is wrong is named by its place, such as ``lines[3].ampacity_a``."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.cells import CONTROL, Instant

SHOWN = 60


def parse_json(text: str, name: str) -> "Fields":
    """Parse one JSON object.

    Raises:
        FileRefused: no JSON, NaN or Infinity in it, a key twice, or something else than an object.
    """

    def refuse_constant(constant: str) -> None:
        raise FileRefused(f"{name}: found {constant}, which is no JSON number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise FileRefused(f"{name}: an object has the key {twice!r} twice")
        return found

    try:
        value = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise FileRefused(
            f"{name}: line {error.lineno}, column {error.colno}: {error.msg}", line=error.lineno, column=error.colno
        ) from error
    except RecursionError as error:
        raise FileRefused(f"{name}: is nested too deeply") from error
    return Fields(value, name, "")


class Fields:
    """One JSON object; every getter refuses a value of another type, never converts one."""

    def __init__(self, value: object, file: str, place: str) -> None:
        self._file, self._place = file, place
        if not isinstance(value, dict):
            raise FileRefused(f"{file}: {place or 'the file'} is {_shown(value)}, expected an object")
        self._value: dict[str, Any] = value

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def unknown(self, known: Sequence[str]) -> list[str]:
        return [key for key in self._value if key not in known]

    def text(self, key: str, default: str | None = None, *, max_length: int = 200) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or len(value) > max_length or CONTROL.search(value):
            self.refuse(key, f"text of at most {max_length} characters")
        return str(value)

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        value = self._get(key, default)
        if value not in choices:
            self.refuse(key, "one of " + ", ".join(choice or "''" for choice in choices))
        return str(value)

    def identifier(self, key: str) -> str:
        """An id, which may be text or a whole number; both become text."""
        value = self._get(key, None)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value) or len(str(value)) > 60:
            self.refuse(key, "an id (text or a whole number)")
        if CONTROL.search(str(value)):
            self.refuse(key, "an id without control characters")
        return str(value)

    def number(self, key: str, default: float | None = None, *, above: float = -math.inf, most: float = 1e9) -> float:
        """A finite number over ``above`` and at most ``most``."""
        value = self._get(key, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not above < value <= most:
            self.refuse(key, f"a number above {above:g} and at most {most:g}")
        return float(value)

    def whole(self, key: str, default: int, *, most: int = 10**6) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.refuse(key, f"a whole number from 0 to {most}")
        return int(value)

    def truth(self, key: str) -> bool:
        value = self._get(key, False)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return bool(value)

    def instant(self, key: str) -> Any:
        """An aware time, or None where the key is absent."""
        if key not in self:
            return None
        column = Instant(key)
        values, bad = column.parse([self.text(key)])
        if bad:
            self.refuse(key, column.expected)
        return values[0]

    def objects(self, key: str) -> list["Fields"]:
        value = self._get(key, None)
        if not isinstance(value, list):
            self.refuse(key, "a list")
        return [Fields(item, self._file, f"{self._at(key)}[{index}]") for index, item in enumerate(value)]

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Refuse the file for the value at ``key``.

        Raises:
            FileRefused: always.
        """
        found = _shown(self._value[key]) if key in self._value else "nothing"
        raise FileRefused(
            f"{self._file}: {self._at(key)} is {found}, expected {expected}",
            place=self._at(key),
            found=found,
            expected=expected,
        )

    def _get(self, key: str, default: object) -> Any:
        value = self._value.get(key)
        return default if value is None else value

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _shown(value: object) -> str:
    return json.dumps(value)[:SHOWN]
