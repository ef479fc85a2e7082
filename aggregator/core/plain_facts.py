"""Facts kept as JSON, laid out for reading: one line a leaf."""

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_VALUE = 400


@dataclass(frozen=True, slots=True)
class Fact:
    """``name`` is the way to the leaf, ``window.starts_at``; lists count from 1."""

    name: str
    value: str


def plain_facts(stated: Mapping[str, object] | None, above: str = "") -> tuple[Fact, ...]:
    """Flatten a JSON object; a value too long to read is cut and says so."""
    facts: list[Fact] = []
    for name, value in (stated or {}).items():
        path = f"{above}.{name}" if above else str(name)
        parts = {str(at): part for at, part in enumerate(value, 1)} if isinstance(value, list) else value
        if isinstance(parts, Mapping):
            facts += plain_facts(parts, path)
        else:
            facts.append(Fact(path, _text(value)))
    return tuple(facts)


def _text(value: object) -> str:
    if value is None:
        return ""
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
