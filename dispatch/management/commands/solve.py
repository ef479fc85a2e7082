"""``manage.py solve PROBLEM.npz PLAN.npz``: the engine from file to file, without a database."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aggregator.core.errors import FlexError
from dispatch.adapters.npz import read_problem, require_writable, write_plan
from dispatch.core.network import limit_findings
from dispatch.core.solve import solve


class Command(BaseCommand):
    help = "Dispatch a problem file (npz, the contract's field names) and write the plan; needs no database."
    # Nothing here may open a database: checks and migration warnings would.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("problem", type=Path, metavar="PROBLEM.npz")
        parser.add_argument("plan", type=Path, metavar="PLAN.npz")
        parser.add_argument("--method", default="auto", choices=["auto", "reference", "sparse", "fast", "greedy"])
        parser.add_argument("--gap", type=float, default=1e-4, help="certified relative gap asked")
        parser.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            require_writable(options["plan"])
            problem = read_problem(options["problem"])
            plan = solve(problem, method=options["method"], gap=options["gap"], time_limit_s=options["time_limit"])
            write_plan(options["plan"], plan)
        except FlexError as error:
            raise CommandError(str(error)) from error
        for finding in limit_findings(problem.node_ids, problem.node_limit_kw):
            self.stderr.write(f"{finding.severity}: {finding.message}")
        self.stdout.write(f"method      {plan.method}")
        self.stdout.write(f"gap         {plan.gap:.3e}")
        self.stdout.write(f"bound       {plan.lower_bound_gbp:.6f} GBP")
        self.stdout.write(f"cost        {plan.cost_gbp:.6f} GBP")
        self.stdout.write(f"violation   {plan.max_violation_kw:.3e} kW")
        self.stdout.write(f"rung        {plan.rung}")
        self.stdout.write(f"seconds     {plan.solve_s:.3f}")
