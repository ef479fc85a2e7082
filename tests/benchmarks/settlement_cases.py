"""One measurement of the settlement in a process of its own: ``python -m tests.benchmarks.settlement_cases CASE``.

A process a case, so that the peak of memory is the case's own. What it prints last is one line of JSON.
"""
# ruff: noqa: T201 - what it measured is printed

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import numpy as np

Answer = dict[str, Any]


def _start() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")
    import django

    django.setup()
    from aggregator.models import work_as_platform

    logging.disable(logging.INFO)
    work_as_platform()


def ours(n_worker: int = 2) -> Answer:
    """From rows to rows: read, settle, publish statements, keep settled days."""
    from markets.services.month import settle_month
    from tests.benchmarks.settlement_seeding import AS_OF, MONTH

    began, cpu = perf_counter(), process_time()
    settled = settle_month(month=MONTH, as_of=AS_OF, n_worker=n_worker)
    seconds = perf_counter() - began
    return {"seconds": seconds, "cpu_s": process_time() - cpu, **_published([one.pk for one in settled.settlements])}


def by_event() -> Answer:
    """The same, one event after the other."""
    from markets.arrays.month import events_between
    from markets.services.settlement import newest_instructed_run, settle_event
    from tests.benchmarks.settlement_seeding import AS_OF

    began, cpu = perf_counter(), process_time()
    events = list(events_between(starts_at=AS_OF.replace(month=10), ends_at=AS_OF))
    runs = [settle_event(event=event, run=newest_instructed_run(event=event), as_of=AS_OF) for event in events]
    seconds = perf_counter() - began
    return {"seconds": seconds, "cpu_s": process_time() - cpu, **_published([run.pk for run in runs])}


def _published(run_pks: list[int]) -> Answer:
    """What was published: payments, and a digest of every EVSE's baselines and metered energy."""
    from markets.arrays.settled_days import load_settled_days
    from markets.models import SettlementRun, Statement

    statements = Statement.objects.across_tenants().filter(settlement_run__in=run_pks)
    paid = {
        f"{reference} {code}": str(gbp)
        for reference, code, gbp in statements.values_list(
            "settlement_run__event__signal__reference", "organisation__code", "payment_gbp"
        )
    }
    runs = SettlementRun.objects.filter(pk__in=run_pks).select_related("event__signal")
    digest = hashlib.sha256()
    n_row = 0
    for run in sorted(runs, key=lambda one: one.event.signal.reference):
        stored = load_settled_days(settlement=run)
        n_row += len(stored.evse_pks)
        digest.update(np.ascontiguousarray(stored.volume.baseline_quanta.astype(">i4")).tobytes())
        digest.update(np.ascontiguousarray(stored.volume.metered_quanta.astype(">i4")).tobytes())
    return {"paid": paid, "sha256": digest.hexdigest(), "n_settled_days": n_row}


def pandas() -> Answer:
    """The same settlement with pandas, from a long table that is in memory already."""
    from tests.benchmarks.settlement_pandas import long_table, settle_long

    table = long_table()
    began, cpu = perf_counter(), process_time()
    answer = settle_long(table)
    seconds = perf_counter() - began
    return {"seconds": seconds, "cpu_s": process_time() - cpu, **answer}


def ingest(n_reading: int = 960_000) -> Answer:
    """Readings in meter order through the idempotent service, again, and a tenth of them corrected."""
    from datetime import UTC, datetime

    from aggregator.core.meter_energy import ReadingValues
    from aggregator.models import EVSE, Organisation
    from aggregator.services.ingest_readings import ingest_readings

    n_day = 10
    n_meter = max(n_reading // (n_day * 48), 1)
    pks = np.array(EVSE.objects.across_tenants().order_by("meter_id").values_list("meter_id", flat=True)[:n_meter])
    first = np.datetime64("2026-02-01", "s")
    half_hours = first + np.arange(n_day * 48) * np.timedelta64(1800, "s")
    energy = np.random.default_rng(7).integers(0, 3_680, (len(pks), n_day * 48)) / 1000.0
    values = ReadingValues(np.repeat(pks, n_day * 48), np.tile(half_hours, len(pks)), energy.ravel())
    organisation = Organisation.objects.get(code="dno")

    def deliver(sha256: str, some: ReadingValues, day: int) -> tuple[float, int]:
        began = perf_counter()
        result = ingest_readings(
            organisation=organisation,
            source="benchmark",
            sha256=sha256.ljust(64, "0"),
            received_at=datetime(2026, 3, day, tzinfo=UTC),
            values=some,
        )
        return perf_counter() - began, result.n_accepted

    token = f"{os.getpid():x}"
    fresh_s, n_fresh = deliver(f"a{token}", values, 1)
    again_s, n_again = deliver(f"a{token}", values, 1)
    changed = ReadingValues(
        values.meter_pks, values.starts_at, values.energy_kwh + 0.001 * (np.arange(len(values)) % 10 == 0)
    )
    late_s, n_late = deliver(f"b{token}", changed, 2)
    return {
        "seconds": fresh_s,
        "n_reading": len(values),
        "accepted": [n_fresh, n_again, n_late],
        "readings_a_second": len(values) / fresh_s,
        "again_a_second": len(values) / again_s,
        "corrected_a_second": len(values) / late_s,
    }


CASES: dict[str, Callable[..., Answer]] = {
    "ours": ours,
    "ours, one worker": lambda: ours(1),
    "event by event": by_event,
    "pandas": pandas,
    "ingest": ingest,
}

if __name__ == "__main__":
    _start()
    print(json.dumps(CASES[sys.argv[1]]()))
