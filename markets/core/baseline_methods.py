"""Every baseline method by the name a product gives it, and one way to make any of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray, IntArray
from markets.core.baseline import BaselineHistory, BaselineRule, EventBaseline, event_baseline
from markets.core.baseline_given import (
    AssetCapacityRule,
    ControlGroup,
    ControlGroupRule,
    FixedReferenceRule,
    NominationRule,
    Nominations,
    ZeroRule,
    control_group_kwh,
    nominated_kwh,
    reference_kwh,
)
from markets.core.energy import from_quanta, to_quanta

Rule = BaselineRule | NominationRule | ZeroRule | AssetCapacityRule | FixedReferenceRule | ControlGroupRule

Fact = TypeVar("Fact")
Values = TypeVar("Values", FloatArray, IntArray)


class UnknownBaselineMethod(FlexError):
    code = "baseline.unknown_method"


class MissingBaselineFacts(FlexError):
    code = "baseline.missing_facts"


@dataclass(frozen=True, slots=True)
class BaselineFacts:
    """What a method needs beside history; None where it is not known.

    Attributes:
        n_evse: (n_row,) EVSEs of each row.
        rated_kw: (n_row,) their rated power together.
        nominations: submitted for this event.
        control: the control group of each row.
    """

    n_evse: IntArray | None = None
    rated_kw: FloatArray | None = None
    nominations: Nominations | None = None
    control: ControlGroup | None = None


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """A named method.

    Attributes:
        label: for people.
        rule: its parameters as they stand in the sources; a product may state others.
        source: where it is described.
        uncertain: what is not certain about it; empty where nothing is known to be.
    """

    label: str
    rule: Rule
    source: str
    uncertain: str = ""

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def is_historical(self) -> bool:
        return isinstance(self.rule, BaselineRule)


_PLAIN = BaselineRule(name="plain", n_drop_working=0, n_drop_non_working=0)
_ALL = (
    BaselineMethod(
        "BL01, most recent days",
        replace(_PLAIN, name="bl01", floor_at_zero=False),
        "Elexon Baselining Methodology Document (P376), read in secondary notes; in-day adjustment as quoted from the "
        "Demand Flexibility Service procurement rules",
        "most recent or highest days; whether a DNO's call alone makes an event day; fewest days and reads needed",
    ),
    BaselineMethod(
        "BL01, highest days",
        replace(_PLAIN, name="bl01-highest", selection="highest", floor_at_zero=False),
        "the other reading of the Baselining Methodology Document: High X of Y",
        "most recent or highest days; that Y is every eligible day of the 60",
    ),
    BaselineMethod(
        "Mid 8-in-10",
        BaselineRule(name="mid-8-in-10", adjustment_periods=0, min_adjustment_periods=0),
        "ENA baselining tool, from general knowledge",
        "every parameter, among them 2-in-4 at weekends",
    ),
    BaselineMethod(
        "Mid 8-in-10 with same-day adjustment",
        BaselineRule(name="mid-8-in-10-sda"),
        "ENA baselining tool, from general knowledge",
        "every parameter, among them 2-in-4 at weekends",
    ),
    BaselineMethod(
        "Rolling 10-in-10",
        replace(_PLAIN, name="rolling-10-in-10", adjustment_periods=0, min_adjustment_periods=0),
        "MISO default: 10 days that are no weekend, holiday or event day; AEMO's 10 of 10",
        "four days at weekends; MISO adjusts by up to 20 % on 3 hours, a Piclo market on 2 hours",
    ),
    BaselineMethod(
        "High 5-in-10 with bounded ratio",
        replace(
            _PLAIN,
            name="high-5-in-10",
            n_non_working_days=5,
            n_kept_working=5,
            n_kept_non_working=3,
            adjustment="ratio",
            adjustment_cap_share=0.2,
        ),
        "PG&E: highest 5 of 10 weekdays, 3 of 5 weekend days; NYISO: ratio between 0.8 and 1.2, from general knowledge",
        "PG&E weighs weekend days and adjusts after the event too: neither is coded; the window",
    ),
    BaselineMethod(
        "CAISO 10-in-10 with capped ratio",
        replace(_PLAIN, name="caiso-10-in-10", adjustment="ratio", adjustment_cap_share=0.2),
        "CAISO, from general knowledge: 3 hours with a 1-hour buffer, 20 % either way; residential 5-in-10 and 40 %",
        "every parameter",
    ),
    BaselineMethod(
        "Nomination",
        NominationRule(),
        "Electron: as submitted by 12:00 on the day before",
        "whether the instant of 12:00 is in time; whether a late one leaves the last in time standing",
    ),
    BaselineMethod("Zero", ZeroRule(), "Electron: nothing expected"),
    BaselineMethod("Asset capacity", AssetCapacityRule(), "Electron: the rated power, flat"),
    BaselineMethod(
        "Fixed reference per EVSE",
        FixedReferenceRule(),
        "NGED: 0.83 kW for each 7 kW home charger at the winter peak",
        "the reference outside the winter peak",
    ),
    BaselineMethod(
        "Control group, difference",
        ControlGroupRule(),
        "difference in differences, from general knowledge",
        "how the group is matched; the window",
    ),
    BaselineMethod(
        "Control group, ratio",
        ControlGroupRule(name="control-group-ratio", form="ratio"),
        "ratio of the window before, from general knowledge",
        "how the group is matched; the window",
    ),
)
METHODS: Mapping[str, BaselineMethod] = MappingProxyType({method.name: method for method in _ALL})


def method_rule(name: str, **changes: Any) -> Rule:
    """The rule of a named method with its standard parameters, or with these instead.

    Raises:
        UnknownBaselineMethod: no method has this name.
        InvalidBaselineRule: a parameter out of its range.
    """
    if name not in METHODS:
        raise UnknownBaselineMethod(
            f"no baseline method is called {name}, expected one of {', '.join(METHODS)}", name=name
        )
    return replace(METHODS[name].rule, **changes)


def history_rule(rule: Rule) -> BaselineRule:
    """Say which readings a rule needs, as a historical rule that needs the same; one day of history, not used."""
    if isinstance(rule, BaselineRule):
        return rule
    window = rule.adjustment_periods if isinstance(rule, ControlGroupRule) else 0
    return replace(
        _PLAIN,
        name=rule.name,
        version=rule.version,
        n_working_days=1,
        n_non_working_days=1,
        lookback_days=2,  # the day before may change the clocks
        adjustment_periods=window,
        adjustment_gap_periods=rule.adjustment_gap_periods if isinstance(rule, ControlGroupRule) else 0,
        min_adjustment_periods=min(1, window),
        level=rule.level,
    )


def baseline_kwh(rule: Rule, history: BaselineHistory, facts: BaselineFacts | None = None) -> EventBaseline:
    """Make the baseline of one event by any method.

    Args:
        history: rows, event and window; its days matter to historical rules only (``history_rule``).
        facts: what other rules need.

    Raises:
        MissingBaselineFacts: a fact the rule needs is not given, or not for each row.

    Source: docs/methods/baseline.md
    """
    if isinstance(rule, BaselineRule):
        return event_baseline(history, rule)
    facts, grid, n_row = facts or BaselineFacts(), history.grid, len(history.row_ids)
    flat = np.ones((n_row, grid.n_period))
    match rule:
        case NominationRule():
            nominations = _needed(facts.nominations, rule, "nominations")
            nominated, _ = nominated_kwh(nominations, rule, grid=grid, n_row=n_row)
            return _given(nominated)
        case ZeroRule():
            return _given(0.0 * flat)
        case AssetCapacityRule():
            rated_kw = _of_rows(facts.rated_kw, rule, "rated_kw", n_row)
            return _given(rated_kw[:, np.newaxis] * grid.step_h * flat)
        case FixedReferenceRule():
            return _given(reference_kwh(_of_rows(facts.n_evse, rule, "n_evse", n_row), rule, grid=grid))
        case ControlGroupRule():
            return _compared(rule, history, facts)


def _compared(rule: ControlGroupRule, history: BaselineHistory, facts: BaselineFacts) -> EventBaseline:
    control = _needed(facts.control, rule, "control")
    n_evse = _of_rows(facts.n_evse, rule, "n_evse", len(history.row_ids))
    _of_rows(control.n_evse, rule, "control.n_evse", len(history.row_ids))
    scaled, difference, ratio = control_group_kwh(control, history.adjustment_metered_kwh, n_evse, rule)
    if rule.form == "difference":
        is_known, added, factor = ~np.isnan(difference), np.nan_to_num(difference), np.ones(len(ratio))
    else:
        is_known, added, factor = ~np.isnan(ratio), np.zeros(len(ratio)), np.nan_to_num(ratio, nan=1.0)
    adjusted = to_quanta(scaled * factor[:, np.newaxis] + added[:, np.newaxis])
    is_floored = (adjusted < 0) & rule.floor_at_zero
    return EventBaseline(
        unadjusted_kwh=_on_grid(scaled),
        adjustment_kwh=_on_grid(added),
        adjustment_ratio=factor,
        measured_adjustment_kwh=_on_grid(difference),
        baseline_kwh=from_quanta(np.where(is_floored, 0.0, adjusted)),
        n_days=np.zeros(adjusted.shape, dtype=np.int64),
        is_adjusted=is_known,
        is_capped=np.zeros(len(added), dtype=np.bool_),
        is_floored=is_floored,
    )


def _given(energy_kwh: FloatArray) -> EventBaseline:
    """A baseline that nothing adjusts, of (n_row, n_period) energy."""
    n_row = len(energy_kwh)
    return EventBaseline(
        unadjusted_kwh=_on_grid(energy_kwh),
        adjustment_kwh=np.zeros(n_row),
        adjustment_ratio=np.ones(n_row),
        measured_adjustment_kwh=np.full(n_row, np.nan),
        baseline_kwh=_on_grid(energy_kwh),
        n_days=np.zeros(energy_kwh.shape, dtype=np.int64),
        is_adjusted=np.ones(n_row, dtype=np.bool_),
        is_capped=np.zeros(n_row, dtype=np.bool_),
        is_floored=np.zeros(energy_kwh.shape, dtype=np.bool_),
    )


def _on_grid(energy_kwh: FloatArray) -> FloatArray:
    return from_quanta(to_quanta(energy_kwh))


def _needed(fact: Fact | None, rule: Rule, name: str) -> Fact:
    if fact is None:
        raise MissingBaselineFacts(f"{rule.name} needs {name}, found none", field=name)
    return fact


def _of_rows(fact: Values | None, rule: Rule, name: str, n_row: int) -> Values:
    values = _needed(fact, rule, name)
    if values.shape != (n_row,):
        raise MissingBaselineFacts(f"{rule.name} needs {name} of {n_row} rows, found shape {values.shape}", field=name)
    return values
