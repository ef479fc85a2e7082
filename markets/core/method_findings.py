"""What was odd about a baseline that does not come from past days."""

from collections.abc import Iterator

import numpy as np

from aggregator.core.errors import Detail
from aggregator.core.findings import FindingNote
from markets.core.baseline import BaselineHistory, BaselineRule, EventBaseline
from markets.core.baseline_given import ControlGroupRule, NominationRule, nominated_kwh
from markets.core.baseline_methods import BaselineFacts, Rule


def method_findings(
    rule: Rule, history: BaselineHistory, facts: BaselineFacts, baseline: EventBaseline
) -> Iterator[FindingNote]:
    """Yield what happened while a baseline was made that does not come from days; nothing for one that does."""
    if isinstance(rule, BaselineRule):
        return
    n_without = np.isnan(baseline.baseline_kwh).sum(axis=1)
    n_late, stands = np.zeros(len(history.row_ids), dtype=np.int64), ""
    if isinstance(rule, NominationRule) and facts.nominations is not None:
        _, is_late = nominated_kwh(facts.nominations, rule, grid=history.grid, n_row=len(history.row_ids))
        n_late = is_late.sum(axis=1)
        stands = "the last one in time stands" if rule.late == "previous" else "these half-hours have no baseline"
    for row in np.flatnonzero(n_late).tolist():
        yield FindingNote(
            code="baseline.late_nomination",
            subject=history.row_ids[row],
            message=f"a nomination for {n_late[row]} half-hours came after the deadline: {stands}",
            details={"n_period": int(n_late[row])},
        )
    if isinstance(rule, ControlGroupRule):
        yield from _control_findings(rule, history, facts)
    for row in np.flatnonzero(n_without).tolist():
        yield FindingNote(
            code="baseline.none",
            subject=history.row_ids[row],
            message=f"{rule.name} gives no baseline for {n_without[row]} half-hours: nothing delivered in them",
            details={"n_period": int(n_without[row])},
        )
    has_baseline = n_without < history.grid.n_period
    for row in np.flatnonzero(~baseline.is_adjusted & has_baseline).tolist():
        yield FindingNote(
            code="baseline.not_adjusted",
            subject=history.row_ids[row],
            message="the control group cannot be compared in the window before the event: left unadjusted",
            details={"n_missing": int(np.isnan(history.adjustment_metered_kwh[row]).sum())},
        )


def _control_findings(rule: ControlGroupRule, history: BaselineHistory, facts: BaselineFacts) -> Iterator[FindingNote]:
    """Yield, per row, a control group of which too few EVSEs were read, and one that lost some."""
    if facts.control is None or facts.control.n_held_out is None:
        return
    n_unknown = np.isnan(facts.control.event_kwh).sum(axis=1).tolist()
    for row, (n_held_out, n_evse) in enumerate(
        zip(facts.control.n_held_out.tolist(), facts.control.n_evse.tolist(), strict=True)
    ):
        details: dict[str, Detail] = {"n_held_out": n_held_out, "n_read": n_evse, "n_needed": rule.min_evses}
        if n_unknown[row]:
            yield FindingNote(
                code="baseline.control_group_too_small",
                subject=history.row_ids[row],
                message=f"{n_held_out} EVSEs were kept out of the event as its control group, {n_evse} of them count, "
                f"{rule.min_evses} are needed in each half-hour: {n_unknown[row]} half-hours have too few",
                details={**details, "n_period": n_unknown[row]},
            )
        elif n_evse < n_held_out:
            yield FindingNote(
                code="baseline.control_evses_left_out",
                subject=history.row_ids[row],
                message=f"{n_held_out - n_evse} of the control group's {n_held_out} EVSEs have a gap: left out of it",
                details=details,
            )
