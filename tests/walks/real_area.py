"""Real charging sessions on a real feeder: how the walk puts its area together, and from which seed.

Placement rule. The 55 Norwegian home chargepoints with most sessions in the 70 days up to and including the walk's day
are dealt, in an order drawn from ``SEED``, to the 55 customers of the IEEE European LV feeder in the order of their
numbers; odd customers are enrolled with one DSRSP, even ones with the other. The 45 London households that are over
98 % complete are dealt to the same customers in another order drawn from the seed, the first ten of them twice.
Local dates are shifted by whole weeks, so that weekdays stay, and only then read as London time and turned into UTC.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from django.core.management import call_command

from aggregator.models import Organisation

SEED = 20_231_207
DAY = date(2023, 12, 7)  # a Thursday in 2023, played by Thursday 2019-12-05
HISTORY = timedelta(days=70)
SESSION_WEEKS = 209  # 2019 -> 2023
HOUSEHOLD_WEEKS = 522  # 2013 -> 2023
N_HOME = 55
COMPLETE_SHARE = 0.98
FEEDER = "ieee_european_lv-TR1-LINE1"
LONDON = ZoneInfo("Europe/London")
TARIFF = "wholesale-2023"
DNO, DSRSPS, CSMS = "walk-dno", ("odd-flex", "even-flex"), "walk-csms"


@dataclass(frozen=True)
class RealArea:
    """Files of the walk, made from the real ones in a temporary folder."""

    network: Path
    evses: Path
    sessions: Path
    readings: Path
    demand: Path
    prices: Path


def build(data: Path, folder: Path) -> RealArea:
    """Write the walk's import files."""
    rng = np.random.default_rng(SEED)
    homes = [f"LOAD{number}" for number in range(1, N_HOME + 1)]
    sessions = _sessions(data, rng, homes)
    households = _households(data, rng, homes)
    area = RealArea(
        network=data / "lv_networks" / "ieee_european_lv.json",
        evses=folder / "evses.csv",
        sessions=folder / "sessions.csv",
        readings=folder / "readings.csv",
        demand=folder / "demand.csv",
        prices=data / "prices_elexon_2023.csv.gz",
    )
    sessions.to_csv(area.sessions, index=False)
    households.to_csv(area.demand, index=False)
    _evses(sessions, data).to_csv(area.evses, index=False)
    _readings(sessions).to_csv(area.readings, index=False)
    return area


def shift(local: "pd.Series[pd.Timestamp]", weeks: int) -> "pd.Series[pd.Timestamp]":
    """Move wall-clock times by whole weeks, read them as London time, and return UTC."""
    moved = local + pd.Timedelta(weeks=weeks)
    return moved.dt.tz_localize(LONDON, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")


def _sessions(data: Path, rng: np.random.Generator, homes: list[str]) -> pd.DataFrame:
    raw = pd.read_csv(data / "ev_sessions_norway.csv.gz", parse_dates=["plug_in_local", "plug_out_local"])
    last = pd.Timestamp(DAY) - pd.Timedelta(weeks=SESSION_WEEKS) + pd.Timedelta(days=1, hours=12)
    window = raw[(raw.plug_in_local >= last - HISTORY - pd.Timedelta(days=1)) & (raw.plug_in_local < last)]
    counts = window.groupby("evse_id").size()
    busiest = sorted(counts.index, key=lambda evse: (-counts[evse], evse))[:N_HOME]
    place = dict(zip(rng.permutation(busiest), homes, strict=True))
    chosen = window[window.evse_id.isin(busiest)]
    return pd.DataFrame(
        {
            "evse_id": chosen.evse_id.map(place),
            "session_id": chosen.session_id,
            "plug_in_utc": _stamp(shift(chosen.plug_in_local, SESSION_WEEKS)),
            "plug_out_utc": _stamp(shift(chosen.plug_out_local, SESSION_WEEKS)),
            "energy_kwh": chosen.energy_kwh,
            "est_charge_kw": chosen.est_charge_kw,
        }
    ).sort_values(["plug_in_utc", "session_id"])


def _households(data: Path, rng: np.random.Generator, homes: list[str]) -> pd.DataFrame:
    raw = pd.read_csv(data / "household_hh_london_2013_a.csv.gz", parse_dates=["period_start_utc"])
    series = raw.drop(columns="period_start_utc")
    complete = series.columns[series.notna().mean() > COMPLETE_SHARE].to_numpy()
    dealt = np.resize(rng.permutation(complete), len(homes))
    local = raw.period_start_utc.dt.tz_convert(LONDON).dt.tz_localize(None)
    moved = pd.DataFrame({f"ieee_european_lv-{home}": series[name] for home, name in zip(homes, dealt, strict=True)})
    moved.insert(0, "period_start_utc", shift(local, HOUSEHOLD_WEEKS))
    # The hour the clocks repeat was read once in UTC and lands twice on one instant: the first is kept.
    moved = moved.drop_duplicates("period_start_utc")
    first, last = pd.Timestamp(DAY - HISTORY, tz=UTC), pd.Timestamp(DAY + timedelta(days=2), tz=UTC)
    moved = moved[(moved.period_start_utc >= first) & (moved.period_start_utc < last)]
    return moved.assign(period_start_utc=_stamp(moved.period_start_utc))


def ratings_kw(sessions: pd.DataFrame) -> "pd.Series[float]":
    """Rating by home: a 16 A post where the car never drew more, else one of 32 A."""
    usual = sessions.groupby("evse_id").est_charge_kw.median()
    return usual.apply(lambda kw: 3.68 if kw <= 3.7 else 7.36)


def _evses(sessions: pd.DataFrame, data: Path) -> pd.DataFrame:
    customers = json.loads((data / "lv_networks" / "ieee_european_lv.json").read_text())["customers"]
    phase = {customer["id"]: customer["phase"] for customer in customers}
    rated = ratings_kw(sessions)
    numbers = {home: int(home.removeprefix("LOAD")) for home in rated.index}
    since = (DAY - HISTORY - timedelta(days=1)).isoformat() + "T00:00:00Z"
    rows = [
        {
            "evse_id": home,
            "csms": CSMS,
            "dsrsp": DSRSPS[(number + 1) % 2],
            "node": FEEDER,
            "phase": phase[home],
            "rated_kw": rated[home],
            "meter_id": f"EV-{home}",
            "enrolled_from": since,
            "consented_at": since,
            "pseudonym": f"evse_{number:03d}",
        }
        for home, number in sorted(numbers.items(), key=lambda item: item[1])
    ]
    return pd.DataFrame(rows)


def _readings(sessions: pd.DataFrame) -> pd.DataFrame:
    """Half-hourly asset energy up to the walk's noon, each car charging at its post's rating from plug-in.

    Minute by minute and in pandas: a second way to the numbers the product's own simulator would give.
    """
    rated = ratings_kw(sessions)
    first = pd.Timestamp(DAY - HISTORY, tz=UTC)
    n_minute = int((pd.Timestamp(DAY, tz=UTC) + pd.Timedelta(hours=12) - first) / pd.Timedelta(minutes=1))
    frames = []
    for home, own in sessions.dropna(subset=["plug_out_utc"]).groupby("evse_id"):
        minute_kwh = np.zeros(n_minute)
        for session in own.itertuples():
            start = (pd.Timestamp(session.plug_in_utc) - first) / pd.Timedelta(minutes=1)
            stay = (pd.Timestamp(session.plug_out_utc) - pd.Timestamp(session.plug_in_utc)) / pd.Timedelta(minutes=1)
            full = min(session.energy_kwh / rated[home] * 60, stay)
            minutes = np.arange(n_minute)
            share = np.clip(np.minimum(start + full, minutes + 1) - np.maximum(start, minutes), 0, 1)
            minute_kwh += share * rated[home] / 60
        half_hours = minute_kwh.reshape(-1, 30).sum(axis=1)
        starts = pd.Series(first + np.arange(len(half_hours)) * pd.Timedelta(minutes=30))
        frames.append(
            pd.DataFrame({"meter_id": f"EV-{home}", "period_start_utc": _stamp(starts), "energy_kwh": half_hours})
        )
    return pd.concat(frames)


def load(area: RealArea) -> None:
    """Import the walk's files through the commands a user would call."""
    Organisation.objects.create(code=DNO, name="Walk DNO", kind=Organisation.Kind.DNO)
    call_command("import_network", str(area.network), dno=DNO, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    call_command("import_evses", str(area.evses), register_new=True)
    call_command("import_sessions", str(area.sessions), csms=CSMS, backfill=True)
    call_command("import_readings", str(area.readings), backfill=True)
    call_command("import_demand", str(area.demand), dno=DNO, backfill=True)
    call_command("import_prices", str(area.prices), tariff=TARIFF, column="market_index_price_gbp_mwh", backfill=True)


def _stamp(times: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    return times.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
