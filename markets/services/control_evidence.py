"""What a statement's baseline compared with, for its evidence pack."""

from typing import Any

from aggregator.models import EVSE
from markets.arrays.baseline_facts import load_control
from markets.arrays.settlement import event_grid, load_portfolios
from markets.core.baseline_given import ControlGroupRule
from markets.core.evidence import series
from markets.core.history import adjustment_starts
from markets.models import Statement
from markets.services.rules import baseline_method


def control_group_inputs(*, statement: Statement) -> dict[str, Any]:
    """The EVSEs of a statement's control group and what they drew together, as known then; nothing without one."""
    settlement = statement.settlement_run
    event, rule = settlement.event, baseline_method(settlement.event.product)
    if not isinstance(rule, ControlGroupRule):
        return {}
    portfolios = load_portfolios(event=event)
    if statement.organisation.code not in portfolios.unit_ids:
        return {}
    unit = portfolios.unit_ids.index(statement.organisation.code)
    held_out, grid = portfolios.held_out, event_grid(event.signal)
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    control = load_control(event=event, rule=rule, portfolios=portfolios, as_of=settlement.as_of)
    evses = EVSE.objects.across_tenants().filter(pk__in=held_out.evse_pks[held_out.unit == unit].tolist())
    found = {
        "form": rule.form,
        "min_evses": rule.min_evses,
        "evses": sorted(evses.values_list("pseudonym", flat=True)),
        "n_counting": int(control.n_evse[unit]),
        "event": series(grid.period_starts(), control.event_kwh[unit]),
        "adjustment": series(window, control.window_kwh[unit]),
    }
    return {"control_group": found}
