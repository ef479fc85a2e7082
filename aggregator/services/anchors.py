"""The file of anchors: heads of the event log, noted where nobody who can only reach the database can change them.

One JSON object a line. Copy the file to where the database's administrators cannot write, and it proves more.
"""

import json
import os
from datetime import date, datetime
from pathlib import Path

from aggregator.core.errors import FlexError
from aggregator.core.event_chain import Anchor, Head

OWNER_ONLY = 0o600


class AnchorsUnreadable(FlexError):
    code = "event_log.anchors_unreadable"


def read_anchors(path: Path) -> tuple[Anchor, ...]:
    """Every anchor in the file, in its order; none where there is no file.

    Raises:
        AnchorsUnreadable: a line is no anchor.
    """
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_read(path, number, line) for number, line in enumerate(lines, start=1))


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Add one line and have the disk keep it, the file's name included, before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "day": anchor.day.isoformat(),
        "sequence": anchor.head.sequence,
        "sha256": anchor.head.sha256,
        "at": anchor.at.isoformat(),
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWNER_ONLY)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(json.dumps(fields) + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path, number: int, line: str) -> Anchor:
    try:
        fields = json.loads(line)
        return Anchor(
            day=date.fromisoformat(fields["day"]),
            head=Head(int(fields["sequence"]), str(fields["sha256"])),
            at=datetime.fromisoformat(fields["at"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise AnchorsUnreadable(
            f"line {number} of {path} is no anchor (day, sequence, sha256, at): {line[:80]!r}",
            path=str(path),
            line=number,
        ) from error
