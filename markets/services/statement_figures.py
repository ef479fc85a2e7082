"""The half-hours of a stored statement as figures to compare."""

from datetime import datetime

from markets.core.statement_diff import LineFigures
from markets.models import Statement


def line_figures(statement: Statement) -> dict[datetime, LineFigures]:
    """Each half-hour's figures by its start."""
    return {
        line.starts_at: LineFigures(
            instructed_kwh=line.instructed_kwh,
            baseline_kwh=line.baseline_kwh,
            metered_kwh=line.metered_kwh,
            delivered_kwh=line.delivered_kwh,
            n_meters_missing=line.n_meters_missing,
        )
        for line in statement.lines.all()
    }
