"""Charging sessions as they come: kept, kept with a remark, or set aside, each defect counted."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.intervals import to_datetime64
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray

NO_EVSE = -1
MAX_SESSION_KWH = 1_000.0
LARGE_SESSION_KWH = 100.0
LONG_SESSION = np.timedelta64(7 * 86_400, "s")
# Above the largest AC post and most rapid chargers; used where the rating is unknown.
DEFAULT_RATING_KW = 60.0
# One register fault in a thousand rows is a defect of a meter; more is a defect of the file.
IMPOSSIBLE_TOLERANCE = 0.001
# Published ratings and energies are rounded to three digits or so.
RATING_TOLERANCE = 1e-3

SET_ASIDE_CODES = (
    "session.no_evse",
    "session.open",
    "session.reversed",
    "session.zero_length",
    "session.duplicate",
    "session.negative_energy",
    "session.absurd_energy",
)
REMARK_CODES = (
    "session.overlapping",
    "session.zero_energy",
    "session.over_7_days",
    "session.over_100_kwh",
    "session.over_rating",
)
SESSION_CODES = SET_ASIDE_CODES + REMARK_CODES


class InvalidSessionHistory(FlexError):
    code = "session.invalid_history"


class ImpossibleSession(FlexError):
    code = "session.impossible"


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """Sessions fit for computing with: each has an EVSE, ends after it starts, and holds a finite energy.

    Attributes:
        evse_ids: (n_evse,) unique.
        session_ids: (n_session,).
        evse: (n_session,) index into ``evse_ids``.
        plug_in_at, plug_out_at: (n_session,) ``datetime64[s]`` UTC, half-open.
        energy_kwh: (n_session,) not negative.
        known_at: (n_session,) ``datetime64[s]`` UTC, when the whole row reached us.

    Raises:
        InvalidSessionHistory: shapes differ, or a row breaks one of the rules above.
    """

    evse_ids: StrArray
    session_ids: StrArray
    evse: IntArray
    plug_in_at: TimeArray
    plug_out_at: TimeArray
    energy_kwh: FloatArray
    known_at: TimeArray

    def __post_init__(self) -> None:
        n_session = len(self.session_ids)
        for name in ("evse", "plug_in_at", "plug_out_at", "energy_kwh", "known_at"):
            shape = getattr(self, name).shape
            if shape != (n_session,):
                raise InvalidSessionHistory(f"{name} has shape {shape}, expected ({n_session},)", field=name)
        for name in ("plug_in_at", "plug_out_at", "known_at"):
            dtype = getattr(self, name).dtype
            if dtype != np.dtype("datetime64[s]"):
                raise InvalidSessionHistory(f"{name} is {dtype}, expected datetime64[s]", field=name)
        if len(np.unique(self.evse_ids)) != len(self.evse_ids):
            raise InvalidSessionHistory("evse_ids holds an id twice", field="evse_ids")
        self._refuse("evse", (self.evse < 0) | (self.evse >= len(self.evse_ids)))
        self._refuse("energy_kwh", ~(np.isfinite(self.energy_kwh) & (self.energy_kwh >= 0)))
        self._refuse("known_at", np.isnat(self.known_at))
        self._refuse("plug_out_at", ~(self.plug_out_at > self.plug_in_at))

    def _refuse(self, name: str, is_bad: BoolArray) -> None:
        if is_bad.any():
            row = int(np.argmax(is_bad))
            found, session_id = str(getattr(self, name)[row]), str(self.session_ids[row])
            raise InvalidSessionHistory(
                f"session {session_id} (row {row}) has an impossible {name}: {found}",
                field=name,
                row=row,
                session_id=session_id,
            )

    def __len__(self) -> int:
        return len(self.session_ids)

    def select(self, chosen: BoolArray) -> "SessionHistory":
        """The sessions chosen by an (n_session,) mask, EVSEs unchanged."""
        return SessionHistory(
            self.evse_ids,
            self.session_ids[chosen],
            self.evse[chosen],
            self.plug_in_at[chosen],
            self.plug_out_at[chosen],
            self.energy_kwh[chosen],
            self.known_at[chosen],
        )

    def known(self, as_of: datetime) -> "SessionHistory":
        """The sessions known at ``as_of`` (aware)."""
        return self.select(self.known_at <= to_datetime64(as_of))


@dataclass(frozen=True, slots=True)
class ClassifiedSessions:
    """What is odd about each row.

    Attributes:
        flags: (n_row, n_code) in the order of ``SESSION_CODES``; a row may carry several.
    """

    flags: BoolArray

    @property
    def is_kept(self) -> BoolArray:
        """(n_row,) rows to compute with; the others are set aside."""
        is_set_aside: BoolArray = np.logical_or.reduce(self.flags[:, : len(SET_ASIDE_CODES)], axis=1)
        return ~is_set_aside

    def has(self, code: str) -> BoolArray:
        """(n_row,) rows that carry this code."""
        flagged: BoolArray = self.flags[:, SESSION_CODES.index(code)]
        return flagged

    def counts(self) -> dict[str, int]:
        """Rows per code, for every code."""
        return {code: int(self.has(code).sum()) for code in SESSION_CODES}


def classify_sessions(
    *,
    evse: IntArray,
    connector: IntArray,
    plug_in_at: TimeArray,
    plug_out_at: TimeArray,
    energy_kwh: FloatArray,
    rated_kw: FloatArray | None = None,
    impossible_tolerance: float = IMPOSSIBLE_TOLERANCE,
) -> ClassifiedSessions:
    """Find what is odd about each session, without changing any.

    Args:
        evse: (n_row,) index of the EVSE, ``NO_EVSE`` where the row names none.
        connector: (n_row,) connector number; all equal where there is only one.
        plug_in_at: (n_row,) ``datetime64[s]`` UTC.
        plug_out_at: (n_row,) the same, NaT while the session is open.
        energy_kwh: (n_row,); NaN only while the session is open.
        rated_kw: (n_row,) rating, NaN or absent where unknown (then ``DEFAULT_RATING_KW``).
        impossible_tolerance: largest share of rows with a negative or absurd energy that is still set aside
            row by row; above it the whole input is refused.

    Raises:
        ImpossibleSession: no plug-in time; NaN or infinite energy; or negative energy or over ``MAX_SESSION_KWH`` in
            more than the tolerated share of rows. The first such row is named.
    """
    is_open = np.isnat(plug_out_at)
    _refuse_unusable(plug_in_at, energy_kwh, is_open)
    impossible = (energy_kwh < 0) | (energy_kwh > MAX_SESSION_KWH)
    if impossible.sum() > impossible_tolerance * len(energy_kwh):
        _refuse_row(int(np.argmax(impossible)), "energy_kwh", energy_kwh, f"0 to {MAX_SESSION_KWH:,.0f} kWh")
    set_aside = [
        evse == NO_EVSE,
        is_open,
        plug_out_at < plug_in_at,
        plug_out_at == plug_in_at,
        _repeats(evse, connector, plug_in_at, plug_out_at, energy_kwh),
        energy_kwh < 0,
        energy_kwh > MAX_SESSION_KWH,
    ]
    is_sound = ~np.any(set_aside, axis=0)
    remarks = [
        _overlaps(evse, connector, plug_in_at, plug_out_at, is_sound),
        energy_kwh == 0,
        plug_out_at - plug_in_at > LONG_SESSION,
        energy_kwh > LARGE_SESSION_KWH,
        is_sound & _exceeds_rating(plug_in_at, plug_out_at, energy_kwh, rated_kw),
    ]
    return ClassifiedSessions(np.column_stack(set_aside + remarks))


def _refuse_unusable(plug_in_at: TimeArray, energy_kwh: FloatArray, is_open: BoolArray) -> None:
    if np.isnat(plug_in_at).any():
        _refuse_row(int(np.argmax(np.isnat(plug_in_at))), "plug_in_at", plug_in_at, "a time")
    unusable = np.isinf(energy_kwh) | (np.isnan(energy_kwh) & ~is_open)
    if unusable.any():
        _refuse_row(int(np.argmax(unusable)), "energy_kwh", energy_kwh, f"0 to {MAX_SESSION_KWH:,.0f} kWh")


def _refuse_row(row: int, field: str, values: FloatArray | TimeArray, expected: str) -> None:
    found = str(values[row])
    raise ImpossibleSession(
        f"row {row}: {field} is {found}, expected {expected}", row=row, field=field, value=found, expected=expected
    )


def _repeats(
    evse: IntArray, connector: IntArray, plug_in_at: TimeArray, plug_out_at: TimeArray, energy_kwh: FloatArray
) -> BoolArray:
    """Rows equal in all five to an earlier row; a missing value equals a missing value."""
    as_integers = (
        evse,
        connector,
        plug_in_at.astype("datetime64[s]").view(np.int64),
        plug_out_at.astype("datetime64[s]").view(np.int64),
        np.where(np.isnan(energy_kwh), -1e9, energy_kwh + 0.0).view(np.int64),
    )
    order = np.lexsort(as_integers)
    columns = np.column_stack(as_integers)[order]
    is_repeat = np.zeros(len(evse), dtype=np.bool_)
    # lexsort is stable, so among equal rows the first in the input leads and is kept.
    is_repeat[order[1:]] = (columns[1:] == columns[:-1]).all(axis=1)
    return is_repeat


def _overlaps(
    evse: IntArray, connector: IntArray, plug_in_at: TimeArray, plug_out_at: TimeArray, is_sound: BoolArray
) -> BoolArray:
    """Sound rows that start before an earlier one on the same connector has ended."""
    chosen = np.flatnonzero(is_sound)
    order = chosen[np.lexsort((plug_in_at[chosen], connector[chosen], evse[chosen]))]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (np.diff(evse[order]) != 0) | (np.diff(connector[order]) != 0)
    # A running maximum per connector in one pass: lift each connector above all times of the one before.
    ends = plug_out_at[order].astype("datetime64[s]").view(np.int64)
    starts = plug_in_at[order].astype("datetime64[s]").view(np.int64)
    span = int(ends.max(initial=0) - starts.min(initial=0)) + 1
    lift = np.cumsum(is_new) * span
    latest_end = np.maximum.accumulate(ends + lift)
    flagged = np.zeros(len(evse), dtype=np.bool_)
    flagged[order[1:]] = (starts + lift)[1:] < latest_end[:-1]
    flagged[order[is_new]] = False
    return flagged


def _exceeds_rating(
    plug_in_at: TimeArray, plug_out_at: TimeArray, energy_kwh: FloatArray, rated_kw: FloatArray | None
) -> BoolArray:
    known = np.full(len(energy_kwh), np.nan) if rated_kw is None else rated_kw
    limit_kw = np.where(np.isnan(known), DEFAULT_RATING_KW, known)
    duration_h = (plug_out_at - plug_in_at) / np.timedelta64(3600, "s")
    exceeds: BoolArray = energy_kwh > limit_kw * duration_h * (1 + RATING_TOLERANCE)
    return exceeds
