"""Text on paper: pieces with a place, and long ones cut to a width."""

from dataclasses import dataclass
from functools import lru_cache

from reportlab.pdfbase.pdfmetrics import stringWidth

PLAIN, BOLD = "Helvetica", "Helvetica-Bold"
SIZE = 7.0
BLACK, GREY = 0.0, 0.35


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text; ``x`` is its right end where it is ``right``-aligned."""

    x: float
    y: float
    text: str
    font: str = PLAIN
    size: float = SIZE
    grey: float = BLACK
    right: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    y: float
    width: float = 0.4


Page = list[Text | Rule]


def shown_text(text: str) -> str:
    """A text in characters of Windows-1252; others as their number."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_shown(char) else f"<U+{ord(char):04X}>" for char in text)


def _is_shown(char: str) -> bool:
    try:
        char.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return char.isprintable()


@lru_cache(maxsize=10_000)
def wrapped(text: str, width: float, font: str, size: float) -> tuple[str, ...]:
    """Cut a text into pieces no wider than ``width``, at spaces where there are any; at least one piece."""
    lines, rest = [], shown_text(text)
    while rest:
        n_char = _fitting(rest, width, font, size)
        space = rest.rfind(" ", 1, n_char + 1)
        if n_char < len(rest) and space > 0:
            n_char = space
        lines.append(rest[:n_char].rstrip(" ") if n_char < len(rest) else rest)
        rest = rest[n_char:].lstrip(" ") if n_char < len(rest) else ""
    return tuple(lines) or ("",)


def _fitting(text: str, width: float, font: str, size: float) -> int:
    """How many of the first characters fit; at least one."""
    n_char = len(text)
    while n_char > 1 and stringWidth(text[:n_char], font, size) > width:
        n_char -= 1
    return n_char
