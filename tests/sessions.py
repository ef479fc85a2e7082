"""Sessions for tests: built by hand in London time, or drawn by hypothesis."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import LONDON, TimeGrid


def at_utc(text: str) -> np.datetime64:
    """UTC instant of a London wall-clock time such as ``2026-01-15 17:10``, first passing."""
    local = datetime.fromisoformat(text).replace(tzinfo=LONDON)
    return np.datetime64(local.astimezone(UTC).replace(tzinfo=None), "s")


def history(
    rows: list[tuple[str, str, str, float]], evse_ids: list[str] | None = None, known_after_s: int = 0
) -> SessionHistory:
    """Sessions from (EVSE id, plug-in, plug-out, kWh), times in London; known ``known_after_s`` after plug-out."""
    ids = sorted({row[0] for row in rows}) if evse_ids is None else evse_ids
    plug_out_at = np.array([at_utc(row[2]) for row in rows], dtype="datetime64[s]")
    return SessionHistory(
        evse_ids=np.array(ids, dtype=np.str_),
        session_ids=np.array([f"session-{index}" for index in range(len(rows))], dtype=np.str_),
        evse=np.array([ids.index(row[0]) for row in rows], dtype=np.int64),
        plug_in_at=np.array([at_utc(row[1]) for row in rows], dtype="datetime64[s]"),
        plug_out_at=plug_out_at,
        energy_kwh=np.array([row[3] for row in rows], dtype=np.float64),
        known_at=plug_out_at + np.timedelta64(known_after_s, "s"),
    )


def joined(first: SessionHistory, second: SessionHistory) -> SessionHistory:
    """Both histories of the same EVSEs in one."""
    assert np.array_equal(first.evse_ids, second.evse_ids)
    columns = ("session_ids", "evse", "plug_in_at", "plug_out_at", "energy_kwh", "known_at")
    return SessionHistory(
        first.evse_ids, *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in columns)
    )


def permuted(sessions: SessionHistory, order: np.ndarray) -> SessionHistory:
    columns = ("session_ids", "evse", "plug_in_at", "plug_out_at", "energy_kwh", "known_at")
    return SessionHistory(sessions.evse_ids, *(getattr(sessions, name)[order] for name in columns))


@st.composite
def histories(
    draw: st.DrawFn,
    *,
    from_: datetime,
    days: int,
    n_evse: int = 4,
    max_sessions: int = 25,
    known_from: datetime | None = None,
) -> SessionHistory:
    """Sessions that plug in within ``days`` of ``from_``; they may overlap, last for days and become known late."""
    n_session = draw(st.integers(0, max_sessions))
    start = np.datetime64(from_.astimezone(UTC).replace(tzinfo=None), "s")
    seconds = st.lists(st.integers(0, days * 86_400 - 1), min_size=n_session, max_size=n_session)
    plug_in_at = start + np.array(draw(seconds), dtype="timedelta64[s]")
    lengths = st.lists(st.integers(1, 2 * 86_400), min_size=n_session, max_size=n_session)
    plug_out_at = plug_in_at + np.array(draw(lengths), dtype="timedelta64[s]")
    lags = st.lists(st.integers(0, 5 * 86_400), min_size=n_session, max_size=n_session)
    known_at = plug_out_at + np.array(draw(lags), dtype="timedelta64[s]")
    if known_from is not None:
        earliest = np.datetime64(known_from.astimezone(UTC).replace(tzinfo=None) + timedelta(seconds=1), "s")
        known_at = np.maximum(known_at, earliest)
    energies = st.lists(st.floats(0, 90), min_size=n_session, max_size=n_session)
    evse = st.lists(st.integers(0, n_evse - 1), min_size=n_session, max_size=n_session)
    return SessionHistory(
        evse_ids=np.array([f"VEVSE-{index:04d}" for index in range(n_evse)], dtype=np.str_),
        session_ids=np.array([f"session-{index}" for index in range(n_session)], dtype=np.str_),
        evse=np.array(draw(evse), dtype=np.int64),
        plug_in_at=plug_in_at.astype("datetime64[s]"),
        plug_out_at=plug_out_at.astype("datetime64[s]"),
        energy_kwh=np.array(draw(energies), dtype=np.float64),
        known_at=known_at.astype("datetime64[s]"),
    )


def during(sessions: SessionHistory, grid: TimeGrid) -> SessionHistory:
    """The sessions that plug in on the grid."""
    start = np.datetime64(grid.starts_at.replace(tzinfo=None), "s")
    end = np.datetime64(grid.ends_at.replace(tzinfo=None), "s")
    return sessions.select((sessions.plug_in_at >= start) & (sessions.plug_in_at < end))
