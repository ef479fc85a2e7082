"""CSV as people send it: each row with the line it starts on, and a sentence where it is no CSV."""

import csv
from collections.abc import Callable, Iterable, Iterator

from aggregator.core.errors import FlexError


def numbered_rows(
    lines: Iterable[str], *, refused: Callable[..., FlexError], where: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line it starts on, from 1.

    Args:
        refused: the error to raise, made of a sentence and ``line``.
        where: begins the sentence, e.g. ``"evses.csv: "``.
    """
    reader = csv.reader(lines, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise refused(f"{where}line {reader.line_num} is no CSV ({error})", line=line) from error
        if row:
            yield line, row
        line = reader.line_num + 1
