"""What the baseline laboratory reads: a fleet's meters over its days, and on which it was called."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import numpy as np
from django.db.models import Q, QuerySet

from aggregator.arrays.calendar import bank_holidays
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.timegrid import settlement_day
from aggregator.models import EVSE, NetworkNode, Organisation
from markets.arrays.settlement import event_grid
from markets.core.history import local_dates
from markets.core.lab_fleet import LabFleet
from markets.models import Instruction

ONE_DAY = timedelta(days=1)


def lab_evses(*, organisation: Organisation, node: NetworkNode | None, at: datetime) -> QuerySet[EVSE]:
    """EVSEs of the fleet an organisation tests on: a DSRSP's enrolled ones, a DNO's all that hang on its network.

    Args:
        node: only those at and below it.
    """
    in_force = Q(enrolments__starts_at__lte=at) & (Q(enrolments__ends_at__isnull=True) | Q(enrolments__ends_at__gt=at))
    evses = EVSE.objects.across_tenants()
    if organisation.kind == Organisation.Kind.DSRSP:
        evses = evses.filter(in_force & Q(enrolments__dsrsp=organisation))
    else:
        evses = evses.filter(in_force, node__organisation=organisation)
    if node is not None:
        evses = evses.filter(node__in=_at_and_below(node))
    return evses.distinct()


def load_lab_fleet(
    *, evses: QuerySet[EVSE], organisation: Organisation, first_day: date, last_day: date, as_of: datetime
) -> LabFleet:
    """Load what was known at ``as_of`` of a fleet from one local day to another, both included."""
    known = list(evses.values_list("pseudonym", "meter", "rated_kw"))
    order = np.argsort(np.array([pseudonym for pseudonym, _, _ in known], dtype=np.str_))
    rows = [known[at] for at in order.tolist()]
    energy = load_energy_kwh(
        meter_pks=np.array([meter for _, meter, _ in rows], dtype=np.int64),
        first_day=first_day - ONE_DAY,
        last_day=last_day + ONE_DAY,
        as_of=as_of,
    )
    return LabFleet(
        evse_ids=np.array([pseudonym for pseudonym, _, _ in rows], dtype=np.str_),
        rated_kw=np.array([rated_kw for _, _, rated_kw in rows], dtype=np.float64),
        starts_at=np.datetime64(energy.first_day, "s"),
        energy_kwh=energy.energy_kwh.reshape(len(rows), -1),
        called=frozenset(_called_days(_instructions(organisation, first_day, last_day))),
        holidays=frozenset(bank_holidays(first_day, last_day)),
    )


def _at_and_below(node: NetworkNode) -> set[int]:
    found, found_last = {node.pk}, {node.pk}
    while found_last:
        below = NetworkNode.objects.filter(parent__in=found_last).values_list("pk", flat=True)
        found_last = set(below) - found
        found |= found_last
    return found


def _instructions(organisation: Organisation, first_day: date, last_day: date) -> "QuerySet[Instruction]":
    if organisation.kind == Organisation.Kind.DSRSP:
        instructions = Instruction.objects.for_tenant(organisation)
    else:
        instructions = Instruction.objects.across_tenants().filter(event__signal__node__organisation=organisation)
    return instructions.filter(
        event__signal__starts_at__lt=settlement_day(last_day).ends_at,
        event__signal__ends_at__gt=settlement_day(first_day).starts_at,
    ).select_related("event__signal")


def _called_days(instructions: Iterable[Instruction]) -> set[date]:
    """Local days somebody of the fleet was called on; a night has two."""
    return {day for told in instructions for day in local_dates(event_grid(told.event.signal).period_starts())}
