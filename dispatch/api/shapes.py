"""What the rows of a plan share: a grid of equal periods, and values on it."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

ON_GRID = "one value a period of the run's grid: value i holds from starts_at + i × period_minutes to the next"
EXAMPLE_GRID = {"starts_at": "2026-01-14T12:00:00Z", "ends_at": "2026-01-14T13:00:00Z", "period_minutes": 30}


@extend_schema_field({"type": "array", "items": {"type": "number"}})
class Series(serializers.Field[Any, Any, Any, Any]):
    """Finite values by period, as they are stored."""

    def __init__(self, *, help_text: str, **kwargs: object) -> None:
        super().__init__(read_only=True, help_text=help_text, **kwargs)  # type: ignore[arg-type]

    def to_representation(self, value: Sequence[float]) -> list[float]:
        return list(value)


@extend_schema_field({"type": "number"})
class Figure(serializers.Field[Any, Any, Any, Any]):
    """A number; null where it is not finite, which says that it is not known."""

    def __init__(self, *, help_text: str, **kwargs: object) -> None:
        super().__init__(read_only=True, help_text=help_text, **kwargs)  # type: ignore[arg-type]

    def to_representation(self, value: float) -> float | None:
        return value if isfinite(value) else None
