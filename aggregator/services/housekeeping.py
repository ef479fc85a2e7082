"""What is done at every sweep, beside the jobs that are due: cheap where there is nothing to do, safe to run twice."""

from datetime import datetime

from django.conf import settings

from aggregator.services.control_acts import expire_control_acts
from aggregator.services.jobs import enqueue


def keep_house(*, now: datetime) -> None:
    """Ask for each daily job once a UTC day, and close control acts nobody agreed to in time."""
    for kind in settings.DAILY_JOBS:
        enqueue(kind=kind, payload={}, now=now, unique_key=f"{kind}:{now.date().isoformat()}")
    expire_control_acts(now=now)
