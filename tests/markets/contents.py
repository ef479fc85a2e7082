"""The file of a statement made by hand: one line of two half-hours, its totals as the row that goes with it says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from markets.core.statement import StatementHeader, StatementLine, StatementPeriod, statement_of
from markets.core.statement_file import render_statement

SIX_PM = datetime(2026, 1, 14, 18, tzinfo=UTC)


def statement_content(
    tenant: str,
    *,
    instructed_kwh: Decimal,
    delivered_kwh: Decimal,
    payment_gbp: Decimal,
    starts_at: datetime = SIX_PM,
    version: int = 1,
    metered_kwh: Decimal = Decimal(1),
) -> bytes:
    """Bytes of a statement for ``tenant``, with half of the energies in each half-hour and as much metered in each."""
    periods = tuple(
        StatementPeriod(
            starts_at=starts_at + timedelta(minutes=30 * index),
            ordered_kwh=instructed_kwh / 2,
            delivered_kwh=delivered_kwh / 2,
            baseline_kwh=delivered_kwh / 2 + metered_kwh,
            metered_kwh=metered_kwh,
        )
        for index in range(2)
    )
    line = StatementLine(
        order_reference="EVENING/1",
        unit_ref=tenant,
        contract_id="su-night v1",
        product="Scheduled Utilisation",
        congestion_point="S1",
        baseline_reference="mid-8-in-10-sda v1",
        performance_reference="su-night v1",
        direction="turn_down",
        counted_ordered_kwh=instructed_kwh,
        counted_delivered_kwh=delivered_kwh,
        performance_factor=Decimal(1),
        price_gbp_per_mwh=Decimal(300),
        full_value_gbp=payment_gbp,
        net_settlement_gbp=payment_gbp,
        n_baseline_days=10,
        periods=periods,
    )
    header = StatementHeader(
        run_id=f"EVENING/1-v{version}",
        version=version,
        period_from_at=starts_at,
        period_to_at=starts_at + timedelta(hours=1),
        as_of_at=starts_at + timedelta(days=1),
        tenant=tenant,
        input_sha256="5" * 64,
    )
    return render_statement(statement_of(header, [line]))
