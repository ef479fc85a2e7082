"""What a Celery worker is woken for. The rows are the queue: a message lost, late or doubled changes nothing."""

from celery import shared_task
from django.utils import timezone

from aggregator.services import jobs
from aggregator.services.housekeeping import keep_house
from aggregator.services.wake import RUN_JOB_TASK, SWEEP_TASK


@shared_task(name=RUN_JOB_TASK)
def run_job(*, job_id: int, **_newer: object) -> None:
    """Do one job, unless another worker has it or it is done."""
    jobs.run(job_id=job_id, clock=timezone.now, worker=jobs.worker_name())


@shared_task(name=SWEEP_TASK)
def sweep(**_newer: object) -> None:
    """Keep house, then do every job that is due and that nobody holds."""
    keep_house(now=timezone.now())
    jobs.run_due(clock=timezone.now, worker=jobs.worker_name())
