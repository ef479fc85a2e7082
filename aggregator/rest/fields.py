"""Values in and out, strictly: DRF's own fields take ``true`` for 1, " 5 " for 5, a naive time for UTC; these do not.

The same fields read query strings, where every value is text: there a number is ASCII digits, and nothing else is.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from math import isnan
from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

INT64_MAX = 2**63 - 1
PK_MAX = 10**15
TIME = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
TIME_PATTERN = (
    r"^2[0-9]{3}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]"
    r"(:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
DATE = re.compile(r"2\d{3}-\d\d-\d\d", re.ASCII)
WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
DECIMAL = re.compile(r"-?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
LONDON = ZoneInfo("Europe/London")


def utc_text(at: datetime) -> str:
    """An instant as the API writes it: RFC 3339 in UTC with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_text(at: datetime, zone: ZoneInfo = LONDON) -> str:
    """An instant as a person there reads it: 2026-10-25 01:30 BST."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _is_query(field: "serializers.Field[Any, Any, Any, Any]") -> bool:
    return bool(getattr(field.root, "reads_query", False))


@extend_schema_field({"type": "string", "format": "date-time", "pattern": TIME_PATTERN})
class OffsetDateTime(serializers.Field[Any, Any, Any, Any]):
    """An instant: RFC 3339 with Z or an offset in, of the years 2000 to 2999; UTC with Z out."""

    default_error_messages = {
        "invalid": "Expected a time from 2000 to 2999 with Z or an offset, such as 2026-11-22T17:30:00Z."
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not TIME.fullmatch(data):
            self.fail("invalid")
        try:
            return datetime.fromisoformat(data).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return utc_text(value)


@extend_schema_field({"type": "string", "format": "date", "pattern": r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}$"})
class Day(serializers.Field[Any, Any, Any, Any]):
    """A date, YYYY-MM-DD, of the years 2000 to 2999."""

    default_error_messages = {"invalid": "Expected a date from 2000 to 2999, such as 2026-11-22."}

    def to_internal_value(self, data: Any) -> date:
        if not isinstance(data, str) or not DATE.fullmatch(data):
            self.fail("invalid")
        try:
            return date.fromisoformat(data)
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: date) -> str:
        return value.isoformat()


def _whole(data: Any) -> int | None:
    if isinstance(data, float) and data.is_integer():
        return int(data)
    return data if isinstance(data, int) and not isinstance(data, bool) else None


class Whole(serializers.IntegerField):
    """A whole number within 64 bits: 5 or 5.0 in JSON, which knows no difference; not a string or a boolean."""

    def __init__(self, *, min_value: int = 0, max_value: int = INT64_MAX, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if _is_query(self) and isinstance(data, str) and WHOLE.fullmatch(data):
            data = int(data)
        whole = _whole(data)
        if whole is None:
            self.fail("invalid")
        return whole


class Number(serializers.FloatField):
    """A finite number within stated bounds: a JSON number, not a string or a boolean."""

    def __init__(self, *, min_value: float, max_value: float, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **kwargs)

    def to_internal_value(self, data: Any) -> float:
        if _is_query(self) and isinstance(data, str) and DECIMAL.fullmatch(data):
            data = float(data)
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        if isinstance(data, int) and abs(data) > INT64_MAX:
            return float("inf") if data > 0 else float("-inf")  # refused by the bounds
        if isnan(data):
            self.fail("invalid")
        return float(data)


class Text(serializers.CharField):
    """Text of at least one character; spaces around it are refused, not cut off."""

    default_error_messages = {"spaces": "Spaces stand before or after it.", "control": "It holds control characters."}

    def __init__(self, *, max_length: int, min_length: int = 1, pattern: str = "", **kwargs: Any) -> None:
        super().__init__(max_length=max_length, min_length=min_length or None, trim_whitespace=False, **kwargs)
        # Said as one pattern, so that the schema says it too: no control character, no space at either end.
        self.pattern = pattern or NEAT

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        if text and not re.search(self.pattern, text):
            self.fail("invalid")
        return text


NEAT = r"^[^\u0000-\u0020\u007f-\u00a0]([^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0])?$"
CODE = r"^[A-Za-z0-9][A-Za-z0-9_.: -]*$"


class Code(Text):
    """A code of ours: letters, digits and a few marks."""

    def __init__(self, *, max_length: int = 80, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, **kwargs)


class Choice(serializers.ChoiceField):
    """One of a few words."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=str(data)[:60])
        choice: str = super().to_internal_value(data)
        return choice


class WholeChoice(serializers.ChoiceField):
    """One of a few whole numbers."""

    def to_internal_value(self, data: Any) -> int:  # type: ignore[override]
        whole = _whole(data)
        if whole is None or whole not in self.choices:
            self.fail("invalid_choice", input=str(data)[:60])
        return whole


class Flag(serializers.BooleanField):
    """true or false; nothing else stands for them."""

    def to_internal_value(self, data: Any) -> bool:
        if _is_query(self) and data in ("true", "false"):
            return bool(data == "true")
        if not isinstance(data, bool):
            self.fail("invalid", input=str(data)[:60])
        return data


def make_id(prefix: str, pk: int) -> str:
    """The public id of a row: ``run_17``. Clients treat it as opaque."""
    return f"{prefix}_{pk}"


def read_id(prefix: str, text: str) -> int | None:
    """Key of the row with a public id; None if no row can have it."""
    match = re.fullmatch(rf"{prefix}_([1-9][0-9]{{0,14}})", text)
    return int(match[1]) if match else None


class PublicId(serializers.Field[Any, Any, Any, Any]):
    """A row's key as ``<prefix>_<key>``."""

    default_error_messages = {"invalid": "No such id."}

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def to_internal_value(self, data: Any) -> int:
        pk = read_id(self.prefix, data) if isinstance(data, str) else None
        if pk is None:
            self.fail("invalid")
        return pk

    def to_representation(self, value: Any) -> str:
        return make_id(self.prefix, int(getattr(value, "pk", value)))


@extend_schema_field({"type": "object", "additionalProperties": True})
class Facts(serializers.Field[Any, Any, Any, Any]):
    """An object whose members depend on the row: the details of a finding, the payload of an act. Output only."""

    def to_internal_value(self, data: Any) -> Any:
        raise NotImplementedError("facts are shown, never taken")

    def to_representation(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return value
