"""CSV that we write: RFC 4180 quoting, and no text that a spreadsheet would run."""

from collections.abc import Iterable

# Tab and CR start a formula in some spreadsheets, LF and the full-width signs in some locales.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
GUARD = "'"


def text_cell(text: str) -> str:
    """Guard a text: an apostrophe before what could start a formula, or before an apostrophe."""
    starts_formula = text.lstrip(" \u00a0").startswith(_FORMULA_STARTS)
    return GUARD + text if starts_formula or text.startswith(GUARD) else text


def write_record(cells: Iterable[str]) -> bytes:
    """One record: cells with a comma, quote or line break are quoted; LF ends it."""
    return (",".join(_quoted(cell) for cell in cells) + "\n").encode()


def _quoted(cell: str) -> str:
    if any(char in cell for char in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
