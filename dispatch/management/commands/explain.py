"""``manage.py explain RUN EVSE``: why an EVSE was told what it was told, period by period."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aggregator.core.display import number
from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON
from dispatch.core.explanation import ExplainedPeriod, Explanation
from dispatch.services.explain import explain_to_operator

HEADINGS = ("local time", "plan kW", "setpoint", "told", "tariff", "cost", "why")
WIDTHS = (22, 8, 8, 8, 8, 8, 0)


class Command(BaseCommand):
    help = "Explain each period's setpoint of an EVSE in a stored run, and what kept energy from it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", metavar="RUN", help="number of the run: 17 or run_17")
        parser.add_argument("evse", metavar="EVSE", help="pseudonym of the EVSE, or its id at its CSMS")
        parser.add_argument("--json", action="store_true", help="all of it as JSON, times in UTC")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            found = explain_to_operator(run=options["run"], evse=options["evse"])
        except FlexError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_as_json(found) if options["json"] else _as_text(found))


def _as_json(found: Explanation) -> str:
    told = {**asdict(found), "starts_at": found.grid.starts_at, "ends_at": found.grid.ends_at}
    told["period_minutes"] = told.pop("grid")["period_minutes"]
    return json.dumps(told, indent=2, default=_time)


def _time(at: date) -> str:
    return at.isoformat()


def _as_text(found: Explanation) -> str:
    lines = [
        f"EVSE {found.evse} at {found.node} in run {found.run} of {found.area}, {found.charging_day}",
        *found.summary,
        f"worth of its last kWh: {number(found.worth_gbp_per_kwh, 3)} GBP; tariff and cost in GBP/kWh",
        "",
        _row(HEADINGS),
        *(_row(_cells(one)) for one in found.periods),
    ]
    return "\n".join(lines)


def _cells(one: ExplainedPeriod) -> tuple[str, ...]:
    return (
        f"{one.starts_at.astimezone(LONDON):%a %d %b %H:%M %Z}",
        number(one.planned_kw, 2),
        number(one.setpoint_kw, 2),
        number(one.told_kw, 2),
        number(one.tariff_gbp_per_kwh, 3),
        number(one.cost_gbp_per_kwh, 3),
        f"{'* ' if one.is_held else ''}{one.words}{f' [{one.note}]' if one.note else ''}",
    )


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
