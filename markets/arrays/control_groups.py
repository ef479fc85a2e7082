"""Control groups as arrays: whom a request spares, and who of them is compared with whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from django.db.models import Q, QuerySet

from aggregator.arrays.network import with_nodes_above
from aggregator.core.timegrid import LONDON
from aggregator.core.types import BoolArray, IntArray
from aggregator.models import Enrolment, NetworkNode
from dispatch.models import SparedEvse, TargetSignal
from markets.core.baseline_given import ControlGroupRule
from markets.core.baseline_methods import METHODS
from markets.core.control_group import turn_on
from markets.models import ControlGroup, ControlGroupMember, FlexEvent, Product

COMPARED = tuple(name for name, method in METHODS.items() if isinstance(method.rule, ControlGroupRule))
STATED = ("valid_from", "valid_until", "n_evse", "rotates", "n_turn", "seed")
NO_INDEX: IntArray = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """EVSEs of the control groups of an event's DSRSPs.

    Attributes:
        evse_pks, meter_pks: (n_control,) by key.
        unit: (n_control,) index of each one's DSRSP among the portfolios.
        in_zone: (n_control,) whether it hangs at or below the event's node: a group may be of a wider zone.
    """

    evse_pks: IntArray
    meter_pks: IntArray
    unit: IntArray
    in_zone: BoolArray


NOBODY = HeldOut(NO_INDEX, NO_INDEX, NO_INDEX, np.zeros(0, dtype=np.bool_))


def is_compared(product: Product) -> bool:
    """Whether a product's baseline is a control group's."""
    return product.baseline_method in COMPARED


def spared_evses(*, event: FlexEvent) -> IntArray:
    """(n_spared,) EVSEs that an event does not call on, by key: as fixed with its request, else as groups stand now."""
    if not is_compared(event.product):
        return NO_INDEX
    if event.signal.pk is None:
        members = members_to_spare(product=event.product, signal=event.signal)
        return np.array([member.evse_id for member in members], dtype=np.int64)
    spared = SparedEvse.objects.across_tenants().filter(signal=event.signal_id).order_by("evse")
    return np.array(list(spared.values_list("evse", flat=True)), dtype=np.int64)


def members_to_spare(*, product: Product, signal: TargetSignal) -> list[ControlGroupMember]:
    """Whom the control groups known when a request was received keep out of it, by EVSE.

    Of each DSRSP the group of the nearest node at or above the request's; the day is that of the request's start.
    """
    day = signal.starts_at.astimezone(LONDON).date()
    found: dict[int, ControlGroup] = {}
    for node in with_nodes_above(signal.node):
        for group in groups_on(product=product, node=node, day=day, known_at=signal.received_at):
            found.setdefault(group.organisation_id, group)
    members = [member for group in found.values() for member in members_on(group, day)]
    return sorted(members, key=lambda member: member.evse_id)


def groups_on(*, product: Product, node: NetworkNode, day: date, known_at: datetime | None) -> list[ControlGroup]:
    """The group of each DSRSP that stands at exactly a node on a day: of several valid ones the last recorded.

    Args:
        known_at: of those recorded by then; None for all.
    """
    valid = ControlGroup.objects.across_tenants().filter(
        Q(valid_until__isnull=True) | Q(valid_until__gte=day),
        product__code=product.code,
        node=node,
        valid_from__lte=day,
    )
    if known_at is not None:
        valid = valid.filter(recorded_at__lte=known_at)
    return list({group.organisation_id: group for group in valid.order_by("pk")}.values())


def members_on(group: ControlGroup, day: date) -> "QuerySet[ControlGroupMember]":
    """The members whose turn it is on a day, by EVSE."""
    turn = turn_on(day, valid_from=group.valid_from, rotates=group.rotates, n_turn=group.n_turn)
    return ControlGroupMember.objects.across_tenants().filter(group=group, turn=turn).order_by("evse")


def store_spared(*, signal: TargetSignal, members: list[ControlGroupMember]) -> int:
    """Fix whom a request spares."""
    rows = [SparedEvse(signal=signal, evse_id=one.evse_id, organisation_id=one.organisation_id) for one in members]
    return len(SparedEvse.objects.across_tenants().bulk_create(rows))


def load_held_out(*, evse_pks: IntArray, unit_of: Mapping[int, int], zone_pks: IntArray, at: datetime) -> HeldOut:
    """Load those of some EVSEs that are enrolled at an instant with a DSRSP of an event.

    Args:
        unit_of: index of each DSRSP by key.
        zone_pks: EVSEs in the event's zone.
    """
    if not len(evse_pks):
        return NOBODY
    enrolled = Enrolment.objects.across_tenants().filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=at), starts_at__lte=at, evse__in=evse_pks.tolist(), dsrsp__in=unit_of
    )
    rows = list(enrolled.order_by("evse").values_list("evse", "evse__meter", "dsrsp"))
    found = np.array([row[0] for row in rows], dtype=np.int64)
    return HeldOut(
        evse_pks=found,
        meter_pks=np.array([row[1] for row in rows], dtype=np.int64),
        unit=np.array([unit_of[row[2]] for row in rows], dtype=np.int64),
        in_zone=np.isin(found, zone_pks),
    )


def store_group(*, group: ControlGroup, turns: IntArray) -> tuple[ControlGroup, bool]:
    """Add a group with (n_turn, n_evse) EVSEs by key, unless the last of its zone says the same; and whether it did."""
    last = (
        ControlGroup.objects.across_tenants()
        .filter(organisation=group.organisation, product__code=group.product.code, node=group.node)
        .order_by("-pk")
        .first()
    )
    wanted = [(evse_pk, turn) for turn, evse_pks in enumerate(turns.tolist()) for evse_pk in evse_pks]
    if last is not None and all(getattr(last, name) == getattr(group, name) for name in STATED):
        members = ControlGroupMember.objects.across_tenants().filter(group=last)
        if sorted(members.values_list("evse", "turn")) == sorted(wanted):
            return last, False
    group.save(force_insert=True)
    ControlGroupMember.objects.across_tenants().bulk_create(
        ControlGroupMember(group=group, evse_id=evse_pk, organisation=group.organisation, turn=turn)
        for evse_pk, turn in wanted
    )
    return group, True
