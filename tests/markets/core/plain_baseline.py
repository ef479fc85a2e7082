"""The baseline of one meter worked out the slow way: day by day, half-hour by half-hour, in exact fractions."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from math import floor

from aggregator.core.timegrid import LONDON


@cache
def half_hours(last_day, n_days=70):
    """UTC half-hours of London days up to and including ``last_day``."""
    first = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC) - timedelta(days=n_days)
    return tuple(first + timedelta(minutes=30 * index) for index in range(48 * (n_days + 2)))


@cache
def london(at):
    return at.astimezone(LONDON)


class PlainBaseline:
    def __init__(self, meter, grid, rule, holidays, event_days):
        self.rule, self.holidays, self.event_days = rule, holidays, event_days
        self.event = grid.starts()
        gap_end = grid.starts_at - timedelta(minutes=30 * rule.adjustment_gap_periods)
        self.window = [gap_end - timedelta(minutes=30 * back) for back in range(rule.adjustment_periods, 0, -1)]
        self.meter = {at: Fraction(round(kwh * 10_000)) for at, kwh in meter.items()}
        self.by_clock, halves = {}, {}
        for at in half_hours(grid.ends_at.date(), n_days=66):
            local = london(at)
            halves[local.date()] = halves.get(local.date(), 0) + 1
            self.by_clock[local.date(), local.time()] = self.meter.get(at)
        self.normal_days = {day for day, count in halves.items() if count == 48}
        self.first_event_day = london(self.event[0]).date()

    def working(self, day):
        return day.isoweekday() not in (6, 7) and day not in self.holidays

    def needed(self, day, instants):
        return [london(at).time() for at in instants if london(at).date() == day]

    def eligible(self, day):
        """Newest first."""
        times = self.needed(day, self.event) + self.needed(day, self.window)
        found = []
        for back in range(1, self.rule.lookback_days + 1):
            past = day - timedelta(days=back)
            if past >= self.first_event_day or past in self.event_days or past not in self.normal_days:
                continue
            if self.working(past) != self.working(day):
                continue
            if any(self.by_clock.get((past, time)) is None for time in times):
                continue
            found.append(past)
        return found

    def wanted(self, day):
        return self.rule.n_working_days if self.working(day) else self.rule.n_non_working_days

    def total(self, day, past):
        """What ``past`` ranks by: its event half-hours, or its window's where ``day`` has no event half-hour."""
        times = self.needed(day, self.event) or self.needed(day, self.window)
        return sum(self.by_clock[past, time] for time in times)

    def chosen(self, day):
        found = self.eligible(day)
        if self.rule.selection == "highest":
            found.sort(key=lambda past: (self.total(day, past), past), reverse=True)
        return found[: self.wanted(day)]

    def kept(self, day):
        days = self.chosen(day)
        n_drop = self.rule.n_drop_working if self.working(day) else self.rule.n_drop_non_working
        if len(days) <= 2 * n_drop:
            return None
        ranked = sorted(days, key=lambda past: (self.total(day, past), past))
        n_kept = self.rule.n_kept_working if self.working(day) else self.rule.n_kept_non_working
        return ranked[n_drop : len(ranked) - n_drop] if n_kept is None else ranked[-n_kept:]

    def unadjusted(self, at):
        local = london(at)
        kept = self.kept(local.date())
        return None if kept is None else sum(self.by_clock[past, local.time()] for past in kept) / len(kept)

    def adjusted(self, unadjusted):
        """The (possibly missing) unadjusted quanta of each half-hour, adjusted."""
        rule = self.rule
        pairs = [(self.meter.get(at), self.unadjusted(at)) for at in self.window]
        pairs = [(metered, expected) for metered, expected in pairs if metered is not None and expected is not None]
        known = [value for value in unadjusted if value is not None]
        if rule.adjustment == "monitored" or not self.window or len(pairs) < rule.min_adjustment_periods:
            return unadjusted
        metered, expected = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        share = None if rule.adjustment_cap_share is None else Fraction(rule.adjustment_cap_share)
        if rule.adjustment == "ratio":
            ratio = metered / expected if expected > 0 else Fraction(1)
            if share is not None:
                ratio = min(max(ratio, 1 - share), 1 + share)
            return [None if value is None else value * ratio for value in unadjusted]
        added = (metered - expected) / len(pairs)
        if share is not None:
            largest = share * abs(sum(known) / max(len(known), 1))
            added = min(max(added, -largest), largest)
        return [None if value is None else value + added for value in unadjusted]

    def n_days(self):
        return [len(self.chosen(london(at).date())) for at in self.event]

    def baseline_kwh(self):
        return [self.on_grid(value) for value in self.adjusted([self.unadjusted(at) for at in self.event])]

    def on_grid(self, quanta):
        if quanta is None:
            return None
        # Halves away from zero; what is nearer to a half than a millionth of a quantum counts as one.
        whole = floor(abs(quanta) + Fraction(1, 2) + Fraction(1, 10**6)) * (-1 if quanta < 0 else 1)
        return (max(whole, 0) if self.rule.floor_at_zero else whole) / 10_000
