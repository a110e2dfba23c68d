"""`python -m benchmarks.profile`: the time of a request under load, by layer."""

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.contestants import OURS, serving
from benchmarks.data import Database
from benchmarks.growth import OWNERS
from benchmarks.load import busiest, find_wrk, wrk
from benchmarks.plans import Plans
from taskcore import Settings
from taskcore.adapters.embedded import EmbeddedPostgres
from taskcore.wiring import upgrade_database

_WORKLOADS = ("get", "list", "create", "edit")
_SECONDS, _RATE = 6, 250
# A sample belongs to the layer of its innermost frame that has one.
_LAYERS = {
    "psycopg/": "database driver",
    "psycopg_pool/": "database driver",
    "taskcore/adapters/postgres/": "statements, batching",
    "structlog/": "log",
    "taskapi/logs.py": "log",
    "taskapi/access_log.py": "log",
    "taskapi/edge.py": "edge: ids, headers, limits",
    "taskapi/exchange.py": "edge: ids, headers, limits",
    "taskapi/headers.py": "edge: ids, headers, limits",
    "taskapi/request_state.py": "edge: ids, headers, limits",
    "taskapi/proxies.py": "edge: ids, headers, limits",
    "taskapi/bodies.py": "reading bodies",
    "litestar/": "framework: routing, parameters",
    "taskcore/adapters/jwt.py": "authentication",
    "taskcore/usecases/sessions/": "authentication",
    "taskapi/providers.py": "authentication",
    "taskapi/": "handlers, encoding",
    "taskcore/": "use cases, rules",
    "granian/": "server, event loop",
    "asyncio/": "server, event loop",
}


def main() -> None:
    find_wrk()
    shares = {workload: Counter[str]() for workload in _WORKLOADS}
    with tempfile.TemporaryDirectory(prefix="taskcore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = folder / "data"
        with EmbeddedPostgres(data) as server:
            asyncio.run(upgrade_database(Settings.from_env({"DATA_DIR": str(data)})))
            database = Database(server.conninfo)
            people = database.fill(OWNERS)
            plans = Plans(OURS, database, people, folder)
            with serving(OURS, database, folder) as pid:
                for workload, share in shares.items():
                    wrk(OURS.port, plans.plan(workload), connections=32, seconds=3)
                    samples = folder / "samples"
                    with _recording(busiest(pid), samples):
                        for _ in range(_SECONDS + 1):  # with a new plan, to repeat no edit
                            wrk(OURS.port, plans.plan(workload), connections=32, seconds=1)
                    share.update(_by_layer(samples.read_text()))
    print("| layer |", " | ".join(_WORKLOADS), "|")
    print("|---|" + "---|" * len(_WORKLOADS))
    for layer in dict.fromkeys(_LAYERS.values()):
        cells = (f"{share[layer] / share.total():.0%}" for share in shares.values())
        print(f"| {layer} |", " | ".join(cells), "|")


def _recording(pid: int, into: Path) -> "subprocess.Popen[bytes]":
    command = [
        *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)),
        *("--rate", str(_RATE), "--duration", str(_SECONDS), "--format", "raw"),
        *("--output", str(into)),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _by_layer(samples: str) -> Counter[str]:
    """From lines `outermost;…;innermost count`; samples without a layer are the server waiting."""
    found = Counter[str]()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        for frame in reversed(stack.split(";")):
            if layer := next((name for part, name in _LAYERS.items() if part in frame), None):
                found[layer] += int(count)
                break
    return found


if __name__ == "__main__":
    main()
