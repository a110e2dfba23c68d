"""`make bench`: four parts, printed as tables and kept as JSON. `--quick` runs a small share.

`--telemetry` is a part of its own, which needs the packages of the extras otel and sentry.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report, telemetry
from benchmarks.comparison import Plot, compare
from benchmarks.contestants import LIMIT, WORKLOADS
from benchmarks.data import Database
from benchmarks.following import long_logs, told
from benchmarks.growth import OWNERS, grow
from benchmarks.load import find_wrk
from benchmarks.roundtrips import count_round_trips
from benchmarks.startup import start_up
from taskcore import Settings
from taskcore.adapters.embedded import EmbeddedPostgres
from taskcore.wiring import upgrade_database

RESULTS = Path(__file__).parent / "results"
_QUICK = ("get", "list", "create", "edit")
_REPETITIONS = 5
_SIZES = (10_000, 1_000_000)


def main() -> None:
    arguments = _parser().parse_args()
    find_wrk()
    begun = time.monotonic()
    workloads, clients = (_QUICK, (32,)) if arguments.quick else (WORKLOADS, (1, 32, 128))
    plot = Plot(workloads, clients, _REPETITIONS, arguments.limit)
    sizes = (*_SIZES, 10_000_000) if arguments.ten_million else _SIZES
    results: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **_machine()}
    with tempfile.TemporaryDirectory(prefix="taskcore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another account
        data = folder / "data"
        with EmbeddedPostgres(data) as server:
            asyncio.run(upgrade_database(Settings.from_env({"DATA_DIR": str(data)})))
            database = Database(server.conninfo)
            people = database.fill(OWNERS)
            postmaster = int((data / "postgres/cluster/postmaster.pid").read_text().split()[0])
            if arguments.telemetry:
                with telemetry.contestants() as sides:
                    plot = Plot(telemetry.WORKLOADS, (32,), _REPETITIONS, arguments.limit)
                    compared = compare(plot, database, people, postmaster, folder, sides)
                    rows = list(_with_progress(compared))
                _print(report.telemetry(rows))
                _finish(arguments, results | {"telemetry": _raw(rows)}, begun)
                return
            rows = list(_with_progress(compare(plot, database, people, postmaster, folder)))
            trips = list(count_round_trips(plot.workloads, database, people, folder))
            _print(report.comparison(rows, trips))
            results |= {"comparison": _raw(rows), "round_trips": _raw(trips)}
            if not arguments.quick:
                grown = list(_with_progress(grow(sizes, plot.repetitions, database, folder)))
                _print(report.growth(grown))
                results["growth"] = _raw(grown)
                runs = list(_with_progress(long_logs(plot.repetitions, database, people, folder)))
                streams = list(told(database, people, folder))
                _print(report.following(runs, streams))
                results |= {"long_logs": _raw(runs), "told": _raw(streams)}
        if not arguments.quick:
            started = start_up(folder)
            _print(report.startup(started))
            results["startup"] = asdict(started)
    _finish(arguments, results, begun)


def _finish(arguments: argparse.Namespace, results: dict[str, Any], begun: float) -> None:
    """Raises SystemExit if a request has failed."""
    file = arguments.json or RESULTS / f"{results['at'].replace(':', '')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{time.monotonic() - begun:.0f} s; every run is in {file}")
    measured = [
        results.get(part, []) for part in ("comparison", "growth", "long_logs", "telemetry")
    ]
    if failed := sum(run["failed"] for part in measured for run in part):
        raise SystemExit(f"{failed} requests have failed, so their runs prove nothing")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four workloads, 32 clients")
    parser.add_argument("--telemetry", action="store_true", help="what telling of itself costs")
    parser.add_argument(
        "--ten-million", action="store_true", help="also with ten million tasks (some minutes more)"
    )
    parser.add_argument(
        "--limit", type=int, default=LIMIT, help="tasks in a list (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="file to write (default: in benchmarks/results)")
    return parser


def _machine() -> dict[str, object]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the one on the PATH
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _with_progress(rows: Iterable[Any]) -> Iterable[Any]:
    """Prints a dot for each row, because minutes of silence look like a hang."""
    for row in rows:
        print("x" if row.failed else ".", end="", file=sys.stderr, flush=True)
        yield row
    print(file=sys.stderr)


def _raw(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
