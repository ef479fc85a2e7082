"""Requests generated from the schema, and every answer held against it."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from aggregator.rest.schema_whole import whole_schema
from tests.machines import make_machine, token_of, with_csrf
from tests.people import log_in
from tests.walls.world import World

SEED = int(os.environ.get("CONTRACT_SEED", "1"))
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# 412 and 422 are what a well-formed request is told whose state, or whose values together, are not what is needed.
TOLD_TO_GOOD = ["2xx", "3xx", "401", "403", "404", "409", "412", "422"]
TOLD_TO_BAD = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428"]
TOLD_WITHOUT_HEADER = ["400", "401", "403", "404", "406", "415", "422", "428"]


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> bytes:
    """Lines as they are made up: any text is a body, if not a good one."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@dataclass
class Report:
    """What a run found: failures in words, and how many requests it made of each operation."""

    failures: list[str] = field(default_factory=list)
    n_case: Counter[str] = field(default_factory=Counter)


def machine_headers(world: World, organisation: str) -> dict[str, str]:
    token = token_of(make_machine(world.organisations[organisation]), expires_in_s=86_400)
    return {"Authorization": f"Bearer {token}"}


def person_headers(name: str) -> dict[str, str]:
    """A session confirmed just now, for as long as the run takes, and its CSRF token."""
    client = log_in(Client(), User.objects.get(username=name))
    csrf = with_csrf(client)
    cookies = "; ".join(f"{key}={morsel.value}" for key, morsel in client.cookies.items())
    return {"Cookie": cookies, **csrf}


class OneThread:
    """The application in a thread of its own, whose one connection to the database serves every request."""

    def __init__(self) -> None:
        self._application = get_wsgi_application()
        self._thread = ThreadPoolExecutor(1)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._thread.submit(lambda: list(self._application(environ, start_response))).result()

    def close(self) -> None:
        self._thread.submit(connections.close_all).result()
        self._thread.shutdown()


def run(headers: dict[str, str], *, max_examples: int, phases: tuple[str, ...] = PHASES, seed: int = SEED) -> Report:
    """Ask everything as one viewer, with every check."""
    app = OneThread()
    try:
        return _run(app, headers, max_examples=max_examples, phases=phases, seed=seed)
    finally:
        app.close()


def _run(app: OneThread, headers: dict[str, str], *, max_examples: int, phases: tuple[str, ...], seed: int) -> Report:
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": headers,
            "workers": 1,
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            "generation": {"max-examples": max_examples, "database": "none"},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": TOLD_TO_GOOD},
                "negative_data_rejection": {"expected-statuses": TOLD_TO_BAD},
                "missing_required_header": {"expected-statuses": TOLD_WITHOUT_HEADER},
            },
        }
    )
    schema = schemathesis.openapi.from_dict(whole_schema(), config=config)
    schema.app = app
    schema.location = "/api/v1/schema/"
    return _collect(from_schema(schema).execute())


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Drop a made-up cursor from a good request: cursors are signed, and the schema cannot say which one is good."""
    if case.meta and case.meta.generation.mode.is_positive and "cursor" in (case.query or {}):
        del case.query["cursor"]


def _collect(stream: Any) -> Report:
    report = Report()
    for event in stream:
        if isinstance(event, events.NonFatalError):
            report.failures.append(f"{event.label}: {event.info.format()}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            for case in recorder.cases.values():
                report.n_case[case.value.operation.label] += 1
            for checks in recorder.checks.values():
                report.failures += [
                    f"{recorder.label} {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                    for check in checks
                    if check.failure_info is not None
                ]
    return report
