"""Do jobs until told to stop: the worker where there is no broker, and the poll that needs none where there is."""

import logging
import signal
import threading
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from aggregator.models import Job
from aggregator.services import jobs
from aggregator.services.housekeeping import keep_house

logger = logging.getLogger(__name__)

LONGEST_BACK_OFF_S = 60


class Command(BaseCommand):
    help = "Do the jobs that are due, then look again every few seconds; on SIGTERM or SIGINT finish the job at hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when no job is due")

    def handle(self, *_args: Any, once: bool, **_options: Any) -> None:
        with told_to_stop() as stop:
            counts = do_due(stop) if once else do_until(stop)
        self.stdout.write(", ".join(f"{counts[state]} {state}" for state in ("done", "queued", "failed")))


def do_due(stop: threading.Event) -> Counter[str]:
    """Do what is due now; count the jobs by the state they ended in."""
    return Counter(str(job.state) for job in _run_due(stop))


def do_until(stop: threading.Event) -> Counter[str]:
    """Sweep until ``stop``; while the database is away say so and wait a little longer each time."""
    counts: Counter[str] = Counter()
    n_outages = 0
    while not stop.is_set():
        wait_s = float(settings.JOB_SWEEP_S)
        try:
            keep_house(now=timezone.now())
            counts += do_due(stop)
            n_outages = 0
        except (OperationalError, InterfaceError) as error:
            wait_s = min(2.0**n_outages, LONGEST_BACK_OFF_S)
            n_outages += 1
            logger.warning("the database is away, asked again in %.0f s: %s", wait_s, error)
            connection.close()
        stop.wait(wait_s)
    return counts


def _run_due(stop: threading.Event) -> list[Job]:
    return jobs.run_due(clock=timezone.now, worker=jobs.worker_name(), is_stopping=stop.is_set)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, so that the job at hand is finished first."""
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
