"""Run the day-ahead cycle of one charging day and print the figures a person can check."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from aggregator.management.options import aware_time, day
from aggregator.services.jobs import enqueue
from aggregator.services.wake import wake
from markets.core.demo_calendar import CHARGING_DAY
from markets.core.demo_network import PRIMARY_CODE
from markets.core.demo_prices import TARIFF_CODE
from markets.core.tiles import cycle_tiles
from markets.models import CycleRun
from markets.services.cycle import STEPS, CycleOrder, day_ahead, run_cycle


class Command(BaseCommand):
    help = "Forecast, dispatch, deliver and settle the charging day that starts at London noon of DATE."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="the demo's area, day and tariff")
        parser.add_argument("--area", help="code of a network node; every fleet below it takes part")
        parser.add_argument("--date", type=day)
        parser.add_argument("--tariff")
        parser.add_argument("--as-of", type=aware_time, help="what was known; 18:00 London the day before if not")
        parser.add_argument("--as-job", action="store_true", help="leave it to the workers")

    def handle(self, *_args: Any, **options: Any) -> None:
        order = self.order(options)
        if options["as_job"]:
            self.enqueue(order)
            return
        console = Console()
        with Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            task = progress.add_task("", total=len(STEPS))

            def on_step(step: str) -> None:
                progress.update(task, description=step, completed=STEPS.index(step))

            cycle = run_cycle(order=order, on_step=on_step)
            progress.update(task, description="done", completed=len(STEPS))
        console.print(self.table(cycle))

    def order(self, options: dict[str, Any]) -> CycleOrder:
        if options["demo"]:
            options = {**options, "area": PRIMARY_CODE, "date": CHARGING_DAY, "tariff": TARIFF_CODE}
        missing = [f"--{name}" for name in ("area", "date", "tariff") if not options[name]]
        if missing:
            raise CommandError(f"{', '.join(missing)} must be given, or --demo")
        return CycleOrder(
            area_code=options["area"],
            day=options["date"],
            tariff_code=options["tariff"],
            as_of=options["as_of"] or day_ahead(options["date"]),
            now=timezone.now(),
        )

    def enqueue(self, order: CycleOrder) -> None:
        payload = {
            "area": order.area_code,
            "day": order.day.isoformat(),
            "tariff": order.tariff_code,
            "as_of": order.as_of.isoformat(),
        }
        job = enqueue(
            kind="run_cycle",
            payload=payload,
            now=order.now,
            # Twice within a minute is once; later it is asked anew, since readings may have come in.
            unique_key=":".join(("run_cycle", *payload.values(), f"{order.now:%Y-%m-%dT%H:%M}")),
        )
        wake(job_id=job.pk, clock=timezone.now)
        job.refresh_from_db()
        self.stdout.write(f"job {job.pk} is {job.get_state_display().lower()}")

    def table(self, cycle: CycleRun) -> Table:
        title = f"Charging day {cycle.charging_day} of {cycle.area.code}, London noon to noon"
        table = Table(title=title, title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("unit")
        for group in cycle_tiles(cycle.summary):
            table.add_section()
            for tile in group.tiles:
                table.add_row(tile.label, tile.value, " ".join(filter(None, (tile.unit, tile.alert))))
        return table
