"""A dispatch killed while its solver runs: the last stored plan stays in force, and the next run works.

A real process on the suite's database; what tells that it is in the middle is the solver's own process under it.
"""

import signal
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from aggregator.models import Event
from aggregator.services.forecasts import forecast_area
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun, Setpoint
from dispatch.services.runs import run_dispatch, run_in_force
from markets.services.cycle import day_ahead
from tests.walks.small_area import TARIFF, make_small_area
from tests.walks.test_worker import Worker, eventually

pytestmark = pytest.mark.django_db(transaction=True)

DAY = date(2026, 1, 15)
AS_OF = day_ahead(DAY)
SCRIPT = f"""
import django
django.setup()
from aggregator.models import work_as_platform
from dispatch.core.assemble import RunParameters
from dispatch.services.runs import newest_forecast, run_dispatch
from datetime import datetime
work_as_platform()
as_of = datetime.fromisoformat("{AS_OF.isoformat()}")
forecast = newest_forecast(area_code="street", day=as_of.date().fromisoformat("{DAY}"), as_of=as_of)
run_dispatch(forecast=forecast, as_of=as_of, tariff_code="{TARIFF}", parameters=RunParameters(method="reference"))
print("stored a run")
"""


@pytest.fixture
def start(transactional_db, tmp_path) -> Iterator[Callable[[], Worker]]:
    """Start the dispatch; at the end it is not left running, so that the tables can be emptied."""
    workers: list[Worker] = []

    def start_one() -> Worker:
        log = tmp_path / f"dispatch-{len(workers)}.log"
        workers.append(Worker(log, "-c", SCRIPT, DJANGO_SETTINGS_MODULE="flex.settings"))
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.end()


def solvers_of(pid: int) -> list[int]:
    """Processes the dispatch has started to solve in."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [child for child in found if "dispatch.core.child" in commanded(child)]


def commanded(pid: int) -> str:
    """Its command line, empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def stored() -> dict[str, list[object]]:
    """Everything a dispatch writes."""
    setpoints = Setpoint.objects.across_tenants().order_by("pk").values()
    runs, events = DispatchRun.objects.order_by("pk").values(), Event.objects.across_tenants().order_by("pk").values()
    return {"runs": list(runs), "setpoints": list(setpoints), "events": list(events)}


class TestKilledDispatch:
    def test_leaves_the_last_plan_in_force_and_the_next_run_works(self, start):
        make_small_area(DAY)
        forecast = forecast_area(area_code="street", day=DAY, as_of=AS_OF)
        facts = {"forecast": forecast, "as_of": AS_OF, "tariff_code": TARIFF}
        last = run_dispatch(**facts, parameters=RunParameters(method="greedy"))
        before = stored()

        killed = start()
        eventually(lambda: solvers_of(killed.process.pid) or killed.process.poll() is not None, "a solver at work")
        solvers = solvers_of(killed.process.pid)
        assert solvers, killed.log.read_text()
        killed.send(signal.SIGKILL)
        assert killed.process.wait(timeout=60) == -signal.SIGKILL

        assert stored() == before
        assert run_in_force(area_code="street", day=DAY).pk == last.pk
        # Nobody waits for the solver any more: it ends by itself.
        eventually(lambda: not any(commanded(solver) for solver in solvers), "the orphaned solver's end")

        done = start()
        assert done.process.wait(timeout=120) == 0, done.log.read_text()
        run = run_in_force(area_code="street", day=DAY)
        assert run.pk != last.pk
        assert (run.rung, run.method) == ("certified", "reference")
