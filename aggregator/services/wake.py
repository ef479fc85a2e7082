"""Wake whoever does jobs. The row is the queue: a message lost here costs the time until the next sweep, no work."""

import logging

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu import Connection
from kombu.exceptions import KombuError

from aggregator.services import jobs

logger = logging.getLogger(__name__)

RUN_JOB_TASK = "aggregator.run_job"
SWEEP_TASK = "aggregator.sweep"
PATIENCE_S = 0.5  # for each step of one delivery; the caller's page waits for it


def wake(*, job_id: int, clock: jobs.Clock) -> None:
    """Have the job done as soon as the caller's transaction commits: by a worker, or here where there is no broker.

    Nothing that goes wrong reaches the caller: an error of the job is in its row, one of the broker in the log.
    """

    def wake_someone() -> None:  # a function of its own: Django names it where it reports what went wrong
        if settings.CELERY_BROKER_URL:
            _send(job_id)
        else:
            _run_here(job_id, clock)

    transaction.on_commit(wake_someone, robust=True)


def _run_here(job_id: int, clock: jobs.Clock) -> None:
    jobs.run(job_id=job_id, clock=clock, worker=jobs.worker_name())


def _send(job_id: int) -> None:
    """Send one message over a connection of its own, given up after a second or two."""
    broker = Connection(
        settings.CELERY_BROKER_URL,
        connect_timeout=PATIENCE_S,
        transport_options={
            **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
            "max_retries": 0,
            "socket_timeout": PATIENCE_S,  # Redis
            "socket_connect_timeout": PATIENCE_S,
            "read_timeout": PATIENCE_S,  # RabbitMQ
            "write_timeout": PATIENCE_S,
        },
    )
    refusals: tuple[type[BaseException], ...] = (
        KombuError,
        OSError,
        *broker.connection_errors,
        *broker.channel_errors,
    )
    try:
        with broker:
            current_app.send_task(
                RUN_JOB_TASK,
                kwargs={"job_id": job_id},
                queue=settings.CELERY_TASK_DEFAULT_QUEUE,
                connection=broker,
                retry=False,
                ignore_result=True,
            )
    except refusals as error:
        logger.warning("job %d waits for the next sweep: the broker did not take the message: %s", job_id, error)
