"""What every act of trading does: look where a thing stands, move it on, and tell the log."""

from collections.abc import Mapping
from datetime import datetime

from aggregator.arrays.network import find_node
from aggregator.core.errors import FlexError
from aggregator.models import NetworkNode, Organisation
from aggregator.services.event_log import record_event
from markets.core.trading import (
    BUYER,
    CONTRACT,
    DSRSP,
    FLEX_OFFER,
    FLEX_ORDER,
    FLEX_REQUEST,
    MARKET,
    Machine,
    Role,
    next_state,
    state_at,
)
from markets.models import Contract, FlexOffer, FlexOrder, FlexRequest, Market

Traded = Market | FlexRequest | FlexOffer | FlexOrder | Contract
MACHINES: dict[type[Traded], Machine] = {
    Market: MARKET,
    FlexRequest: FLEX_REQUEST,
    FlexOffer: FLEX_OFFER,
    FlexOrder: FLEX_ORDER,
    Contract: CONTRACT,
}
SHORTEST_REASON, LONGEST_REASON = 3, 500


class UnknownTrade(FlexError):
    code = "trading.unknown"


class TradeRefused(FlexError):
    code = "trading.refused"


def deadlines_of(row: Traded) -> dict[str, datetime]:
    """The instants its machine's deadlines fall on."""
    match row:
        case FlexOffer():
            return {"expires_at": row.expires_at, "starts_at": row.request.starts_at}
        case FlexOrder():
            dispatch_until = row.starts_at - row.market.product.notice
            return {"starts_at": row.starts_at, "ends_at": row.ends_at, "dispatch_until": dispatch_until}
        case FlexRequest():
            return {
                "expires_at": row.expires_at,
                "gate_closes_at": row.gate_closes_at,
                "starts_at": row.starts_at,
            }
        case _:
            return {"starts_at": row.starts_at, "ends_at": row.ends_at}


def standing(row: Traded, *, now: datetime) -> str:
    """The state a row is in by now."""
    return state_at(MACHINES[type(row)], row.state, now=now, deadlines=deadlines_of(row))


def acts_open(row: Traded, *, role: Role, now: datetime) -> tuple[str, ...]:
    """What somebody in a role may do with a row now, in the order of its machine."""
    machine, deadlines = MACHINES[type(row)], deadlines_of(row)
    state = state_at(machine, row.state, now=now, deadlines=deadlines)
    return tuple(
        one.event
        for one in machine.transitions
        if role in one.roles
        and state in one.sources
        and (not one.after or now >= deadlines[one.after])
        and all(now < deadlines[name] for name in one.before)
    )


def role_of(organisation: Organisation) -> Role:
    """A DSRSP sells; whoever else has a part in it buys."""
    return DSRSP if organisation.kind == Organisation.Kind.DSRSP else BUYER


def check_act(row: Traded, event: str, *, organisation: Organisation, now: datetime) -> str:
    """The state an act would lead to.

    Raises:
        TransitionRefused: it may not be done: by whom, from where, or not at this time.
        UnknownTrade: the organisation has no part in it.
    """
    role = role_of(organisation)
    part = row.buyer_id if role == BUYER else getattr(row, "organisation_id", organisation.pk)
    if part != organisation.pk:
        raise UnknownTrade(f"{organisation.code} has no part in {row}", name=str(row))
    return next_state(
        MACHINES[type(row)],
        row.state,
        event,
        role=role,
        now=now,
        deadlines=deadlines_of(row),
        name=str(row),
    )


def move(row: Traded, event: str, *, organisation: Organisation, now: datetime) -> None:
    """Do an act: check it and keep the state it leads to; call it in a transaction that holds the row.

    Raises:
        TransitionRefused, UnknownTrade: as for ``check_act``.
    """
    row.state = check_act(row, event, organisation=organisation, now=now)
    row.save(update_fields=["state"])


def record(
    row: Traded,
    event: str,
    *,
    organisation: Organisation,
    now: datetime,
    reason: str = "",
    before: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Tell the log of who did it; call it last in the transaction."""
    thing = MACHINES[type(row)].thing
    record_event(
        action=f"{thing.replace(' ', '_')}.{event.replace(' ', '_')}",
        subject=f"{thing} {row}",
        organisation=organisation,
        reason=reason,
        before=None if before is None else {"state": before},
        after={"state": row.state, **(facts or {})},
        at=now,
    )


def reason_of(reason: str) -> str:
    """Why something is done, as it is kept.

    Raises:
        TradeRefused: too short or too long.
    """
    said = reason.replace("\x00", " ").strip()
    if not SHORTEST_REASON <= len(said) <= LONGEST_REASON:
        raise TradeRefused(
            f"the reason has {len(said)} characters, expected {SHORTEST_REASON} to {LONGEST_REASON}", field="reason"
        )
    return said


def in_zone(market: Market, code: str) -> NetworkNode:
    """The node with this code, at or below a node of the market's zone.

    Raises:
        UnknownNode: there is none.
        TradeRefused: it lies elsewhere.
    """
    node = find_node(code)
    above: list[NetworkNode] = [node]
    while above[-1].parent is not None and above[-1].parent not in above:
        above.append(above[-1].parent)
    if not {one.code for one in above} & set(market.node_codes):
        raise TradeRefused(
            f"node {code} is outside the zone of market {market.code}, {', '.join(market.node_codes)}",
            field="node",
            value=code,
        )
    return node
