"""Files of charging sessions."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from aggregator.adapters.cells import Column, Instant, Number, Text
from aggregator.adapters.files import Progress, Table, read_table
from aggregator.core.session_rows import SessionRows

MOST_KWH = 1e6  # what reads as a number at all; what is possible is judged with the other rows

COLUMNS: Sequence[Column] = (
    Text("evse_id", may_be_empty=True),
    Instant("plug_in_utc"),
    # An unset clock says 1970: a session that ends before it starts, set aside as such.
    Instant("plug_out_utc", may_be_empty=True, earliest_year=1970),
    Number("energy_kwh", "kWh", -MOST_KWH, MOST_KWH, may_be_empty=True),
    Text("session_id", required=False, may_be_empty=True),
    Text("connector", required=False, may_be_empty=True, max_length=20),
)


def read_sessions(
    source: Path | BinaryIO, *, name: str = "", progress: Progress | None = None
) -> tuple[Table, SessionRows]:
    """Read a file of sessions.

    Raises:
        FileRefused: the file or any of its values can't be taken.
    """
    table = read_table(source, COLUMNS, name=name, progress=progress)
    rows = SessionRows(
        lines=table.lines,
        evse_refs=table.texts("evse_id"),
        connectors=table.texts("connector"),
        session_refs=table.texts("session_id"),
        plug_in_at=table.times("plug_in_utc"),
        plug_out_at=table.times("plug_out_utc"),
        energy_kwh=table.numbers("energy_kwh"),
    )
    return table, rows
