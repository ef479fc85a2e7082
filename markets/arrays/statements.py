"""Instructions, settlements and statements as rows."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from aggregator.core.timegrid import settlement_period_at
from aggregator.core.types import FloatArray, IntArray
from aggregator.models import Organisation
from dispatch.models import DispatchRun
from markets.arrays.settlement import Portfolios
from markets.core.energy import decimal_kwh
from markets.core.settle import SettlementResult
from markets.core.statement import FACTOR_DECIMALS, StatementHeader, StatementPeriod, statement_of
from markets.core.statement import StatementLine as CoreLine
from markets.core.statement_file import render_statement
from markets.models import FlexEvent, FlexOrder, Instruction, SettlementRun, Statement, StatementLine


def store_instructions(
    *,
    event: FlexEvent,
    run: DispatchRun,
    portfolios: Portfolios,
    instructed_kw: FloatArray,
    expected_kw: FloatArray,
    planned_kw: FloatArray,
    order: FlexOrder | None = None,
) -> list[Instruction]:
    """One row a DSRSP that takes part."""
    return Instruction.objects.across_tenants().bulk_create(
        [
            Instruction(
                event=event,
                organisation=organisation,
                run=run,
                order=order,
                instructed_kw=instructed_kw[unit].tolist(),
                expected_baseline_kw=expected_kw[unit].tolist(),
                planned_kw=planned_kw[unit].tolist(),
            )
            for unit, organisation in enumerate(portfolios.organisations)
        ]
    )


@dataclass(frozen=True, slots=True)
class SettledTotals:
    """Sums over the statements of some settlements."""

    instructed_kwh: float
    delivered_kwh: float
    payment_gbp: Decimal


def load_totals(*, settlements: list[SettlementRun]) -> SettledTotals:
    """Add up what was settled; money stays exact."""
    statements = list(Statement.objects.across_tenants().filter(settlement_run__in=settlements))
    return SettledTotals(
        instructed_kwh=float(sum((statement.instructed_kwh for statement in statements), Decimal(0))),
        delivered_kwh=float(sum((statement.delivered_kwh for statement in statements), Decimal(0))),
        payment_gbp=sum((statement.payment_gbp for statement in statements), Decimal("0.00")),
    )


def settlement_with(*, event: FlexEvent, input_sha256: str, as_of: datetime) -> SettlementRun | None:
    """The version that stands for these inputs, if any: the newest, or an earlier one asked for as of its own time.

    A reading corrected and then corrected back gives old inputs at a later time: that is a new version, since the one
    in force was settled from others.
    """
    newest = newest_settlement(event=event)
    if newest is None or newest.input_sha256 == input_sha256:
        return newest
    if as_of >= newest.as_of:
        return None
    return SettlementRun.objects.filter(event=event, input_sha256=input_sha256).order_by("-version").first()


def newest_settlement(*, event: FlexEvent, lock: bool = False) -> SettlementRun | None:
    """The version in force; locked, so that two settlements of one event take turns."""
    if lock:
        FlexEvent.objects.select_for_update().get(pk=event.pk)
    return SettlementRun.objects.filter(event=event).order_by("-version").first()


def store_statements(
    *, settlement: SettlementRun, portfolios: Portfolios, result: SettlementResult, n_left_out: IntArray
) -> None:
    """Write a settlement's statements with their lines; call it in the transaction that stores the settlement."""
    for settled in settled_statements(
        settlement=settlement, portfolios=portfolios, result=result, n_left_out=n_left_out
    ):
        settled.statement.save(force_insert=True)
        StatementLine.objects.bulk_create(settled.lines)


@dataclass(frozen=True, slots=True)
class SettledStatement:
    """A statement with its lines as rows, stored or not."""

    statement: Statement
    lines: list[StatementLine]


def settled_statements(
    *, settlement: SettlementRun, portfolios: Portfolios, result: SettlementResult, n_left_out: IntArray
) -> list[SettledStatement]:
    """The rows of a settlement's statements, unit by unit; nothing is written."""
    settled = []
    for unit, organisation in enumerate(portfolios.organisations):
        line = _core_line(settlement, result, unit)
        statement = _statement(settlement, organisation, result, unit, line)
        settled.append(SettledStatement(statement, _lines(statement, line, int(n_left_out[unit]))))
    return settled


def _statement(
    settlement: SettlementRun, organisation: Organisation, result: SettlementResult, unit: int, line: CoreLine
) -> Statement:
    settled = result.units[unit]
    content = render_statement(statement_of(_header(settlement, organisation), [line]))
    return Statement(
        settlement_run=settlement,
        organisation=organisation,
        instructed_kwh=settled.ordered_kwh,
        delivered_kwh=settled.delivered_kwh,
        delivered_share=None if settled.delivered_share is None else float(settled.delivered_share),
        performance_factor=float(settled.performance_factor),
        payment_gbp=settled.payment_gbp,
        n_baseline_days=settled.n_days,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _header(settlement: SettlementRun, organisation: Organisation) -> StatementHeader:
    signal = settlement.event.signal
    return StatementHeader(
        run_id=f"{signal.reference}-v{settlement.version}",
        version=settlement.version,
        period_from_at=signal.starts_at,
        period_to_at=signal.ends_at,
        as_of_at=settlement.as_of.replace(microsecond=0),
        tenant=organisation.code,
        input_sha256=settlement.input_sha256,
    )


def _core_line(settlement: SettlementRun, result: SettlementResult, unit: int) -> CoreLine:
    settled, event = result.units[unit], settlement.event
    rule = result.baseline_rule
    return CoreLine(
        order_reference=event.signal.reference,
        unit_ref=settled.unit_id,
        contract_id=str(event.product),
        product=event.product.get_family_display(),
        congestion_point=event.signal.node.code,
        baseline_reference=f"{rule.name} v{rule.version}",
        performance_reference=f"{result.performance_rule.name} v{result.performance_rule.version}",
        direction=result.direction,
        counted_ordered_kwh=settled.counted_ordered_kwh,
        counted_delivered_kwh=settled.counted_delivered_kwh,
        performance_factor=_factor(settled.performance_factor.numerator, settled.performance_factor.denominator),
        price_gbp_per_mwh=settled.price_gbp_per_mwh,
        full_value_gbp=settled.full_value_gbp,
        net_settlement_gbp=settled.payment_gbp,
        n_baseline_days=settled.n_days,
        periods=_periods(result, unit),
        note="nothing was instructed in the periods that count" if settled.is_void else "",
    )


def _factor(numerator: int, denominator: int) -> Decimal:
    return round(Decimal(numerator) / Decimal(denominator), FACTOR_DECIMALS)


def _periods(result: SettlementResult, unit: int) -> tuple[StatementPeriod, ...]:
    volume = result.volume
    return tuple(
        StatementPeriod(
            starts_at=starts_at,
            ordered_kwh=decimal_kwh(float(result.ordered_kwh[unit, period])),
            delivered_kwh=decimal_kwh(float(volume.delivered_kwh[unit, period])),
            baseline_kwh=_known(float(volume.baseline_kwh[unit, period])),
            metered_kwh=_known(float(volume.metered_kwh[unit, period])),
            meter_quality="M" if np.isnan(volume.metered_kwh[unit, period]) else "A",
        )
        for period, starts_at in enumerate(result.grid.starts())
    )


def _known(energy_kwh: float) -> Decimal | None:
    return None if np.isnan(energy_kwh) else decimal_kwh(energy_kwh)


def _lines(statement: Statement, line: CoreLine, n_meters_missing: int) -> list[StatementLine]:
    lines = []
    for period in line.periods:
        numbered = settlement_period_at(period.starts_at)
        lines.append(
            StatementLine(
                statement=statement,
                settlement_date=numbered.settlement_date,
                period=numbered.number,
                starts_at=period.starts_at,
                ends_at=period.starts_at + timedelta(minutes=30),
                instructed_kwh=period.ordered_kwh,
                baseline_kwh=period.baseline_kwh,
                metered_kwh=period.metered_kwh,
                delivered_kwh=period.delivered_kwh,
                n_meters_missing=n_meters_missing,
            )
        )
    return lines
