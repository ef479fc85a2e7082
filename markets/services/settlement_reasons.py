"""Say, with every version after the first, why its statements differ from those it supersedes."""

from datetime import timedelta

import numpy as np

from markets.arrays.arrivals import load_arrivals
from markets.arrays.settlement import PortfolioReadings, Portfolios
from markets.core.baseline import BaselineHistory
from markets.core.history import adjustment_starts, same_local_time
from markets.core.statement_diff import changed_lines
from markets.core.statement_reasons import Arrivals, Reason, Windows, input_reasons, reading_reasons
from markets.models import SettlementRun, Statement, StatementReason
from markets.services.rules import baseline_rule
from markets.services.statement_figures import line_figures


def store_reasons(*, settlement: SettlementRun, portfolios: Portfolios, readings: PortfolioReadings) -> None:
    """Write why each statement of a settlement differs from the version before; a first version has no reasons.

    Reasons of a half-hour are kept where one of its figures changed, those of the whole wherever anything did.
    """
    before = settlement.supersedes
    if before is None:
        return
    windows = _windows(settlement, readings.history)
    arrivals = _arrivals(settlement, before, portfolios, readings.history)
    held_out = portfolios.held_out
    read = np.concatenate([portfolios.meter_pks, held_out.meter_pks]).tolist()
    unit_of = dict(zip(read, np.concatenate([portfolios.unit, held_out.unit]).tolist(), strict=True))
    unit = np.array([unit_of[pk] for pk in arrivals.meter_pks.tolist()], dtype=np.int64)
    shared = tuple(
        input_reasons(
            before.input_digests,
            settlement.input_digests,
            is_other_plan=before.dispatch_run_id != settlement.dispatch_run_id,
            is_other_method=before.method != settlement.method,
        )
    )
    of_run = Statement.objects.across_tenants().filter(settlement_run=settlement).defer("content")
    statements = {statement.organisation_id: statement for statement in of_run}
    for index, organisation in enumerate(portfolios.organisations):
        statement = statements[organisation.pk]
        changed = _changed(before, statement)
        if changed is None:
            continue
        own = (*shared, *reading_reasons(arrivals.where(unit == index), windows))
        kept = [reason for reason in own if reason.starts_at is None or reason.starts_at in changed]
        StatementReason.objects.across_tenants().bulk_create(_row(statement, reason) for reason in kept)


def _row(statement: Statement, reason: Reason) -> StatementReason:
    return StatementReason(
        statement=statement,
        starts_at=reason.starts_at,
        code=reason.code,
        n_reading=reason.n_reading,
        n_meter=reason.n_meter,
        first_received_at=reason.first_received_at,
        last_received_at=reason.last_received_at,
        message=reason.message,
    )


def _changed(before: SettlementRun, statement: Statement) -> set[object] | None:
    """Starts of the half-hours that changed; None where the whole statement says what the one before said."""
    earlier = (
        Statement.objects.across_tenants()
        .filter(settlement_run=before, organisation=statement.organisation_id)
        .defer("content")
        .first()
    )
    lines = changed_lines({} if earlier is None else line_figures(earlier), line_figures(statement))
    is_same = earlier is not None and not lines and earlier.payment_gbp == statement.payment_gbp
    return None if is_same else {line.starts_at for line in lines}


def _windows(settlement: SettlementRun, history: BaselineHistory) -> Windows:
    rule = baseline_rule(settlement.event.product)
    starts = history.grid.period_starts()
    window = adjustment_starts(
        history.grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    past = [same_local_time(starts, day) for day in history.days]
    return Windows(
        event=starts,
        history=np.array(past, dtype="datetime64[s]").reshape(len(past), len(starts)),
        adjustment=np.concatenate([window, *(same_local_time(window, day) for day in history.days)]),
    )


def _arrivals(
    settlement: SettlementRun, before: SettlementRun, portfolios: Portfolios, history: BaselineHistory
) -> Arrivals:
    first = history.days[0] if history.days else history.grid.starts_at.date()
    return load_arrivals(
        meter_pks=portfolios.read_meter_pks,
        first_day=first - timedelta(days=1),
        last_day=history.grid.ends_at.date(),
        after=before.as_of,
        until=settlement.as_of,
    )
