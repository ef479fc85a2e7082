"""The Norwegian home sessions for tests and benchmarks, and the backtest of the availability forecast on them."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import holidays
import numpy as np
import pandas as pd

from aggregator.core.availability import PlanningRule
from aggregator.core.availability_backtest import BacktestScores, backtest
from aggregator.core.local_clock import N_CLOCK_PERIOD, DayTypes, charging_days
from aggregator.core.sessions import NO_EVSE, ClassifiedSessions, SessionHistory, classify_sessions
from aggregator.core.timegrid import LONDON
from aggregator.core.types import FloatArray, IntArray

FIRST_DAY, N_DAY = date(2019, 1, 15), 380
FALLBACK_KW = 3.6
CLOCK = np.arange(N_CLOCK_PERIOD)
# Everything but 16:00 to 22:00, London time.
OFF_PEAK = (CLOCK < 32) | (CLOCK >= 44)


@dataclass(frozen=True, slots=True)
class Norway:
    history: SessionHistory
    session_kw: FloatArray
    evse_kw: FloatArray
    site: IntArray
    day_types: DayTypes
    merit: FloatArray


def instants(column: pd.Series) -> np.ndarray:
    return pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy("datetime64[s]")


def classified(
    frame: pd.DataFrame, rated_kw: np.ndarray | None = None
) -> tuple[ClassifiedSessions, np.ndarray, np.ndarray]:
    evse, ids = pd.factorize(frame["evse_id"].astype("string"), sort=True, use_na_sentinel=True)
    assert NO_EVSE == -1
    found = classify_sessions(
        evse=evse.astype(np.int64),
        connector=frame.get("connector", pd.Series(1, index=frame.index)).to_numpy(np.int64),
        plug_in_at=instants(frame["plug_in_utc"]),
        plug_out_at=instants(frame["plug_out_utc"]),
        energy_kwh=frame["energy_kwh"].to_numpy(np.float64),
        rated_kw=rated_kw,
    )
    return found, evse.astype(np.int64), ids.to_numpy(np.str_)


def sessions_of(frame: pd.DataFrame) -> tuple[SessionHistory, np.ndarray]:
    found, evse, ids = classified(frame)
    kept = found.is_kept
    plug_out_at = instants(frame["plug_out_utc"])[kept]
    sessions = SessionHistory(
        ids,
        frame["session_id"].to_numpy(np.str_)[kept],
        evse[kept],
        instants(frame["plug_in_utc"])[kept],
        plug_out_at,
        frame["energy_kwh"].to_numpy(np.float64)[kept],
        plug_out_at,
    )
    return sessions, kept


def load_norway(real_data: Path) -> Norway:
    """The Norwegian homes with their wall clock read as London's, known at plug-out."""
    frame = pd.read_csv(real_data / "ev_sessions_norway.csv.gz")
    for name in ("plug_in", "plug_out"):
        local = pd.to_datetime(frame[f"{name}_local"]).dt.tz_localize(
            str(LONDON), ambiguous=True, nonexistent="shift_forward"
        )
        frame[f"{name}_utc"] = local.dt.tz_convert("UTC")
    history, kept = sessions_of(frame)
    by_evse = frame.groupby("evse_id").agg(site=("site", "first"), kw=("est_charge_kw", "max")).loc[history.evse_ids]
    free = holidays.country_holidays("NO", years=range(2018, 2022))
    first = date(2018, 6, 1)
    days = [first + timedelta(days=index) for index in range(1200)]
    prices = pd.read_csv(real_data / "prices_elexon_2023.csv.gz")
    local = pd.to_datetime(prices["period_start_utc"]).dt.tz_convert(str(LONDON))
    by_clock = prices["market_index_price_gbp_mwh"].groupby(local.dt.hour * 2 + local.dt.minute // 30).mean()
    return Norway(
        history=history,
        session_kw=frame["est_charge_kw"].fillna(FALLBACK_KW).to_numpy(np.float64)[kept],
        evse_kw=by_evse["kw"].fillna(FALLBACK_KW).to_numpy(np.float64),
        site=pd.factorize(by_evse["site"])[0].astype(np.int64),
        day_types=DayTypes(first, np.array([day.weekday() < 5 and day not in free for day in days])),
        merit=by_clock.to_numpy(np.float64),
    )


def scores(norway: Norway, rule: PlanningRule, spare_kw: float = 0.0, n_day: int = N_DAY) -> BacktestScores:
    """Backtest a rule; every EVSE has ``spare_kw`` beside its plan outside the evening peak."""
    return backtest(
        norway.history,
        evse_groups=norway.site,
        days=charging_days(FIRST_DAY, n_day),
        day_types=norway.day_types,
        rated_kw=norway.evse_kw,
        merit=norway.merit,
        spare_kw=np.where(OFF_PEAK, spare_kw, 0.0),
        rule=rule,
    )
