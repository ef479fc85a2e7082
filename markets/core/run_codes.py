"""What a settlement run is called: an open list of codes, each with its place among those of its series.

A series is an order of runs over the same days (II before SF before R1). A numbered code (``RERUN``) is written with
its count, ``RERUN-2``, belongs to no order and may come at any time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aggregator.core.errors import FlexError

FIRST_CODE, NEXT_CODE, MONTHLY_CODE = "PRELIM", "RERUN", "MONTHLY"
_NUMBERED = re.compile(r"(?P<code>.+)-(?P<number>[1-9][0-9]{0,3})")


class UnknownRunCode(FlexError):
    code = "settlement.unknown_run_code"


class RunCodeUsed(FlexError):
    code = "settlement.run_code_used"


class RunCodeOutOfOrder(FlexError):
    code = "settlement.run_code_out_of_order"


@dataclass(frozen=True, slots=True)
class RunCode:
    """One code.

    Attributes:
        series: runs of one series follow one another by ``position``.
        is_numbered: used as ``CODE-1``, ``CODE-2`` …, in no order with others.
    """

    code: str
    series: str
    position: int
    is_numbered: bool = False


def find_code(text: str, table: Mapping[str, RunCode]) -> RunCode:
    """The code that a run's text names.

    Raises:
        UnknownRunCode: no code of the table, or a numbered one without its number, or the other way round.
    """
    plain = table.get(text)
    if plain is not None and not plain.is_numbered:
        return plain
    found = _NUMBERED.fullmatch(text)
    numbered = table.get(found["code"]) if found else None
    if numbered is not None and numbered.is_numbered:
        return numbered
    known = ", ".join(f"{one.code}-1" if one.is_numbered else one.code for one in table.values())
    raise UnknownRunCode(f"run code {text[:40]!r} is not one of {known}", field="run_code", value=text[:40])


def next_code(used: Sequence[str]) -> str:
    """What a run is called that nobody named: the first is preliminary, each later one the next rerun."""
    if not used:
        return FIRST_CODE
    numbers = [int(found["number"]) for text in used if (found := _NUMBERED.fullmatch(text))]
    return f"{NEXT_CODE}-{max(numbers, default=0) + 1}"


def check_code(text: str, used: Sequence[str], table: Mapping[str, RunCode]) -> None:
    """Refuse a code that a run may not bear after those the event has had.

    Raises:
        UnknownRunCode: see ``find_code``.
        RunCodeUsed: the event has a run of this code.
        RunCodeOutOfOrder: the event has a run that comes after this one in its series.
    """
    asked = find_code(text, table)
    if text in used:
        raise RunCodeUsed(
            f"there is a run {text} already: it is never settled again, later readings belong to the next run",
            field="run_code",
            value=text,
        )
    if asked.is_numbered:
        return
    for earlier in used:
        before = find_code(earlier, table)
        if not before.is_numbered and before.series == asked.series and before.position > asked.position:
            raise RunCodeOutOfOrder(
                f"run {text} comes before {earlier} in {asked.series}, which was settled already",
                field="run_code",
                value=text,
            )
