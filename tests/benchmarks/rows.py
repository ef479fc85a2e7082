"""From rows to rows: a run of a generated area, loaded, solved, checked and stored, with seconds and memory by step.

    DATABASE_URL=postgres://…/scratch python -m tests.benchmarks.rows --evses 1000000 --json OUT

The area is made once in a database of its own beside the one named (scratch_rows_1000000); runs of it are made anew.
"""
# ruff: noqa: T201 - what it measured is printed

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

KIB = 1024
ROOT = Path(__file__).parents[2]
# Each step by the names the run's service calls it by; a step within another is indented in the table.
STEPS = (
    ("dispatch.services.runs", "load_facts", "load"),
    ("dispatch.services.run_facts", "load_area", "  network"),
    ("dispatch.services.run_facts", "load_fleet", "  fleet"),
    ("dispatch.services.run_facts", "load_forecast_sessions", "  sessions"),
    ("dispatch.services.run_facts", "_background", "  background"),
    ("dispatch.services.run_facts", "_reserve", "  override reserve"),
    ("dispatch.services.runs", "assemble", "assemble"),
    ("dispatch.services.runs", "_fingerprint", "fingerprint"),
    ("", "", "solve"),
    ("dispatch.core.proof", "check_power", "  check of the plan"),
    ("dispatch.core.proof", "check_setpoints", "  check of the rounding"),
    ("dispatch.services.runs", "_with_spare", "spare"),
    ("dispatch.core.spare", "check_nodes", "  check of the ceilings"),
    ("dispatch.services.runs", "store_run", "store"),
    ("dispatch.arrays.runs", "_store_nodes", "  nodes"),
    ("dispatch.arrays.runs", "_store_setpoints", "  setpoints"),
    ("dispatch.services.runs", "_store_findings", "findings"),
)


@dataclass(slots=True)
class Measured:
    """Seconds of each step by the clock and of this process's CPU, and its highest memory when the step ended."""

    n_evse: int
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    facts: dict[str, float | int | str] = field(default_factory=dict)

    def step(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(act)
        def timed(*args: Any, **named: Any) -> Any:
            started, cpu_started = perf_counter(), process_time()
            try:
                return act(*args, **named)
            finally:
                self.cpu_s[name] = self.cpu_s.get(name, 0.0) + process_time() - cpu_started
                self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - started
                self.peak_mib[name] = peak_mib()

        return timed


def peak_mib(pid: int | str = "self") -> float:
    """Highest resident memory of a process so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / KIB for line in lines if line.startswith("VmHWM")), 0.0)


def prepare(url: str, n_evse: int, *, has_phases: bool) -> None:
    """Make the database and the area in it, unless they are there."""
    os.environ["DATABASE_URL"] = f"{url}_rows_{n_evse}{'_phases' if has_phases else ''}"
    os.environ["CONTROLLABLE_CAP_MW"] = "1000000"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")
    subprocess.run([sys.executable, "manage.py", "prepare_database", "-v", "0"], cwd=ROOT, check=True)
    import django

    django.setup()
    from aggregator.models import work_as_platform

    work_as_platform()


def sow(n_evse: int, *, has_phases: bool) -> Any:
    """The area's forecast; the area is written where there is none, and earlier runs are removed."""
    import psycopg
    from django.db import connection

    from aggregator.models import EVSE, AvailabilityForecast
    from tests.benchmarks.seeding import sow_area

    if not EVSE.objects.across_tenants().exists():
        started = perf_counter()
        sow_area(n_evse, has_phases=has_phases)
        print(f"made an area with {n_evse} EVSEs in {perf_counter() - started:.0f} s", file=sys.stderr)
    with psycopg.connect(os.environ["DATABASE_URL"]) as owner:
        owner.autocommit = True
        owner.execute("TRUNCATE dispatch_dispatchrun, dispatch_setpoint, dispatch_issuedsetpoint CASCADE")
        owner.execute("TRUNCATE aggregator_finding")
        owner.execute("VACUUM ANALYZE")
        owner.execute("CHECKPOINT")
    connection.close()
    return AvailabilityForecast.objects.get()


def measure(forecast: Any, *, method: str, gap: float, time_limit_s: float) -> Measured:
    """Run it with every step timed."""
    import importlib

    from django.db import connection

    from aggregator.models import EVSE
    from dispatch.arrays.runs import load_ceilings
    from dispatch.core.assemble import RunParameters
    from dispatch.core.solve import solve
    from dispatch.services import runs
    from tests.benchmarks.seeding import AS_OF, TARIFF

    measured = Measured(EVSE.objects.across_tenants().count())
    for module_name, name, step in STEPS:
        if name:
            module = importlib.import_module(module_name)
            setattr(module, name, measured.step(step, getattr(module, name)))
    parameters = RunParameters(method=method, gap=gap, time_limit_s=time_limit_s)
    run = measured.step("in all", runs.run_dispatch)(
        forecast=forecast,
        as_of=AS_OF,
        tariff_code=TARIFF,
        parameters=parameters,
        solver=measured.step("solve", solve),
    )
    backend = connection.connection.info.backend_pid
    measured.facts |= {
        "rung": run.rung,
        "method": run.method,
        "gap": run.gap,
        "cost_gbp": run.cost_gbp,
        "server_peak_mib": peak_mib(backend) if Path(f"/proc/{backend}").exists() else 0.0,
        "setpoints_a_second": measured.n_evse / measured.seconds["store"],
        "evses_a_second": measured.n_evse / measured.seconds["in all"],
    }
    measured.step("read back", load_ceilings)(run=run)
    return measured


def show(measured: Measured) -> None:
    print(f"{measured.n_evse} EVSEs")
    for step in [*(name for _, _, name in STEPS if name in measured.seconds), "in all", "read back"]:
        by_clock, of_cpu = measured.seconds[step], measured.cpu_s[step]
        print(f"  {step:26}{by_clock:9.2f} s{of_cpu:9.2f} s of CPU{measured.peak_mib[step]:9.0f} MiB")
    for name, value in measured.facts.items():
        print(f"  {name:26}{value if isinstance(value, str) else f'{value:,.6g}':>11}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--evses", type=int, default=10_000)
    asked.add_argument("--phases", action="store_true", help="feeders with phases, and homes on them")
    asked.add_argument("--method", default="auto")
    asked.add_argument("--gap", type=float, default=1e-4)
    asked.add_argument("--time-limit", type=float, default=60.0)
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    url = os.environ.get("DATABASE_URL")
    if not url:
        asked.error("DATABASE_URL must name a database beside which scratch ones may be made")
    prepare(url, options.evses, has_phases=options.phases)
    forecast = sow(options.evses, has_phases=options.phases)
    measured = measure(forecast, method=options.method, gap=options.gap, time_limit_s=options.time_limit)
    show(measured)
    if options.json:
        options.json.write_text(json.dumps(asdict(measured), indent=2) + "\n")


if __name__ == "__main__":
    main()
