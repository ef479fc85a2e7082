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
from markets.core.lab_fleet import LabFleet

FIRST_DAY, N_DAY = date(2019, 1, 15), 380
FALLBACK_KW = 3.6
CLOCK = np.arange(N_CLOCK_PERIOD)
# Everything but 16:00 to 22:00, London time.
OFF_PEAK = (CLOCK < 32) | (CLOCK >= 44)
# The laboratory's readings: every site but three ends on 2020-02-02, so its last day is two before.
LAB_FIRST_DAY, LAB_LAST_DAY = date(2019, 8, 19), date(2020, 1, 31)
LAB_KNOWN_SINCE = date(2019, 9, 1)


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


def load_lab_fleet(real_data: Path) -> LabFleet:
    """The homes' half-hours as if metered (derived: charged from plug-in on), their wall clock read as London's.

    EVSEs with a session before 1 September 2019 at sites that run on to the end. Oslo is an hour ahead of London all
    year, so an hour later in UTC is the same clock time there.
    """
    frame = pd.read_csv(real_data / "asset_hh_norway_derived.csv.gz")
    starts_at = instants(frame["period_start_utc"]) + np.timedelta64(3600, "s")
    first_at = np.datetime64(LAB_FIRST_DAY, "s")
    n_half_hour = ((LAB_LAST_DAY - LAB_FIRST_DAY).days + 2) * N_CLOCK_PERIOD
    frame = frame.assign(half_hour=(starts_at - first_at) // np.timedelta64(1800, "s"))
    known_since = (LAB_KNOWN_SINCE - LAB_FIRST_DAY).days * N_CLOCK_PERIOD
    by_evse = frame.groupby("evse_id").agg(first=("half_hour", "min"), site=("site", "first"))
    site_ends = frame.groupby("site")["half_hour"].max()
    runs_on = by_evse["site"].map(site_ends) >= n_half_hour - N_CLOCK_PERIOD
    ids = by_evse.index[(by_evse["first"] < known_since) & runs_on].sort_values()
    inside = frame[frame["evse_id"].isin(ids) & frame["half_hour"].between(0, n_half_hour - 1)]
    energy_kwh = np.zeros((len(ids), n_half_hour))
    np.add.at(energy_kwh, (ids.get_indexer(inside["evse_id"]), inside["half_hour"].to_numpy()), inside["kwh"])
    rated = pd.read_csv(real_data / "ev_sessions_norway.csv.gz").groupby("evse_id")["est_charge_kw"].max()
    return LabFleet(
        evse_ids=ids.to_numpy(np.str_),
        rated_kw=rated.reindex(ids).fillna(FALLBACK_KW).to_numpy(np.float64),
        starts_at=first_at,
        energy_kwh=energy_kwh,
        called=frozenset(),
        holidays=frozenset(holidays.country_holidays("NO", years=(2019, 2020))),
    )
