"""`make bench`: prints first what fell since the last kept run, then tables, and keeps the run.

`--quick` runs a small share of it, `--rivals` our server beside Fastify, Go and the floor.
`--telemetry` is a part of its own, which needs the packages of the extras otel and sentry. Only a
whole run is written into docs/performance.md.
"""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report, rivals, telemetry, workers
from benchmarks.comparison import Grid, compare
from benchmarks.contestants import FLOOR, OURS, PYTHON, Contestant
from benchmarks.data import Database, People
from benchmarks.fallen import fallen
from benchmarks.following import long_logs, told
from benchmarks.growth import OWNERS, grow
from benchmarks.load import find_wrk
from benchmarks.page import write_page
from benchmarks.plans import LIMIT
from benchmarks.results import FOLDER, Results, last_kept
from benchmarks.roundtrips import count_round_trips
from benchmarks.rows import CURVE, WORKLOADS
from benchmarks.startup import start_up
from taskcore import Settings
from taskcore.adapters.embedded import EmbeddedPostgres
from taskcore.wiring import upgrade_database

_QUICK = ("get", "list", "create", "edit")
_BESIDE_RIVALS = tuple(each for each in WORKLOADS if each not in {"bulk", "log in", "refresh"})
_CLIENTS = (1, 32)
_MORE_CLIENTS = (2, 4, 8, 16, 64)
_MANY_CLIENTS = 128
_OF_MANY = ("get", "list", "filter", "search", "create", "edit", "mix")
# The latter of what no target depends on, so that a whole run takes a quarter of an hour at most.
_ROUNDS, _FEWER = 5, 3
_SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Bench:
    """A server of PostgreSQL with people and tasks for these contestants."""

    contestants: Sequence[Contestant]
    database: Database
    people: People
    postmaster: int
    folder: Path
    arguments: argparse.Namespace

    def compare(self, *grids: Grid) -> list[Any]:
        return _with_progress(
            compare(
                grids,
                self.contestants,
                self.database,
                self.people,
                self.postmaster,
                self.folder,
                self.arguments.limit,
            )
        )


def main() -> None:
    arguments = _parser().parse_args()
    find_wrk()
    begun = time.monotonic()
    results = Results(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        system=platform.platform(),
        load=round(os.getloadavg()[0], 1),
    )
    is_whole = not (arguments.quick or arguments.rivals or arguments.telemetry)
    if arguments.telemetry:
        with telemetry.contestants() as sides, _bench(sides, arguments) as bench:
            results.telemetry = bench.compare(Grid(telemetry.WORKLOADS, (32,), arguments.rounds))
    elif arguments.quick:
        with _bench(PYTHON, arguments) as bench:
            grid = Grid(_QUICK, (32,), arguments.rounds)
            results.comparison = bench.compare(grid)
            _count(bench, grid, results)
    elif arguments.rivals:
        with _bench((FLOOR, OURS, *rivals.ready()), arguments) as bench:
            results.comparison = bench.compare(Grid(_BESIDE_RIVALS, (1, 32), arguments.rounds))
    else:
        _whole(arguments, results)
    results.seconds = round(time.monotonic() - begun)
    _finish(arguments, results, is_whole=is_whole)


def _whole(arguments: argparse.Namespace, results: Results) -> None:
    rounds, fewer = arguments.rounds, min(arguments.rounds, _FEWER)
    sizes = (*_SIZES, 10_000_000) if arguments.ten_million else _SIZES
    with _bench((*PYTHON, *rivals.ready()), arguments) as bench:
        database, people, folder = bench.database, bench.people, bench.folder
        grid = Grid(WORKLOADS, _CLIENTS, rounds)
        results.comparison = bench.compare(
            grid, Grid(_OF_MANY, (_MANY_CLIENTS,), fewer), Grid(CURVE, _MORE_CLIENTS, fewer)
        )
        _write(arguments, results)  # now, in case that the machine stops what follows
        _count(bench, grid, results)
        results.growth = _with_progress(grow(sizes, fewer, database, folder))
        results.long_logs = _with_progress(long_logs(fewer, database, people, folder))
        results.told = list(told(database, people, folder))
    with _bench(workers.CONTESTANTS, arguments) as bench:
        grid = Grid(workers.WORKLOADS, (workers.CLIENTS,), fewer)
        results.workers = bench.compare(grid)
    with tempfile.TemporaryDirectory(prefix="taskcore-bench-") as name:
        results.startup = start_up(_opened(name))


def _count(bench: Bench, grid: Grid, results: Results) -> None:
    results.round_trips = list(
        count_round_trips(grid.workloads, bench.database, bench.people, bench.folder)
    )


@contextmanager
def _bench(contestants: Sequence[Contestant], arguments: argparse.Namespace) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="taskcore-bench-") as name:
        folder = _opened(name)
        data = folder / "data"
        with EmbeddedPostgres(data) as server:
            asyncio.run(upgrade_database(Settings.from_env({"DATA_DIR": str(data)})))
            database = Database(server.conninfo)
            beside = sorted({each.table for each in contestants} - {OURS.table})
            people = database.fill(OWNERS, beside=beside)
            postmaster = int((data / "postgres/cluster/postmaster.pid").read_text().split()[0])
            yield Bench(contestants, database, people, postmaster, folder, arguments)


def _opened(name: str) -> Path:
    folder = Path(name)
    folder.chmod(0o755)  # PostgreSQL may run as another account
    return folder


def _finish(arguments: argparse.Namespace, results: Results, *, is_whole: bool) -> None:
    """Raises SystemExit if a request has failed."""
    kept = arguments.against or last_kept()
    _print(fallen(results, Results.read(kept) if kept else None))
    for title, lines in report.parts(results):
        _print([f"{title}:", "", *lines])
    file = _write(arguments, results)
    print(f"{results.seconds:.0f} s; every run is in {file}")
    if results.failed:
        raise SystemExit(f"{results.failed} requests have failed, so their runs prove nothing")
    if is_whole:
        write_page(results, file)


def _write(arguments: argparse.Namespace, results: Results) -> Path:
    file: Path = arguments.json or FOLDER / results.file_name
    file.parent.mkdir(parents=True, exist_ok=True)
    results.write(file)
    return file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--quick", action="store_true", help="four workloads, 32 clients")
    part.add_argument("--rivals", action="store_true", help="beside Fastify and Go alone")
    part.add_argument("--telemetry", action="store_true", help="what telling of itself costs")
    parser.add_argument(
        "--ten-million", action="store_true", help="also with ten million tasks (some minutes more)"
    )
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, help="how often each (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, default=LIMIT, help="tasks in a list (default: %(default)s)"
    )
    parser.add_argument("--against", type=Path, help="the run to compare with (default: last kept)")
    parser.add_argument("--json", type=Path, help="file to write (default: in benchmarks/results)")
    return parser


def _commit() -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the one on the PATH
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return commit.stdout.strip()


def _with_progress(rows: Iterable[Any]) -> list[Any]:
    """Prints a dot for each row, because minutes of silence look like a hang."""
    found = []
    for row in rows:
        print("x" if row.failed else ".", end="", file=sys.stderr, flush=True)
        found.append(row)
    print(file=sys.stderr)
    return found


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
