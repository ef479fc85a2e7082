"""A month's settlement from PostgreSQL against pandas, interleaved: ``python -m tests.benchmarks.settlement``.

A fleet called on each of 30 evenings, with 60 days of history before, is put into a scratch database beside the one
that DATABASE_URL names (the embedded server's where it is unset), settled, and the database dropped. Every case runs
in a process of its own; memory is what it and its database backends hold at once. pandas gets its long table in memory
and stores nothing; it must come to the same baselines and pennies.
"""
# ruff: noqa: T201 - what it measured is printed

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).parents[2]
OURS, ONE_BY_ONE, PANDAS, INGEST = "ours", "event by event", "pandas", "ingest"
WRITTEN = "markets_settledday, markets_settlementrun, aggregator_finding"
SAMPLE_S = 0.2
KIB = 1024

Answer = dict[str, Any]


@dataclass(slots=True)
class Row:
    """Runs of one case on a fleet of one size; memory in MiB, of all processes and of the case's own."""

    n_evse: int
    case: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return min(answer["seconds"] for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Scratch:
    """A database of its own, dropped when done."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.lstrip("/")

    def at(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def execute(self, *statements: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as owner:
            for statement in statements:
                cursor = owner.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        with psycopg.connect(self.at("postgres"), autocommit=True) as owner:
            owner.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


class Watch:
    """Samples a case and its database backends while it runs: the highest memory held, and the backends' CPU time."""

    def __init__(self, pid: int, database: str) -> None:
        self.pid, self.database = pid, database
        self.peak_kib = self.own_kib = 0
        self.backend_s: dict[int, float] = {}
        self.done = Event()
        self.thread = Thread(target=self._sample)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _sample(self) -> None:
        with psycopg.connect(self.database, autocommit=True) as owner:
            find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            while not self.done.wait(SAMPLE_S):
                own = _held_kib(self.pid)
                pids = [pid for (pid,) in owner.execute(find).fetchall()]
                self.own_kib = max(self.own_kib, own)
                self.peak_kib = max(self.peak_kib, own + sum(_held_kib(pid) for pid in pids))
                self.backend_s |= {pid: spent for pid in pids if (spent := _spent_s(pid))}


def _held_kib(pid: int) -> int:
    """Proportional set size: pages that processes share count once among them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _spent_s(pid: int) -> float:
    """CPU time of a process so far, in user and system mode; 0 when it is gone."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def prepare(url: str, n_evse: int) -> Scratch:
    """Make the scratch database and the fleet in it, unless they are there."""
    base = Scratch(url)
    scratch = Scratch(base.at(f"{base.name}_settlement_{n_evse}"))
    environment = {**os.environ, "DATABASE_URL": scratch.url}
    subprocess.run([sys.executable, "manage.py", "prepare_database", "-v", "0"], cwd=ROOT, check=True, env=environment)
    began = perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.settlement", "--sow", str(n_evse)]
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    scratch.execute("VACUUM ANALYZE", "CHECKPOINT")
    found = scratch.execute(
        "SELECT sum(pg_total_relation_size(relid)), sum(n_live_tup) FROM pg_stat_user_tables "
        "WHERE relname LIKE 'aggregator_meterday_%'"
    )[0]
    a_day = f", {found[0] / found[1]:.0f} bytes a meter-day with its indexes" if found[1] else ""
    print(f"{n_evse} EVSEs: {int(found[0] or 0) / 2**30:.2f} GiB of readings{a_day} ({perf_counter() - began:.0f} s)")
    return scratch


def sow(n_evse: int) -> None:
    """Write the fleet, its events and its readings, where there is none."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")
    import django

    django.setup()
    from aggregator.models import EVSE, work_as_platform
    from tests.benchmarks.settlement_seeding import sow_fleet, sow_readings

    work_as_platform()
    if not EVSE.objects.across_tenants().exists():
        sow_fleet(n_evse)
        sow_readings(os.environ["DATABASE_URL"])


def measure(scratch: Scratch, case: str, *, kill_s: float) -> Answer:
    """Run one case in a fresh process, with nothing settled yet."""
    scratch.execute(f"TRUNCATE {WRITTEN} CASCADE", "CHECKPOINT")
    command = [sys.executable, "-m", "tests.benchmarks.settlement_cases", case]
    environment = {**os.environ, "DATABASE_URL": scratch.url}
    with (
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child,
        Watch(child.pid, scratch.url) as watch,
    ):
        try:
            said, _ = child.communicate(timeout=kill_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    answer: Answer = json.loads(said.splitlines()[-1])
    kept = scratch.execute("SELECT pg_total_relation_size('markets_settledday')")[0][0]
    seen = {"peak_mib": watch.peak_kib / KIB, "own_mib": watch.own_kib / KIB, "server_s": sum(watch.backend_s.values())}
    return answer | seen | {"settled_bytes": kept}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 1 where two cases came to different baselines or pennies."""
    options = _options(arguments)
    if options.sow:
        sow(options.sow)
        return 0
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    rows = []
    for n_evse in (int(size) for size in options.sizes.split(",")):
        scratch = prepare(_server(), n_evse)
        try:
            rows += _measure(scratch, n_evse, options)
        finally:
            if not options.keep:
                scratch.drop()
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([[row.n_evse, row.case, row.answers] for row in rows], indent=1))
    return int(bool(_differences(rows)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000", help="EVSEs, comma-separated")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every case")
    parser.add_argument("--pandas-up-to", type=int, default=1_000, metavar="EVSES", help="larger fleets it cannot hold")
    parser.add_argument("--by-event-up-to", type=int, default=1_000, metavar="EVSES", help="settle_event 30 times")
    parser.add_argument("--cap", type=float, default=3_600.0, metavar="SECONDS", help="a case is killed after this")
    parser.add_argument("--keep", action="store_true", help="leave the scratch databases for the next time")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--sow", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _server() -> str:
    if url := os.environ.get("DATABASE_URL"):
        return url
    from flex import postgres

    return postgres.ensure_running()


def _measure(scratch: Scratch, n_evse: int, options: argparse.Namespace) -> list[Row]:
    cases = [OURS, INGEST]
    cases += [PANDAS] if n_evse <= options.pandas_up_to else []
    cases += [ONE_BY_ONE] if n_evse <= options.by_event_up_to else []
    rows = [Row(n_evse, case) for case in cases]
    for turn in range(options.rounds):
        for row in rows:
            row.answers.append(measure(scratch, row.case, kill_s=options.cap))
            print(f"  round {turn + 1}: {row.case}: {row.answers[-1]['seconds']:.2f} s", file=sys.stderr)
    return rows


def _differences(rows: list[Row]) -> list[str]:
    """Cases that settled something else than ours did."""
    first = {row.n_evse: row.answers[0] for row in rows if row.case == OURS}
    return [
        f"{row.n_evse} {row.case}"
        for row in rows
        for answer in row.answers
        if row.case != INGEST and any(answer[name] != first[row.n_evse][name] for name in ("paid", "sha256"))
    ]


def table(rows: list[Row]) -> str:
    """Rows as Markdown, each beside ours on the same fleet."""
    names = (
        "EVSEs",
        "by",
        "runs",
        "min s",
        "median s",
        "CPU s",
        "server CPU s",
        "x ours",
        "peak MiB",
        "own MiB",
        "result",
    )
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    ours = {row.n_evse: row.seconds for row in rows if row.case == OURS}
    odd = _differences(rows)
    for row in rows:
        last, seconds = row.answers[-1], sorted(answer["seconds"] for answer in row.answers)
        if row.case == INGEST:
            of_a_second = (last["readings_a_second"], last["again_a_second"], last["corrected_a_second"])
            result = "{:,.0f} readings/s, again {:,.0f}, a tenth corrected {:,.0f}".format(*of_a_second)
        else:
            same = "differs" if f"{row.n_evse} {row.case}" in odd else "same"
            bytes_a_day = last["settled_bytes"] / max(last["n_settled_days"], 1)
            result = f"{same}, {last['n_settled_days']:,} settled days" + (
                f" of {bytes_a_day:.0f} bytes" if last["settled_bytes"] > KIB * KIB else ""
            )
        cells = (
            f"{row.n_evse:,}",
            row.case,
            str(len(seconds)),
            f"{seconds[0]:.2f}",
            f"{median(seconds):.2f}",
            f"{last['cpu_s']:.1f}" if "cpu_s" in last else "-",
            f"{last['server_s']:.1f}",
            "-" if row.case in (OURS, INGEST) else f"{seconds[0] / ours[row.n_evse]:.1f}",
            f"{max(answer['peak_mib'] for answer in row.answers):,.0f}",
            f"{max(answer['own_mib'] for answer in row.answers):,.0f}",
            result,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
