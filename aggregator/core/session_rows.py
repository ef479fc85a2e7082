"""Charging sessions as a file states them, and what is odd about them as findings."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import Detail, FlexError
from aggregator.core.findings import FindingNote, Severity
from aggregator.core.sessions import NO_EVSE, SESSION_CODES, SET_ASIDE_CODES, ClassifiedSessions, classify_sessions
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray

SAYINGS = {
    "session.no_evse": "names no EVSE; set aside",
    "session.open": "has no end; set aside",
    "session.reversed": "ends before it starts; set aside",
    "session.zero_length": "ends when it starts; set aside",
    "session.duplicate": "repeats an earlier row; set aside",
    "session.negative_energy": "has a negative energy; set aside",
    "session.absurd_energy": "has an energy no session can have; set aside",
    "session.differs": "is stored with another end or energy; the stored one stays",
    "session.overlapping": "starts before an earlier one on the same connector has ended; kept",
    "session.zero_energy": "drew no energy; kept",
    "session.over_7_days": "lasts over 7 days; kept",
    "session.over_100_kwh": "drew over 100 kWh; kept",
    "session.over_rating": "drew more than the rating allows in its time; kept",
}
SAYINGS_OF_MANY = {
    "session.unknown_evse": "is not registered; its sessions are set aside",
    "session.not_enrolled": "was enrolled with no DSRSP at plug-in; these sessions are set aside",
}


class InvalidSessionRows(FlexError):
    code = "session.invalid_rows"


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Rows of a delivery of sessions, sound or not.

    Attributes:
        lines: (n_row,) where each row stands in its source.
        evse_refs: (n_row,) the EVSE's id at its CSMS, empty where the row names none.
        connectors, session_refs: (n_row,) empty where the source has none.
        plug_in_at, plug_out_at: (n_row,) ``datetime64[s]`` UTC; NaT while a session is open.
        energy_kwh: (n_row,) NaN only while a session is open.

    Raises:
        InvalidSessionRows: shapes differ.
    """

    lines: IntArray
    evse_refs: StrArray
    connectors: StrArray
    session_refs: StrArray
    plug_in_at: TimeArray
    plug_out_at: TimeArray
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        for name in ("evse_refs", "connectors", "session_refs", "plug_in_at", "plug_out_at", "energy_kwh"):
            if getattr(self, name).shape != self.lines.shape:
                raise InvalidSessionRows(f"{name} has shape {getattr(self, name).shape}, expected {self.lines.shape}")

    def __len__(self) -> int:
        return len(self.lines)

    def refs(self) -> StrArray:
        """(n_row,) the source's own session ids, or the plug-in time where it has none."""
        times = np.char.add(np.datetime_as_string(self.plug_in_at), "Z")
        refs: StrArray = np.where(self.session_refs == "", times, self.session_refs)
        return refs

    def details(self, row: int) -> dict[str, Detail]:
        """The row as it came, for a finding."""
        energy_kwh = float(self.energy_kwh[row])
        return {
            "line": int(self.lines[row]),
            "evse_id": str(self.evse_refs[row]),
            "connector": str(self.connectors[row]),
            "session_id": str(self.session_refs[row]),
            "plug_in_utc": _shown(self.plug_in_at[row]),
            "plug_out_utc": _shown(self.plug_out_at[row]),
            "energy_kwh": None if np.isnan(energy_kwh) else energy_kwh,
        }


def classify_rows(rows: SessionRows, *, rated_kw: FloatArray) -> ClassifiedSessions:
    """Find what is odd about rows; those that name no EVSE or an unknown one are looked at alike.

    Args:
        rated_kw: (n_row,) rating of the EVSE, NaN where unknown.

    Raises:
        ImpossibleSession: as ``classify_sessions``; its details hold the row.
    """
    _, evse = np.unique(rows.evse_refs, return_inverse=True)
    _, connector = np.unique(rows.connectors, return_inverse=True)
    return classify_sessions(
        evse=np.where(rows.evse_refs == "", NO_EVSE, evse).astype(np.int64),
        connector=connector.astype(np.int64),
        plug_in_at=rows.plug_in_at,
        plug_out_at=rows.plug_out_at,
        energy_kwh=rows.energy_kwh,
        rated_kw=rated_kw,
    )


def notes_of_classes(rows: SessionRows, classified: ClassifiedSessions) -> list[FindingNote]:
    """One finding per row and code, with the row as it came."""
    return [note for code in SESSION_CODES for note in notes_of_rows(rows, classified.has(code), code)]


def notes_of_rows(rows: SessionRows, chosen: BoolArray, code: str) -> list[FindingNote]:
    """One finding per chosen row (an (n_row,) mask)."""
    severity: Severity = "warning" if code in SET_ASIDE_CODES or code == "session.differs" else "info"
    return [
        FindingNote(
            code,
            str(rows.evse_refs[row]) or "no EVSE",
            f"session {rows.session_refs[row]} on line {rows.lines[row]} {SAYINGS[code]}",
            severity,
            rows.details(row),
        )
        for row in np.flatnonzero(chosen).tolist()
    ]


def notes_of_evses(rows: SessionRows, chosen: BoolArray, code: str) -> list[FindingNote]:
    """One finding per EVSE among the chosen rows: they come by the thousand where an EVSE is missing."""
    refs, counts = np.unique(rows.evse_refs[chosen], return_counts=True)
    return [
        FindingNote(code, str(ref), f"EVSE {ref} {SAYINGS_OF_MANY[code]}", "warning", {"n_row": int(count)})
        for ref, count in zip(refs, counts, strict=True)
    ]


def _shown(at: np.datetime64) -> str | None:
    return None if np.isnat(at) else f"{at}Z"
