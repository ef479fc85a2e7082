"""Working days of the GB market, from the public bank-holiday calendar of England."""

from datetime import date, timedelta

import holidays

from aggregator.core.local_clock import DayTypes, working_days


def bank_holidays(first_day: date, last_day: date) -> set[date]:
    """Bank holidays of England from ``first_day`` to ``last_day``, both included."""
    calendar = holidays.country_holidays("GB", subdiv="ENG", years=range(first_day.year, last_day.year + 1))
    return {day for day in calendar if first_day <= day <= last_day}


def day_types(first_day: date, last_day: date) -> DayTypes:
    """Working days (weekdays that are no bank holiday) from ``first_day`` to ``last_day``, both included."""
    free = bank_holidays(first_day, last_day)
    days = [first_day + timedelta(days=index) for index in range((last_day - first_day).days + 1)]
    return DayTypes(first_day, working_days(days, free))
