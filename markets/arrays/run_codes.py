"""The table of run codes as values."""

from markets.core import run_codes
from markets.models import RunCode


def load_run_codes() -> dict[str, run_codes.RunCode]:
    """Every code by its text, in the order of series and place."""
    return {
        row.code: run_codes.RunCode(row.code, row.series, row.position, row.is_numbered)
        for row in RunCode.objects.order_by("series", "position")
    }
