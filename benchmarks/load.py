"""Load: wrk, a plan of requests, and what a run of it came to."""

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

_SCRIPT = Path(__file__).with_name("load.lua")
_LONGEST = 60  # seconds; a run is ended by its caller, this is for when that one is gone
_LOOK = 0.05  # seconds
_UNANSWERED = 30  # seconds until a request counts as failed


class Call(NamedTuple):
    """One request of a plan. `client` is what the trusted proxy says of where it comes from."""

    method: str
    path: str
    token: str = ""
    client: str = ""
    body: str = ""


@dataclass(frozen=True)
class Plan:
    """Requests to send over and over; `mode` is "" or one of those that load.lua knows."""

    file: Path
    mode: str = ""

    @classmethod
    def of(cls, file: Path, calls: Iterable[Call], mode: str = "") -> "Plan":
        file.write_text("".join("\t".join(call) + "\n" for call in calls))
        return cls(file, mode)


@dataclass(frozen=True)
class Run:
    """What wrk has counted."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def wrk(port: int, plan: Plan, *, connections: int, seconds: float) -> Run:
    """One run. wrk itself counts in whole seconds; an interrupt makes it finish sooner."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", str(_LONGEST), "--timeout", str(_UNANSWERED)),
        *("--script", str(_SCRIPT), f"http://127.0.0.1:{port}", str(plan.file), plan.mode),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=_LONGEST)
    return Run(**json.loads(said.splitlines()[-1]))


def find_wrk() -> None:
    """Raises SystemExit where wrk neither is nor can be had."""
    if shutil.which("wrk"):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-qq", "-y", "wrk"], check=True)  # noqa: S607
        return
    raise SystemExit("The load comes from wrk; install it: apt install wrk, or brew install wrk")


# CPU


def cpu_seconds(*roots: int) -> float:
    """What these processes and all below them have used so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(_ticks(pid) for pid in _family(roots)) / ticks


def busiest(root: int) -> int:
    """Of all processes below it, the one that has worked the most: the worker that serves."""
    return max(_family([root]), key=_ticks)


def settled(*roots: int, within: float = 20.0) -> None:
    """Wait until these processes have nothing left to do."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        before = cpu_seconds(*roots)
        time.sleep(_LOOK)
        if cpu_seconds(*roots) - before < _LOOK / 5:
            return


def resident_mib(root: int) -> float:
    """Of the largest process below it: the worker that serves."""
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
    """The fields after the name, which may hold anything; nothing for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(pid: int) -> int:
    # Fields 14 to 17 of proc_pid_stat(5): own user and system time, and of children that ended.
    return sum(map(int, _stat(pid)[11:15]))


def _resident(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[21]) * os.sysconf("SC_PAGE_SIZE") if stat else 0


@contextmanager
def metered(*roots: int) -> Iterator[list[float]]:
    """Gives the CPU seconds that were spent in the block, when it is over."""
    spent: list[float] = []
    before = cpu_seconds(*roots)
    yield spent
    spent.append(cpu_seconds(*roots) - before)
