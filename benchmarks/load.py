"""Load: wrk, the plans of requests that it sends, and the results of a run."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RUN = 0.4  # seconds of a run, unless its caller needs longer; the numbers of clients: __main__.py
_SCRIPT = Path(__file__).with_name("load.lua")
_ATTEMPTS, _ENDS_WITHIN = 5, 10.0  # seconds after the signal; it waits for no answer
_LONGEST = 60  # seconds; `wrk` ends a run earlier, unless its process has died
_LOOK = 0.05  # seconds
_UNANSWERED = 30  # seconds until a request counts as failed


class Call(NamedTuple):
    """One request of a plan. `client` is the address in the trusted proxy's X-Forwarded-For."""

    method: str
    path: str
    token: str = ""
    client: str = ""
    body: str = ""


@dataclass(frozen=True)
class Plan:
    """Requests to send in a loop; `mode` is "" or a mode of load.lua."""

    file: Path
    mode: str = ""

    @classmethod
    def of(cls, file: Path, calls: Iterable[Call], mode: str = "") -> "Plan":
        file.write_text("".join("\t".join(call) + "\n" for call in calls))
        return cls(file, mode)


@dataclass(frozen=True)
class Run:
    """The results of wrk."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def wrk(port: int, plan: Plan, *, connections: int, seconds: float) -> Run:
    """One run. wrk only takes whole seconds; an interrupt makes it finish earlier."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", str(_LONGEST), "--timeout", str(_UNANSWERED)),
        *("--script", str(_SCRIPT), f"http://127.0.0.1:{port}", str(plan.file), plan.mode),
    ]
    for _ in range(_ATTEMPTS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout  # noqa: S101 - for mypy
            process.stdout.readline()  # when it has read its plan, and sends
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()  # on a busy machine it began to wait after the signal
            else:
                if output:  # none if the signal came before it was heeded
                    return Run(**json.loads(output.splitlines()[-1]))
    raise SystemExit("wrk does not end: this machine is too busy to measure")


def find_wrk() -> None:
    """Installs wrk if it is missing. Raises SystemExit if that is impossible."""
    if shutil.which("wrk"):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-qq", "-y", "wrk"], check=True)  # noqa: S607
        return
    raise SystemExit("wrk generates the load; install it: apt install wrk, or brew install wrk")


def cpu_seconds(*roots: int) -> float:
    """The CPU time of these processes and all their descendants so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(_ticks(pid) for pid in _family(roots)) / ticks


def busiest(root: int) -> int:
    """The process of this tree that has used the most CPU time: the worker that serves."""
    return max(_family([root]), key=_ticks)


def settled(*roots: int, within: float = 20.0) -> None:
    """Waits until these processes are idle."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        before = cpu_seconds(*roots)
        time.sleep(_LOOK)
        if cpu_seconds(*roots) - before < _LOOK / 5:
            return


def resident_mib(root: int) -> float:
    """Of the largest process of this tree: the worker that serves."""
    return max(_resident(pid) for pid in _family([root])) / 2**20


def _family(roots: Iterable[int]) -> Iterator[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents[int(entry.name)] = int(stat[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return iter(found & parents.keys())


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may contain spaces; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(pid: int) -> int:
    # Fields 14 to 17 of proc_pid_stat(5): user and system time, its own and of ended children.
    return sum(map(int, _stat(pid)[11:15]))


def _resident(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[21]) * os.sysconf("SC_PAGE_SIZE") if stat else 0


@contextmanager
def metered(*roots: int) -> Iterator[list[float]]:
    """Yields a list; after the block, its one item is the CPU seconds spent in it."""
    spent: list[float] = []
    before = cpu_seconds(*roots)
    yield spent
    spent.append(cpu_seconds(*roots) - before)
