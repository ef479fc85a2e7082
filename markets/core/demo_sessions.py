"""Charging sessions of the demo: persistent habits of each EVSE, drawn so that the whole looks as published.

Every charging day (London noon to noon) an EVSE that is free may start one stay: a night, a short top-up, or a long
stay. Hours are counted from noon. Published figures the mixture is fitted to, and how well: docs/demo.md.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.core.local_clock import ChargingDays, charging_days
from aggregator.core.sessions import SessionHistory
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from markets.core.demo_calendar import FIRST_DAY, N_HISTORY_DAY, day_types, demo_stream
from markets.core.demo_fleet import DESTINATION, DemoFleet

NIGHT, SHORT, LONG, VISIT = 0, 1, 2, 3
N_KIND = 4
# A stay of three minutes or less, or without energy, is left out of the published figures.
MIN_STAY_H, MIN_ENERGY_KWH = 0.1, 0.3
MAX_STAY_H = 6.5 * 24
MAX_ENERGY_KWH = 95.0
TURNAROUND_H = 1 / 6
# Charging tapers and starts late: a short stay takes a little less than rating times time.
USABLE_SHARE = 0.97


@dataclass(frozen=True, slots=True)
class Habits:
    """What stays the same about an EVSE's user from week to week.

    Attributes:
        chance_working, chance_other: (n_evse,) of starting a stay on a charging day, if the EVSE is free.
        arrive_h, leave_h: (n_evse,) usual hours past noon of a night's plug-in and plug-out.
        kind_share: (n_evse, n_kind) how its stays divide.
        energy_kwh: (n_evse,) usual energy of a stay; energy_spread: (n_evse,) of its logarithm.
    """

    chance_working: FloatArray
    chance_other: FloatArray
    arrive_h: FloatArray
    leave_h: FloatArray
    kind_share: FloatArray
    energy_kwh: FloatArray
    energy_spread: FloatArray


@dataclass(frozen=True, slots=True)
class Stays:
    """(n,) stays of one charging day, in hours past its noon."""

    evse: IntArray
    starts_h: FloatArray
    ends_h: FloatArray
    energy_kwh: FloatArray


def demo_habits(fleet: DemoFleet, seed: int) -> Habits:
    """Draw one set of habits per EVSE; destination EVSEs have visitors instead of one user."""
    rng = demo_stream("habits", seed)
    n = len(fleet)
    is_destination = fleet.scenarios == DESTINATION
    chance = np.clip(rng.beta(2.4, 2.5, n), 0.08, 0.97)
    chance = np.where(is_destination, 0.75, chance)
    small_battery = rng.random(n) < 0.55
    usual_kwh = np.where(small_battery, 6.8, 10.3) * np.exp(rng.normal(0, 0.22, n))
    return Habits(
        chance_working=chance,
        chance_other=np.clip(chance * np.where(is_destination, 1.1, 0.93), 0, 1),
        arrive_h=np.clip(rng.normal(7.3, 2.2, n), 3.5, 12.0),
        leave_h=np.clip(rng.normal(19.6, 0.9, n), 17.0, 23.0),
        kind_share=_kind_shares(is_destination, rng),
        energy_kwh=usual_kwh,
        energy_spread=np.where(small_battery, 0.36, 0.64),
    )


def _kind_shares(is_destination: BoolArray, rng: np.random.Generator) -> FloatArray:
    shares = np.zeros((len(is_destination), N_KIND))
    shares[:, : N_KIND - 1] = rng.dirichlet([2.3, 2.25, 1.1], size=len(is_destination))
    shares[is_destination] = np.eye(N_KIND)[VISIT]
    return shares


def demo_sessions(fleet: DemoFleet, seed: int) -> SessionHistory:
    """Draw every session from the first day of history to the end of the charging day, none overlapping another.

    ``known_at`` is the plug-out: a session is reported when it ends. Sessions are ordered by plug-in, then EVSE.

    Source: docs/demo.md
    """
    habits, rng = demo_habits(fleet, seed), demo_stream("sessions", seed)
    days = charging_days(FIRST_DAY, N_HISTORY_DAY + 1)
    is_working = day_types().of(days.dates())
    free_from_h = np.full(len(fleet), -np.inf)  # hours past the first noon
    drawn = []
    for day in range(days.n_day):
        stays = draw_stays(habits, fleet.rated_kw, bool(is_working[day]), free_from_h - 24 * day, rng)
        free_from_h[stays.evse] = stays.ends_h + 24 * day + TURNAROUND_H
        drawn.append((day, stays))
    return _history(fleet, days, drawn)


def draw_stays(
    habits: Habits, rated_kw: FloatArray, is_working: bool, free_from_h: FloatArray, rng: np.random.Generator
) -> Stays:
    """Draw the stays of one charging day.

    Args:
        rated_kw: (n_evse,).
        free_from_h: (n_evse,) hours past this noon from which each EVSE is free again.
    """
    n = len(rated_kw)
    chance = habits.chance_working if is_working else habits.chance_other
    kind = (rng.random(n)[:, np.newaxis] > np.cumsum(habits.kind_share, axis=1)).sum(axis=1).clip(max=N_KIND - 1)
    starts_h = _starts(habits, kind, is_working, rng)
    ends_h = starts_h + _durations(habits, kind, starts_h, is_working, rng)
    energy_kwh = _energies(habits, kind, rng)
    # To the minute and to 10 Wh, as a charge point operator reports them.
    starts_h, ends_h = np.round(starts_h * 60) / 60, np.round(ends_h * 60) / 60
    most_kwh = np.minimum(USABLE_SHARE * rated_kw * (ends_h - starts_h), MAX_ENERGY_KWH)
    energy_kwh = np.floor(np.minimum(energy_kwh, most_kwh) * 100) / 100
    happens = (rng.random(n) < chance) & (starts_h >= free_from_h) & (energy_kwh >= MIN_ENERGY_KWH)
    evse = np.flatnonzero(happens & (ends_h - starts_h >= MIN_STAY_H))
    return Stays(evse, starts_h[evse], ends_h[evse], energy_kwh[evse])


def _starts(habits: Habits, kind: IntArray, is_working: bool, rng: np.random.Generator) -> FloatArray:
    """(n_evse,) hours past noon, 0 to 24."""
    n = len(kind)
    night = habits.arrive_h + rng.normal(0, 1.4 if is_working else 2.2, n)
    # Top-ups: half in the afternoon and evening, half in the morning that ends the charging day.
    is_morning = rng.random(n) < 0.50
    short = np.where(is_morning, rng.normal(21.6, 1.7, n), rng.gamma(3.2, 1.75, n))
    long = rng.normal(4.8, 2.6, n)
    visit = np.where(rng.random(n) < 0.5, rng.uniform(0.2, 7, n), rng.uniform(20, 23.5, n))
    starts_h = np.choose(kind, [night, short, long, visit])
    clipped: FloatArray = np.clip(starts_h, 0.02, 23.9)
    return clipped


def _durations(
    habits: Habits, kind: IntArray, starts_h: FloatArray, is_working: bool, rng: np.random.Generator
) -> FloatArray:
    """(n_evse,) hours plugged in."""
    n = len(kind)
    leave_h = habits.leave_h + rng.normal(0, 0.6, n) + (0 if is_working else 1.2)
    night = np.maximum(leave_h - starts_h, 1.0)
    short = np.minimum(np.exp(rng.normal(0.72, 0.68, n)), 5.5)
    # Nearly two in five long stays last for days: a weekend, a holiday, a car that is not needed.
    for_days = rng.random(n) < 0.38
    long = np.where(for_days, 24 + rng.exponential(34.0, n), rng.uniform(14.0, 24.0, n))
    visit = np.clip(rng.lognormal(0.6, 0.5, n), 0.3, 6.0)
    stay_h: FloatArray = np.clip(np.choose(kind, [night, short, long, visit]), MIN_STAY_H, MAX_STAY_H)
    return stay_h


def _energies(habits: Habits, kind: IntArray, rng: np.random.Generator) -> FloatArray:
    by_kind = np.array([1.0, 1.0, 1.12, 1.3])[kind]
    energy: FloatArray = habits.energy_kwh * by_kind * np.exp(habits.energy_spread * rng.normal(0, 1, len(kind)))
    return energy


def _history(fleet: DemoFleet, days: ChargingDays, drawn: list[tuple[int, Stays]]) -> SessionHistory:
    evse = np.concatenate([stays.evse for _, stays in drawn])
    noon = np.concatenate([np.full(len(stays.evse), days.noon_at[day]) for day, stays in drawn])
    plug_in_at = noon + _seconds(np.concatenate([stays.starts_h for _, stays in drawn]))
    plug_out_at = noon + _seconds(np.concatenate([stays.ends_h for _, stays in drawn]))
    energy_kwh = np.concatenate([stays.energy_kwh for _, stays in drawn])
    order = np.lexsort((evse, plug_in_at))
    return SessionHistory(
        evse_ids=fleet.evse_ids,
        session_ids=np.array([f"S{number:06d}" for number in range(1, len(evse) + 1)]),
        evse=evse[order].astype(np.int64),
        plug_in_at=plug_in_at[order],
        plug_out_at=plug_out_at[order],
        energy_kwh=energy_kwh[order],
        known_at=plug_out_at[order],
    )


def _seconds(hours: FloatArray) -> TimeArray:
    seconds: TimeArray = np.round(hours * 3600).astype("timedelta64[s]")
    return seconds
