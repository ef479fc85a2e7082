"""Control groups: drawing one, and keeping its EVSEs out of the events of its product.

What to do, in order: a DSRSP draws a group (``draw_control_group``) for a product whose baseline is
``control-group-difference`` or ``control-group-ratio``, for a node and from a day after the one it is drawn on.
Requests received after that under the product, at or below the node, and that start on a day the group is valid, spare
the EVSEs whose turn it is: ``open_event`` fixes that, by ``spare_control_groups``. From then on nothing else is asked
for: dispatch plans them as if the request had not been made, ``instruct_event`` leaves them out, and ``settle_event``
and ``settle_month`` compare the others with them. A request received before the group was drawn has none, and its
settlement says ``baseline.control_group_too_small`` and pays nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np
from django.db import transaction

from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import find_node, load_area
from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, utc
from aggregator.core.types import IntArray, StrArray
from aggregator.models import NetworkNode, Organisation, as_platform
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.arrays.control_groups import is_compared, members_to_spare, store_group, store_spared
from markets.core.baseline_given import ControlGroupRule
from markets.core.control_group import ControlGroupRefused, check_size, draw_turns, turn_on
from markets.models import ControlGroup, FlexEvent, Product
from markets.services.rules import baseline_method

SEEDS = 2**31  # of draws whose seed nobody states
MOST_EVSES, MOST_TURNS = 100_000, 366


class UnknownControlEvse(FlexError):
    code = "baseline.unknown_control_evse"


@dataclass(frozen=True, slots=True)
class Eligible:
    """A DSRSP's EVSEs in a zone when a group begins, by pseudonym."""

    evse_pks: IntArray
    evse_ids: StrArray


def draw_control_group(
    *,
    organisation: Organisation,
    product: str,
    node: str,
    valid_from: date,
    now: datetime,
    valid_until: date | None = None,
    n_evse: int | None = None,
    seed: int | None = None,
    evses: Sequence[str] | None = None,
    rotates: str = "never",
    n_turn: int = 1,
) -> ControlGroup:
    """Record a DSRSP's control group: drawn at random with a seed, or named one by one.

    The same statement again stores nothing and gives back the group that stands. A later one stands in its place from
    its own first day on; requests received before it keep the EVSEs they were fixed with.

    Args:
        product: code of a product whose baseline is a control group's.
        node: code of the zone: of events there and below.
        valid_from, valid_until: settlement dates, both included.
        n_evse, seed: how many EVSEs at a time, and the seed of the draw.
        evses: pseudonyms instead, which do not rotate.
        rotates, n_turn: ``daily`` or ``weekly`` among so many sets of ``n_evse``.

    Raises:
        UnknownNode: no node has this code.
        ControlGroupRefused: no such product, one whose baseline is made otherwise, days that are past or the wrong way
            round, neither or both of a draw and a list, too few EVSEs, or none left to be called.
        UnknownControlEvse: one that is not the DSRSP's in the zone then.
    """
    under, zone = product_of(product), find_node(node)
    _refuse_days(valid_from, valid_until, now)
    if (evses is None) == (seed is None and n_evse is None):
        raise ControlGroupRefused("expected either a number of EVSEs with a seed, or a list of EVSEs", field="n_evse")
    with as_platform():
        eligible = eligible_evses(organisation=organisation, node=zone, valid_from=valid_from)
    turns = _turns(eligible, under, n_evse=n_evse, seed=seed, evses=evses, rotates=rotates, n_turn=n_turn)
    group = ControlGroup(
        organisation=organisation,
        product=under,
        node=zone,
        valid_from=valid_from,
        valid_until=valid_until,
        n_evse=turns.shape[1],
        rotates=rotates,
        n_turn=turns.shape[0],
        seed=seed,
        recorded_at=now,
    )
    with transaction.atomic(), as_platform():
        take_turn("control group", organisation.pk)
        stored, is_new = store_group(group=group, turns=eligible.evse_pks[turns])
        if is_new:
            _record(stored, now)
    return stored


def spare_control_groups(*, event: FlexEvent) -> int:
    """Fix whom a new event's request spares: the EVSEs of control groups known when it was received; how many.

    Call it in the transaction that makes the event, before anything is planned for it.
    """
    if not is_compared(event.product):
        return 0
    with as_platform():
        members = members_to_spare(product=event.product, signal=event.signal)
        return store_spared(signal=event.signal, members=members)


def product_of(code: str) -> Product:
    """The newest version of a product whose baseline is a control group's.

    Raises:
        ControlGroupRefused: there is none, or its baseline is made otherwise.
    """
    found = Product.objects.filter(code=code).order_by("-version").first()
    if found is None:
        raise ControlGroupRefused(f"there is no product {code[:50]!r}", field="product", value=code[:50])
    if not is_compared(found):
        raise ControlGroupRefused(
            f"{found} makes its baseline by {found.baseline_method}: it needs no control group",
            field="product",
            value=code,
        )
    return found


def products_compared() -> list[Product]:
    """The newest version of each product whose baseline is a control group's, by code."""
    newest = {product.code: product for product in Product.objects.order_by("code", "version")}
    return [product for product in newest.values() if is_compared(product)]


def least_evses(product: Product) -> int:
    """EVSEs of a control group that a product asks for at least."""
    rule = baseline_method(product)
    return rule.min_evses if isinstance(rule, ControlGroupRule) else 1


def eligible_evses(*, organisation: Organisation, node: NetworkNode, valid_from: date) -> Eligible:
    """EVSEs at and below a node that are enrolled with a DSRSP when a settlement date begins, as known now."""
    at = utc(valid_from, time(0))
    fleet = load_fleet(area=load_area(root=node, starts_at=at, ends_at=at + SETTLEMENT_PERIOD), at=at)
    own = fleet.dsrsp_pks == organisation.pk
    return Eligible(fleet.evse_pks[own], fleet.evse_ids[own])


def _turns(
    eligible: Eligible,
    product: Product,
    *,
    n_evse: int | None,
    seed: int | None,
    evses: Sequence[str] | None,
    rotates: str,
    n_turn: int,
) -> IntArray:
    """(n_turn, n_evse) indices of the eligible EVSEs."""
    n_eligible = len(eligible.evse_pks)
    if evses is None:
        if n_evse is None or seed is None:
            raise ControlGroupRefused("a draw needs a number of EVSEs and a seed", field="seed")
        check_size(n_eligible=n_eligible, n_evse=n_evse, n_turn=n_turn, rotates=rotates, min_evses=least_evses(product))
        return draw_turns(n_eligible=n_eligible, n_evse=n_evse, n_turn=n_turn, seed=seed)
    if rotates != "never" or n_turn != 1:
        raise ControlGroupRefused("a list of EVSEs does not rotate", field="rotates", value=rotates)
    named = sorted(set(evses))
    place = {evse: at for at, evse in enumerate(eligible.evse_ids.tolist())}
    unknown = [evse for evse in named if evse not in place]
    if unknown or len(named) != len(evses):
        raise UnknownControlEvse(
            f"{len(unknown)} of {len(evses)} EVSEs are not the DSRSP's in the zone, or are named twice"
            + (f", the first {unknown[0][:60]!r}" if unknown else ""),
            field="evses",
        )
    check_size(n_eligible=n_eligible, n_evse=len(named), n_turn=1, rotates="never", min_evses=least_evses(product))
    return np.array([[place[evse] for evse in named]], dtype=np.int64)


def _refuse_days(valid_from: date, valid_until: date | None, now: datetime) -> None:
    today = now.astimezone(LONDON).date()
    if valid_from <= today:
        raise ControlGroupRefused(
            f"a control group from {valid_from} is recorded on {today}, expected a later day: nobody may choose it "
            "knowing what was drawn",
            field="valid_from",
            value=valid_from.isoformat(),
        )
    if valid_until is not None and valid_until < valid_from:
        raise ControlGroupRefused(
            f"a control group from {valid_from} to {valid_until}, expected a last day no earlier than the first",
            field="valid_until",
            value=valid_until.isoformat(),
        )


def _record(group: ControlGroup, now: datetime) -> None:
    record_event(
        action="control_group.record",
        subject=f"control group of {group.organisation.code} at {group.node.code}",
        organisation=group.organisation,
        after={
            "control_group": group.pk,
            "product": group.product.code,
            "valid_from": group.valid_from.isoformat(),
            "valid_until": group.valid_until.isoformat() if group.valid_until else None,
            "n_evse": group.n_evse,
            "rotates": group.rotates,
            "n_turn": group.n_turn,
            "seed": group.seed,
        },
        at=now,
    )


def turn_of(group: ControlGroup, day: date) -> int:
    """Which set of a group's EVSEs is kept out on a settlement date, the first being 0."""
    return turn_on(day, valid_from=group.valid_from, rotates=group.rotates, n_turn=group.n_turn)
