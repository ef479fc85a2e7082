"""What is wrong with a file, put together so that a person can mend it: one group a column."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One value that stands in the way: where, what was found, what was expected or is wrong with it."""

    line: int
    column: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    column: str
    problems: tuple[Problem, ...]
    n: int


def group_problems(problems: Iterable[Problem]) -> tuple[ProblemGroup, ...]:
    """Group problems by column, each by line; the column with the first line's problem comes first."""
    groups: dict[str, list[Problem]] = {}
    for problem in sorted(problems, key=lambda one: (one.line, one.column)):
        groups.setdefault(problem.column, []).append(problem)
    return tuple(ProblemGroup(column, tuple(found), len(found)) for column, found in groups.items())
