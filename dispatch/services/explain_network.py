"""A setpoint explained to who runs the network, and may not know when the EVSE's user is at home."""

from collections.abc import Mapping, Sequence

from aggregator.models import NetworkNode, Organisation
from dispatch.core.explain_words import gbp
from dispatch.core.explanation import ExplainedPeriod, Explanation, LimitLine, RequestLine
from dispatch.models import IssuedSetpoint, RunNode, Setpoint
from dispatch.queries import run_nodes_seen_by, run_requests_seen_by
from dispatch.services.explain_shared import NEAR_GBP_PER_KWH, parameters_of, price_of, title
from dispatch.services.plans import shown_nodes_in


def explain_network(setpoint: Setpoint, issued: IssuedSetpoint | None, organisation: Organisation) -> Explanation:
    """What stands on the EVSE's path, for who may not know when its user is at home."""
    run = setpoint.run
    price = price_of(run, parameters_of(run))
    rows = _path_rows(setpoint, organisation)
    shown = shown_nodes_in([run], organisation)[run.pk]
    requests = run_requests_seen_by(organisation).filter(run=run, signal__node__in=[row.node_id for row in rows])
    periods = []
    for t in range(run.n_period):
        limits = tuple(
            LimitLine(row.node.code, title(row.node), row.price_gbp_per_kwh[t])
            for row in rows
            if row.node.code in shown and row.price_gbp_per_kwh[t] > NEAR_GBP_PER_KWH
        )
        asked = tuple(
            RequestLine(one.signal.reference, one.signal.direction, one.signal.node.code, None)
            for one in requests
            if one.start_period <= t < one.end_period
        )
        periods.append(_network_period(t, setpoint, issued, float(price[t]), limits, asked))
    hidden = [row.node.code for row in rows if row.node.code not in shown]
    return Explanation(
        run=run.pk,
        area=run.area.code,
        charging_day=run.charging_day,
        evse=setpoint.evse.pseudonym,
        node=setpoint.evse.node.code,
        grid=run.grid,
        is_whole=False,
        energy_kwh=None,
        unserved_kwh=None,
        unserveable_kwh=None,
        worth_gbp_per_kwh=None,
        summary=tuple(_network_summary(periods, hidden)),
        unserved=None,
        periods=tuple(periods),
    )


def _path_rows(setpoint: Setpoint, organisation: Organisation) -> list[RunNode]:
    """Rows of the nodes on the EVSE's path that an organisation sees, the nearest first."""
    found: list[RunNode] = []
    at, seen = setpoint.evse.node_id, set[int]()
    rows = run_nodes_seen_by(organisation).filter(run=setpoint.run)
    while at and at not in seen:
        seen.add(at)
        row = rows.filter(node=at).first()
        found += [row] if row else []
        at = NetworkNode.objects.filter(pk=at).values_list("parent", flat=True).first() or 0
    return found


def _network_period(
    t: int,
    setpoint: Setpoint,
    issued: IssuedSetpoint | None,
    price: float,
    limits: tuple[LimitLine, ...],
    requests: tuple[RequestLine, ...],
) -> ExplainedPeriod:
    full = [f"{line.name} is full: one more kW is worth {gbp(line.gbp_per_kwh or 0.0)}" for line in limits]
    asked = [f"{line.direction.replace('_', '-')} request {line.reference} at {line.node}" for line in requests]
    starts_at = setpoint.run.grid.starts_at + t * setpoint.run.grid.step
    return ExplainedPeriod(
        starts_at=starts_at,
        ends_at=starts_at + setpoint.run.grid.step,
        setpoint_a=setpoint.setpoint_a[t],
        setpoint_kw=setpoint.setpoint_kw[t],
        told_kw=issued.setpoint_kw[t] if issued else None,
        planned_kw=None,
        tariff_gbp_per_kwh=price,
        limits=limits,
        requests=requests,
        ramp_gbp_per_kwh=None,
        cost_gbp_per_kwh=None,
        reason="limit_binds" if limits else "request_in_force" if requests else "no_limit_binds",
        words="; ".join([*full, *asked]) or "no limit on its path is full: its own plan and the tariff decide",
        note="",
        is_held=bool(limits),
    )


def _network_summary(periods: Sequence[ExplainedPeriod], hidden: Sequence[str]) -> list[str]:
    names: Mapping[str, None] = dict.fromkeys(line.name for one in periods for line in one.limits)
    found = [f"{name} is full in {_count(periods, name)} periods." for name in names]
    found = found or ["No limit on its path is full in this run."]
    if hidden:
        found.append(f"Nothing is said of {', '.join(hidden)}: too few EVSEs stand behind its figures.")
    return [*found, "When its user is expected and what the EV needs is for its DSRSP alone."]


def _count(periods: Sequence[ExplainedPeriod], name: str) -> int:
    return sum(any(line.name == name for line in one.limits) for one in periods)
