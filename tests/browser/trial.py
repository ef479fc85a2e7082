"""A whole site of its own for the browser: the demo in a scratch database, served as `make run` serves it.

Everything runs in processes of its own, by the commands that people use. So nothing of it meets the suite's database,
and Playwright's event loop, which runs in the test's thread, meets no query.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from flex import postgres
from markets.services.demo_file import read_demo_file

PROJECT = Path(__file__).resolve().parents[2]
DEMO = (("manage.py", "prepare_database"), ("manage.py", "seed_demo"), ("manage.py", "run_cycle", "--demo"))
TRADE = ("-m", "tests.browser.trade")
MORE = ("-m", "tests.browser.more")
PERSON = re.compile(r"^  (?P<name>\S+) +(?P<password>\S+)  ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Trial:
    """A site that is up.

    Attributes:
        origin: ``http://127.0.0.1:port``.
        passwords: by user name.
        secrets: of the authenticators of the demo's people; the others set theirs up at the first log-in.
    """

    origin: str
    passwords: dict[str, str]
    secrets: dict[str, str]


@contextmanager
def trial_site(folder: Path, *, with_more: bool = True) -> Iterator[Trial]:
    """Seed, run the demo's cycle, trade ahead of it, serve; at the end nothing is left but ``folder``.

    Args:
        with_more: add what walks need beside the demo (``tests/browser/more.py``).
    """
    owner = _owner_url()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    scratch = f"{urlsplit(owner).path[1:]}_browser_{worker}"
    environment = _environment(folder, _named(owner, scratch))
    _drop(owner, scratch)
    try:
        for step in (*DEMO, TRADE, MORE) if with_more else (*DEMO, TRADE):
            _run(step, environment)
        with _served(environment) as origin:
            yield Trial(origin, _passwords(folder), _secrets(folder))
    finally:
        _drop(owner, scratch)


def _owner_url() -> str:
    """The server that the suite uses; the embedded one is started where none is named."""
    named = os.environ.get("DATABASE_URL", "")
    if not named:
        postgres.ensure_running()
    return named or postgres.owner_url()


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _environment(folder: Path, database_url: str) -> dict[str, str]:
    """What the environment says, but for what would lead to another database, broker, log or folder."""
    dropped = {"DATABASE_APP_URL", "HEADROOM_DB_ROLE", "CELERY_BROKER_URL", "EVENT_ANCHOR_FILE"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"DATABASE_URL": database_url, "HEADROOM_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "flex.settings"}


def _run(step: tuple[str, ...], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *step],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # what it said is told below
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(step)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


@contextmanager
def _served(environment: dict[str, str]) -> Iterator[str]:
    log = Path(environment["HEADROOM_VAR"]) / "serve.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", "0"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            if address is None:
                raise RuntimeError(f"the site is not served: {line}{log.read_text()}")
            yield address[0]
        finally:
            process.terminate()
            process.stdout.read()  # to its end, so that it never waits to be read


def _passwords(folder: Path) -> dict[str, str]:
    demo = {match["name"]: match["password"] for match in PERSON.finditer((folder / "demo-logins.txt").read_text())}
    more = folder / "more-logins.json"
    return demo | (json.loads(more.read_text()) if more.is_file() else {})


def _secrets(folder: Path) -> dict[str, str]:
    people = read_demo_file(folder / "demo-logins.txt").people
    return {name: person.secret for name, person in people.items()}


def _drop(owner_url: str, database: str) -> None:
    """Remove the scratch database and the application's role in it, where they are."""
    maintenance = _named(owner_url, "postgres")
    with psycopg.connect(maintenance, autocommit=True) as session:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
        session.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{database}_app")))
