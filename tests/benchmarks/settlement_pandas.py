"""The settlement of the benchmark's month a second time, as one would write it with pandas: one row a half-hour.

It shares no code with the settlement: days, ranking, adjustment, sums and money are worked out anew. Money is exact
fractions here too, since pennies are compared.
"""

import hashlib
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import holidays
import numpy as np
import pandas as pd

from tests.benchmarks.settlement_seeding import FIRST_DAY, KW_AN_EVSE, LAST_DAY, MONTH, N_DAY

EVENT, WINDOW = range(34, 40), range(26, 32)  # 17:00 to 20:00 and 13:00 to 16:00 on the London clock
PRICE_GBP_PER_MWH, GRACE, SLOPE, CUTOFF, MIN_SHARE = 300, Fraction(1, 20), 3, Fraction(63, 100), 0.8


def long_table() -> pd.DataFrame:
    """Columns meter, unit, day (UTC), half_hour and kwh, one row a reading, as the database knows them."""
    from aggregator.arrays.readings import load_energy_kwh
    from aggregator.models import EVSE
    from tests.benchmarks.settlement_seeding import AS_OF

    rows = EVSE.objects.across_tenants().order_by("pk").values_list("meter_id", "pk", "meter__organisation__code")
    meters, evses, units = (np.array(column) for column in zip(*rows, strict=True))
    parts = []
    for at in range(0, len(meters), 1_000):
        some = slice(at, at + 1_000)
        energy = load_energy_kwh(meter_pks=meters[some], first_day=FIRST_DAY, last_day=LAST_DAY, as_of=AS_OF)
        n_day = energy.n_day
        frame = pd.DataFrame(
            {
                "evse": np.repeat(evses[some], n_day * 48),
                "unit": pd.Categorical(np.repeat(units[some], n_day * 48), sorted(set(units))),
                "starts_at": np.tile(
                    np.datetime64(FIRST_DAY, "s") + np.arange(n_day * 48) * np.timedelta64(1800, "s"), len(evses[some])
                ),
                "kwh": energy.energy_kwh.ravel(),
            }
        )
        parts.append(frame.dropna(subset="kwh"))
    return pd.concat(parts, ignore_index=True)


def settle_long(table: pd.DataFrame) -> dict[str, Any]:
    """Payments by event and DSRSP, and a digest of every EVSE's baselines and metered energy."""
    local = table["starts_at"].dt.tz_localize("UTC").dt.tz_convert("Europe/London")
    frame = table.assign(clock=local.dt.hour * 2 + local.dt.minute // 30, day=local.dt.tz_localize(None).dt.normalize())
    frame["quanta"] = np.floor(frame["kwh"] * 10_000 + 0.5 + 1e-6)
    frame = frame[frame["clock"].isin([*EVENT, *WINDOW])][["evse", "unit", "day", "clock", "quanta"]]
    evses = table.groupby("evse", observed=True)["unit"].first().sort_index()
    free = holidays.country_holidays("GB", subdiv="ENG", years=[2025])
    digest, paid = hashlib.sha256(), {}
    for number in range(N_DAY):
        day = MONTH + timedelta(days=number)
        span = frame[(frame["day"] >= pd.Timestamp(day - timedelta(days=60))) & (frame["day"] <= pd.Timestamp(day))]
        baseline = _baseline(span.rename(columns={"evse": "row"}), day, free).reindex(
            index=evses.index, columns=list(EVENT)
        )
        today = span[(span["day"] == pd.Timestamp(day)) & span["clock"].isin(EVENT)]
        metered = today.pivot(index="evse", columns="clock", values="quanta").reindex(
            index=evses.index, columns=list(EVENT)
        )
        for values in (baseline, metered):
            digest.update(np.where(values.isna(), -(2**31), values).astype(">i4").tobytes())
        counted = evses[metered.notna().all(axis=1)]
        own = _portfolios(span[span["evse"].isin(counted.index)], counted)
        by_unit = _baseline(own, day, free).reindex(columns=list(EVENT))
        for unit in evses.cat.categories:
            total = metered.loc[counted.index[counted == unit]].sum()
            paid[f"EVENING-{number:02} {unit}"] = _payment(by_unit.loc[unit] - total, len(evses))
    return {"paid": paid, "sha256": digest.hexdigest(), "n_settled_days": N_DAY * len(evses)}


def _portfolios(span: pd.DataFrame, counted: pd.Series) -> pd.DataFrame:
    """One row a portfolio and half-hour; scaled up to all counted meters, unknown below the least share of them."""
    sums = span.groupby(["unit", "day", "clock"], observed=True)["quanta"].agg(["sum", "count"]).reset_index()
    n_evse = sums["unit"].astype(str).map(counted.value_counts().rename(index=str))
    sums["quanta"] = np.floor(sums["sum"] * n_evse / sums["count"] / 10_000 * 10_000 + 0.5 + 1e-6)
    return sums[sums["count"] >= MIN_SHARE * n_evse].rename(columns={"unit": "row"})[["row", "day", "clock", "quanta"]]


def _baseline(span: pd.DataFrame, day: date, free: Any) -> pd.DataFrame:
    """(row, clock) mid 8-in-10 or 2-in-4 with its same-day adjustment, in whole quanta."""
    is_working, n_days = _is_working(day, free), 10 if _is_working(day, free) else 4
    called = [MONTH + timedelta(days=number) for number in range(N_DAY)]
    candidates = [
        pd.Timestamp(past)
        for past in (day - timedelta(days=back) for back in range(1, 61))
        if _is_working(past, free) == is_working and past not in called and past != date(2025, 10, 26)
    ]
    history = span[span["day"].isin(candidates)]
    is_event = history["clock"].isin(EVENT)
    days = history.assign(of_event=history["quanta"].where(is_event, 0.0)).groupby(["row", "day"], observed=True)
    totals = days.agg(n=("quanta", "count"), total=("of_event", "sum")).reset_index()
    newest = totals[totals["n"] == len(EVENT) + len(WINDOW)].sort_values(["row", "day"]).groupby("row").tail(n_days)
    ranked = newest.sort_values(["row", "total", "day"], kind="stable")
    place = ranked.groupby("row").cumcount()
    found = ranked.groupby("row")["day"].transform("count")
    kept = ranked[(place >= 1) & (place < found - 1)][["row", "day"]]
    means = history.merge(kept, on=["row", "day"]).groupby(["row", "clock"], observed=True)["quanta"].mean()
    window = span[(span["day"] == pd.Timestamp(day)) & span["clock"].isin(WINDOW)].set_index(["row", "clock"])["quanta"]
    above = (window - means.reindex(window.index)).dropna().groupby("row").agg(["mean", "count"])
    adjustment = above["mean"].where(above["count"] >= 3, 0.0)
    unadjusted = means.unstack()[list(EVENT)]
    adjusted = unadjusted.add(adjustment.reindex(unadjusted.index).fillna(0.0), axis=0)
    rounded: pd.DataFrame = np.floor(adjusted.clip(lower=0.0) + 0.5 + 1e-6)
    return rounded


def _is_working(day: date, free: Any) -> bool:
    return day.weekday() < 5 and day not in free


def _payment(delivered: pd.Series, n_fleet: int) -> str:
    """Flexible Power's rule of 2018 on the energy instructed."""
    ordered = 6 * round(KW_AN_EVSE * n_fleet / 3 * 0.5 * 10_000)
    share = Fraction(min(int(delivered.sum()), ordered), ordered)
    share = min(max(share, Fraction(0)), Fraction(1))
    factor = Fraction(0) if share < CUTOFF else max(1 - SLOPE * max(1 - GRACE - share, Fraction(0)), Fraction(0))
    pence = int(Fraction(ordered, 10_000_000) * PRICE_GBP_PER_MWH * factor * 100 + Fraction(1, 2))
    return f"{pence // 100}.{pence % 100:02}"
