"""The engine against its peers, interleaved: ``python -m tests.benchmarks.engine``, or ``make bench``.

Every round runs every case once, each in a fresh process, so that a busy minute of the machine falls on all alike.
What counts are the ratios; seconds come with the machine's memory bandwidth, which an iteration is bound by.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from tests.benchmarks.cases import Case
from tests.benchmarks.peers import ENGINE, PEERS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "numba", "scipy", "highspy", "pulp", "ortools")
# A peer that took longer than this is not asked again.
_ONCE_S = 30.0
_LARGEST, _LARGE = 1_000_000, 10_000_000
_COLUMNS = ("case", "by", "runs", "min s", "median s", "x engine", "gap", "over bound", "rung", "peak GiB")

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 1 when a case gave no answer at all."""
    options = _options(arguments)
    about = _about()
    sys.stdout.write("".join(f"{name:<18}{value}\n" for name, value in about.items()))
    rows = _measure(list(_cases(options)), options)
    sys.stdout.write(table(rows) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    return int(any(not row["seconds"] for row in rows if row["case"]["peer"] == "engine"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="sessions, comma-separated")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--gaps", default="1e-4,1e-5", help="gaps asked of the engine, the first in all cases")
    parser.add_argument("--cap", type=float, default=300.0, metavar="SECONDS", help="a case is killed after this")
    parser.add_argument("--sparse-100k", action="store_true", help="sparse HiGHS at 100,000 sessions too")
    parser.add_argument(
        "--plain", action="store_true", help="one kind of problem, cold: no features, warm or first starts"
    )
    parser.add_argument("--large", action="store_true", help="10,000,000 x 48 too; needs 10 GiB")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    """Peers at every size they are made for, the engine with all features, and what is asked of the largest."""
    sizes = [int(size) for size in options.sizes.split(",")]
    gap, *finer = [float(gap) for gap in options.gaps.split(",")]
    peers = options.peers.split(",")
    limit_s = options.cap
    for n in sizes:
        for name in peers:
            most = 100_000 if name == "sparse HiGHS" and options.sparse_100k else PEERS[name].most_sessions
            if n <= most:
                yield Case("solve", name, n, gap=gap, time_limit_s=limit_s)
        if "engine" in peers and not options.plain:
            yield Case("solve", n_session=n, is_full=True, gap=gap, time_limit_s=limit_s)
            yield Case("warm", n_session=n, gap=gap, time_limit_s=limit_s)
            yield from (Case("solve", n_session=n, gap=fine, time_limit_s=limit_s) for fine in finer)
    if _LARGEST in sizes and not options.plain:
        yield Case("solve", n_session=_LARGEST, n_period=288, gap=gap, time_limit_s=limit_s)
    if options.large:
        yield Case("solve", n_session=_LARGE, gap=gap, time_limit_s=limit_s)
    if not options.plain:
        # Twice: the first start of a version compiles and stores, the second only loads.
        yield from [Case("start", n_session=min(sizes), gap=gap, time_limit_s=limit_s)] * 2


def _measure(cases: list[Case], options: argparse.Namespace) -> list[Row]:
    rows = [{"case": asdict(case), "seconds": [], "answer": {}, "failure": ""} for case in cases]
    for turn in range(options.repeat):
        for case, row in zip(cases, rows, strict=True):
            if turn and (row["failure"] or case.kind == "start"):
                continue
            if turn and case.peer != "engine" and row["seconds"][0] > _ONCE_S:
                continue
            _add_run(row, case, kill_s=2 * options.cap)
            sys.stderr.write(f"  round {turn + 1}: {label(case)} by {case.peer}: {_said(row)}\n")
    return rows


def _add_run(row: Row, case: Case, *, kill_s: float) -> None:
    started = perf_counter()
    try:
        found = in_child(case, kill_s=kill_s)
    except subprocess.TimeoutExpired:
        row["failure"] = f"killed after {perf_counter() - started:.0f} s"
    except subprocess.CalledProcessError as error:
        row["failure"] = (error.stderr.strip().splitlines() or ["no message"])[-1][:100]
    else:
        row["seconds"].append(found["seconds"])
        row["answer"] = found | {"peak_gib": max(found["peak_gib"], row["answer"].get("peak_gib", 0.0))}


def in_child(case: Case, *, kill_s: float = 600.0) -> dict[str, Any]:
    """Run one case in a fresh process of this checkout."""
    command = [sys.executable, "-m", "tests.benchmarks.cases", json.dumps(asdict(case))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=kill_s)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _said(row: Row) -> str:
    return row["failure"] or f"{row['seconds'][-1]:.3f} s"


def label(case: Case) -> str:
    """A case's name in the table."""
    words = {"solve": "", "warm": ", 5 % of needs changed", "start": ", first solve of a process", "bandwidth": ""}
    features = ", all features" if case.is_full else ""
    return f"{case.n_session:,} x {case.n_period}{features}{words[case.kind]}, {case.gap:g}"


def table(rows: list[Row]) -> str:
    """Rows as Markdown, each beside the engine's fastest on the same case."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    return "\n".join(lines + ["| " + " | ".join(_cells(row, _engine_row(row, rows))) + " |" for row in rows])


def _engine_row(row: Row, rows: list[Row]) -> Row | None:
    """The engine's on the same case, if it answered."""
    same = row["case"] | {"peer": "engine"}
    return next((other for other in rows if other["case"] == same and other["seconds"]), None)


def _cells(row: Row, engine: Row | None) -> list[str]:
    case, answer = Case(**row["case"]), row["answer"]
    by = case.peer if case.peer != "engine" or ENGINE == "fast" else f"engine ({ENGINE}: there is no fast)"
    if not row["seconds"]:
        return [label(case), by, "0", *["-"] * 5, row["failure"], "-"]
    ratio = min(row["seconds"]) / min(engine["seconds"]) if engine else None
    bound = engine["answer"].get("lower_bound_gbp") if engine else None
    over = (answer["cost_gbp"] - bound) / max(1.0, abs(bound)) if bound is not None else None
    return [
        label(case),
        by,
        str(len(row["seconds"])),
        f"{min(row['seconds']):.3f}",
        f"{median(row['seconds']):.3f}",
        "-" if ratio is None else f"{ratio:.1f}",
        "-" if answer.get("gap") is None else f"{answer['gap']:.1e}",
        "-" if over is None else f"{over:.1e}",
        answer["rung"],
        f"{answer['peak_gib']:.2f}",
    ]


def _about() -> dict[str, str]:
    """Machine, versions, date and bandwidth, for the head of the table."""
    bandwidth = in_child(Case("bandwidth"))["gb_per_s"]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "memory bandwidth": f"{bandwidth:.1f} GB/s (STREAM add, all cores)",
        "versions": f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "engine": ENGINE,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
