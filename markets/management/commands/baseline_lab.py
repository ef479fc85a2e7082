"""Test every baseline method on days of a fleet on which nothing was asked."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import time
from io import StringIO
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from aggregator.core.display import number
from aggregator.management.options import aware_time, day
from aggregator.models import Organisation
from markets.core.baseline_lab import LabResult, MethodScore
from markets.services.baseline_lab import LabAsked, lab_lines, run_baseline_lab

WIDTH = 120
WINDOW_AS = "is no window of whole half-hours, such as 17:00-19:00"


def window(text: str) -> tuple[time, int]:
    """Start and half-hours of a window within a day.

    Raises:
        ArgumentTypeError: no such window.
    """
    try:
        starts, ends = (time.fromisoformat(part) for part in text.split("-"))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} {WINDOW_AS}") from None
    n_minute = ((ends.hour or 24) * 60 + ends.minute) - (starts.hour * 60 + starts.minute)
    if n_minute <= 0 or n_minute % 30:
        raise ArgumentTypeError(f"{text!r} {WINDOW_AS}")
    return starts, n_minute // 30


class Command(BaseCommand):
    help = "Compare every baseline method with what was metered, on days without an event."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organisation", help="code of a DSRSP (its fleet) or a DNO (its network)")
        parser.add_argument("--from", dest="first", required=True, type=day)
        parser.add_argument("--to", dest="last", required=True, type=day)
        parser.add_argument("--window", type=window, default=(time(17), 4), help="London time; 17:00-19:00 if not")
        parser.add_argument("--node", default="", help="only EVSEs at and below it")
        parser.add_argument("--as-of", type=aware_time, help="readings received later are not looked at; now if not")

    def handle(self, *_args: Any, **options: Any) -> None:
        organisation = Organisation.objects.filter(code=options["organisation"]).first()
        if organisation is None:
            raise CommandError(f"no organisation is called {options['organisation']}")
        starts, n_period = options["window"]
        asked = LabAsked(options["first"], options["last"], starts=starts, n_period=n_period, node=options["node"])
        result = run_baseline_lab(
            organisation=organisation, asked=asked, as_of=options["as_of"] or timezone.now(), most_evses=None
        )
        said = StringIO()
        console = Console(file=said, width=WIDTH)
        console.print(self.table(result))
        for line in remarks(result):
            console.print(line)
        self.stdout.write(said.getvalue())

    def table(self, result: LabResult) -> Table:
        title = f"{len(result.days)} days without an event; kW per EVSE; {result.n_evse} EVSEs as one fleet"
        table = Table(title=f"{title}, {result.n_evse_tested} one by one", title_justify="left")
        table.add_column("method")
        for level in ("fleet", "EVSE"):
            for figure in ("bias", "RMSE", "10 %", "90 %"):
                table.add_column(f"{level}\n{figure}", justify="right")
        for line in lab_lines(result):
            table.add_row(line.method.name, *cells(line.fleet), *cells(line.evse))
        return table


def cells(score: MethodScore) -> list[str]:
    return [number(value, 3) for value in (score.bias_kw, score.rmse_kw, score.low_kw, score.high_kw)]


def remarks(result: LabResult) -> list[str]:
    """What a person should know beside the table."""
    zero, metered_kw = result.zero_days, result.scores[0].metered_kw
    flags = (
        f"Flagged before the window though nothing was asked, {one.level}: {one.n_flagged} of {one.n_tested} "
        f"(wanted: {one.alpha:.0%})."
        for one in result.flags
    )
    like_days = (
        f"Of an EVSE's like days, {zero.mean_share:.1%} are zero in the window (half of the EVSEs: more than "
        f"{zero.median_share:.1%}); {zero.mostly_zero_share:.1%} of baselines stand on mostly zero days."
    )
    return [f"Metered: {number(metered_kw, 3)} kW an EVSE.", like_days, *flags]
