"""Change what network nodes may carry: from now or later, never in the past, and on two people's word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from aggregator.core.control import ActFigures
from aggregator.core.errors import FlexError
from aggregator.core.limit_change import LIMITS, LimitChange, LimitRefused, as_json, check_changes, from_json
from aggregator.models import ControlAct, NetworkNode, NodeRating, Organisation
from aggregator.services.batches import lock_ingest
from aggregator.services.control_acts import ask_control_act
from aggregator.services.event_log import record_event

KIND = "change_limits"
NODES_NAMED = 3

Rated = dict[str, float | str | None]


class LimitsChangedSince(FlexError):
    code = "limits.changed_since"


@dataclass(frozen=True, slots=True)
class PlannedLimit:
    """One node's rating as it is when the change starts, and as it would be; ``before`` is None where it has none."""

    node: NetworkNode
    change: LimitChange
    before: Rated | None
    after: Rated


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """What a change of limits would do; nothing of it is stored."""

    limits: tuple[PlannedLimit, ...]
    figures: ActFigures


def plan_limits(*, organisation: Organisation, changes: Sequence[LimitChange], now: datetime) -> LimitPlan:
    """Check a change of limits and say what it would do, without doing it.

    Raises:
        LimitRefused: a figure out of its bounds, a node that is not the organisation's own, a start in the past or one
            at which another rating starts.
    """
    check_changes(changes, now=now)
    own = NetworkNode.objects.filter(organisation=organisation, code__in=[change.node for change in changes])
    nodes = {node.code: node for node in own}
    planned = tuple(_planned(nodes.get(change.node), change, organisation, now) for change in changes)
    return LimitPlan(limits=planned, figures=ActFigures(n_limits=len(planned)))


def ask_change_limits(
    *,
    organisation: Organisation,
    changes: Sequence[LimitChange],
    reason: str,
    asked_by_pk: int | None,
    now: datetime,
) -> ControlAct:
    """Ask for a change of limits; it is kept until a second person agrees, unless the thresholds say otherwise.

    Raises:
        LimitRefused: as for ``plan_limits``.
        ControlActRefused: no reason, or too long a one.
    """
    plan = plan_limits(organisation=organisation, changes=changes, now=now)
    starts = [change.valid_from for change in changes if change.valid_from]
    return ask_control_act(
        kind=KIND,
        organisation=organisation,
        subject=_named([change.node for change in changes]),
        payload={"changes": [{**as_json(limit.change), "before": limit.before} for limit in plan.limits]},
        figures=plan.figures,
        reason=reason,
        asked_by_pk=asked_by_pk,
        now=now,
        not_after=min(starts, default=None),
    )


def limit_figures(*, payload: Mapping[str, list[object]], organisation: Organisation, now: datetime) -> ActFigures:
    """What an act of this kind moves, looked at again."""
    del organisation, now  # a change of limits does not grow
    return ActFigures(n_limits=len(payload["changes"]))


def do_change_limits(*, act: ControlAct, now: datetime) -> dict[str, object]:
    """Make the change: each node's rating in force ends where the new one starts; one that starts later stays.

    Raises:
        LimitRefused: as for ``plan_limits``; a node may have changed hands, a start have passed.
        LimitsChangedSince: a rating is not what those who agreed were shown.
    """
    stated = act.payload["changes"]
    changes = [from_json(change) for change in stated]
    with transaction.atomic():
        lock_ingest(act.organisation)  # as an import of network data does
        plan = plan_limits(organisation=act.organisation, changes=changes, now=now)
        for limit, asked in zip(plan.limits, stated, strict=True):
            _refuse_other(limit, asked["before"])
            _store(limit, source=f"control act {act.pk}", now=now)
        after = {limit.node.code: limit.after for limit in plan.limits}
        record_event(
            action="limits.changed",
            subject=f"limits of {_named(list(after))}",
            organisation=act.organisation,
            reason=act.reason,
            before={limit.node.code: limit.before for limit in plan.limits},
            after=after,
            at=now,
        )
    return {"limits": after}


def _planned(node: NetworkNode | None, change: LimitChange, organisation: Organisation, now: datetime) -> PlannedLimit:
    if node is None:
        raise LimitRefused(
            f"{organisation.code} has no network node {change.node!r}",
            field="node",
            id=change.node,
            value=change.node,
            expected="a node of one's own network",
        )
    starts_at = change.valid_from or now
    if node.ratings.filter(valid_from=starts_at).exists():
        raise LimitRefused(
            f"node {node.code} has another rating from {starts_at.isoformat()} on already",
            field="valid_from",
            id=node.code,
            value=starts_at.isoformat(),
            expected="a start of its own",
        )
    before = _in_force(node, starts_at)
    after: Rated = {"valid_from": starts_at.isoformat(), **{name: getattr(change, name) for name in LIMITS}}
    return PlannedLimit(node=node, change=change, before=_rated(before) if before else None, after=after)


def _in_force(node: NetworkNode, at: datetime) -> NodeRating | None:
    return node.ratings.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=at), valid_from__lte=at).first()


def _rated(rating: NodeRating) -> Rated:
    return {"valid_from": rating.valid_from.isoformat(), **{name: getattr(rating, name) for name in LIMITS}}


def _refuse_other(limit: PlannedLimit, shown: Rated | None) -> None:
    if limit.before != shown:
        raise LimitsChangedSince(
            f"node {limit.node.code}: its rating was changed since this was asked; ask anew", id=limit.node.code
        )


def _store(limit: PlannedLimit, *, source: str, now: datetime) -> None:
    starts_at = limit.change.valid_from or now
    later = limit.node.ratings.filter(valid_from__gt=starts_at).order_by("valid_from").first()
    before = _in_force(limit.node, starts_at)
    if before:
        before.valid_to = starts_at
        before.save(update_fields=["valid_to"])
    NodeRating.objects.create(
        node=limit.node,
        valid_from=starts_at,
        valid_to=later.valid_from if later else None,
        source=source,
        **{name: getattr(limit.change, name) for name in LIMITS},
    )


def _named(codes: list[str]) -> str:
    more = f" and {len(codes) - NODES_NAMED} more" if len(codes) > NODES_NAMED else ""
    return f"{', '.join(codes[:NODES_NAMED])}{more}"
