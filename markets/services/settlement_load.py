"""Everything an event is settled from, as known at a time, with its digests."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import numpy as np

from aggregator.core.findings import FindingNote
from aggregator.core.types import FloatArray
from dispatch.models import DispatchRun
from markets.arrays.baseline_facts import load_baseline_facts
from markets.arrays.settlement import (
    PortfolioReadings,
    Portfolios,
    ReadEvent,
    event_grid,
    load_instructions,
    load_stops,
    read_event,
)
from markets.core.baseline import BaselineRule
from markets.core.baseline_methods import BaselineFacts
from markets.core.delivered import Counting, Direction
from markets.core.inputs_digest import input_digests, inputs_sha256
from markets.core.settle import SettlementInputs
from markets.core.stops import after_stops
from markets.models import FlexEvent
from markets.services.rules import baseline_method, baseline_rule, performance_rule


@dataclass(frozen=True, slots=True)
class LoadedEvent:
    """What one event is settled from."""

    portfolios: Portfolios
    readings: PortfolioReadings
    inputs: SettlementInputs
    input_sha256: str
    input_digests: dict[str, str]


def load_event(*, event: FlexEvent, run: DispatchRun, as_of: datetime, read: ReadEvent | None = None) -> LoadedEvent:
    """Load what was known at ``as_of`` of an event instructed under ``run``; ``read`` is what of it is read already."""
    rule = baseline_rule(event.product)
    read = read or read_event(event=event, rule=rule, as_of=as_of)
    portfolios, readings = read.portfolios, read.readings
    asked_kw = load_instructions(event=event, run=run, portfolios=portfolios)
    stopped_at = load_stops(event=event, portfolios=portfolios, as_of=as_of)
    asked_kw = after_stops(asked_kw, stopped_at, grid=event_grid(event.signal))
    inputs = settlement_inputs(event, portfolios, readings, rule, asked_kw, as_of=as_of)
    digests = {**input_digests(inputs), "portfolio": read.portfolio_sha256}
    return LoadedEvent(portfolios, readings, inputs, inputs_sha256(inputs), digests)


def settlement_inputs(
    event: FlexEvent,
    portfolios: Portfolios,
    readings: PortfolioReadings,
    rule: BaselineRule,
    asked_kw: FloatArray,
    *,
    as_of: datetime,
) -> SettlementInputs:
    """Everything one event's settlement computes with, as known at ``as_of``."""
    method, facts = baseline_method(event.product), BaselineFacts()
    if not isinstance(method, BaselineRule):
        facts = load_baseline_facts(
            event=event, method=method, portfolios=portfolios, evses=readings.evses, as_of=as_of
        )
    return SettlementInputs(
        unit_ids=portfolios.unit_ids,
        direction=direction_of(event),
        instructed_kw=asked_kw,
        price_gbp_per_mwh=(event.price_gbp_per_mwh,) * portfolios.n_unit,
        history=readings.history,
        metered_kwh=readings.metered_kwh,
        baseline_rule=rule,
        performance_rule=performance_rule(event.product),
        method=method,
        facts=facts,
        counting=cast(Counting, event.product.volume),
    )


def direction_of(event: FlexEvent) -> Direction:
    return "turn_down" if event.signal.direction == "turn_down" else "turn_up"


def left_out(portfolios: Portfolios, readings: PortfolioReadings) -> list[FindingNote]:
    """A finding for each portfolio with meters that were not read throughout the event."""
    return [
        FindingNote(
            "settlement.meters_left_out",
            portfolios.unit_ids[unit],
            f"{int(readings.n_left_out[unit])} meters have no reading in part of the event: they deliver nothing",
            details={"n_meter": int(readings.n_left_out[unit])},
        )
        for unit in np.flatnonzero(readings.n_left_out)
    ]
