"""`manage.py seed_demo`: the demo area, once."""

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from markets.core.demo_calendar import CHARGING_DAY, DEMO_SEED
from markets.services.demo import STEPS, SeededDemo, seed_demo

LOG_INS = "demo-logins.txt"


def log_ins_path() -> Path:
    return settings.VAR_DIR / LOG_INS


class Command(BaseCommand):
    help = "Seed the fictional demo area (docs/demo.md); where it stands already, nothing changes."

    def handle(self, *_args: Any, **_options: Any) -> None:
        started = time.monotonic()
        path = log_ins_path()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("demo area", total=len(STEPS))
            begun: list[str] = []

            def on_step(title: str) -> None:
                bar.update(task, description=f"demo area: {title}", completed=len(begun))
                begun.append(title)

            seeded = seed_demo(log_ins=path, progress=on_step)
        self.stdout.write(_sentence(seeded, time.monotonic() - started))
        if seeded.n_log_in_set:
            self.stdout.write(f"Log-ins for {seeded.n_log_in_set} people are in {path}.")


def _sentence(seeded: SeededDemo, seconds: float) -> str:
    if not seeded.is_new:
        return f"The demo area is there already (charging day {CHARGING_DAY}, seed {DEMO_SEED})."
    return (
        f"Demo area seeded in {seconds:.0f} s: {seeded.n_node} network nodes, {seeded.n_evse} EVSEs, "
        f"{seeded.n_session:,} sessions, {seeded.n_reading:,} readings; charging day {CHARGING_DAY}, seed {DEMO_SEED}."
    )
