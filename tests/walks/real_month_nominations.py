"""Baselines that the DSRSPs of the real month nominate: weekly, from what each could know by then.

On each Sunday at 11:00, an hour before the first deadline, a DSRSP nominates Monday to Sunday of each product: the mean
of its own meters at the same clock time on the newest like days before that Sunday on which its feeder was not called,
10 working days or 4 others. Of one week it forgets one product (``FORGOTTEN``), and one correction comes three hours
after the deadline (``LATE``).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from aggregator.models import Organisation
from markets.core.nominations import NominatedDay
from markets.services.nominations import Handed, submit_nominations
from tests.walks.real_month import DSRSPS, RealMonth, is_working, node_code

OPERATOR = "ssen"
NOMINATED = ("ssen-scheduled", "ssen-transition-dynamic", "ssen-transition-secure")
SUNDAYS = tuple(date(2024, 12, 29) + timedelta(weeks=week) for week in range(5))
HANDED_AT, LATE_AT = time(11), time(15)
N_WORKING, N_OTHER = 10, 4


@dataclass(frozen=True)
class Special:
    """One DSRSP's one day of one product."""

    product: str
    dsrsp: str
    day: date


FORGOTTEN = Special("ssen-transition-dynamic", DSRSPS[0], date(2025, 1, 12))
LATE = Special("ssen-scheduled", DSRSPS[1], date(2025, 1, 14))
LATE_FACTOR = 3


def nominate(month: RealMonth) -> None:
    """Hand in every week's nominations, and the late one."""
    for sunday in SUNDAYS:
        days = [sunday + timedelta(days=at) for at in range(1, 8)]
        for dsrsp in DSRSPS:
            for product in NOMINATED:
                if (product, dsrsp) == (FORGOTTEN.product, FORGOTTEN.dsrsp) and FORGOTTEN.day in days:
                    continue
                powers = [NominatedDay(day, usual_kw(month, dsrsp, day, sunday)) for day in days]
                assert _hand_in(product, dsrsp, powers, datetime.combine(sunday, HANDED_AT, tzinfo=UTC)).late == ()
    sunday = max(one for one in SUNDAYS if one < LATE.day)
    corrected = NominatedDay(LATE.day, LATE_FACTOR * usual_kw(month, LATE.dsrsp, LATE.day, sunday))
    eve = datetime.combine(LATE.day - timedelta(days=1), LATE_AT, tzinfo=UTC)
    assert _hand_in(LATE.product, LATE.dsrsp, [corrected], eve).late == (LATE.day,)


def usual_kw(month: RealMonth, dsrsp: str, day: date, before: date) -> np.ndarray:
    """(48,) power of a DSRSP's EVSEs in the zone by the clock's half-hours (London keeps to UTC all these months)."""
    fleet_kw = 2 * month.energy_kwh[month.homes(OPERATOR, dsrsp)].sum(axis=1).to_numpy().reshape(-1, 48)
    days = month.energy_kwh.index[::48].date
    free = [at for at, one in enumerate(days) if one < before and one not in month.called[OPERATOR]]
    alike = [at for at in free if is_working(days[at]) == is_working(day)]
    newest = alike[-(N_WORKING if is_working(day) else N_OTHER) :]
    return np.round(fleet_kw[newest].mean(axis=0), 2)


def _hand_in(product: str, dsrsp: str, days: list[NominatedDay], at: datetime) -> Handed:
    organisation = Organisation.objects.get(code=dsrsp)
    return submit_nominations(organisation=organisation, product=product, node=node_code(OPERATOR), days=days, now=at)
