"""The fourth part: the time to the first response, and the memory of an idle worker."""

import os
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from statistics import median

from benchmarks.contestants import SERVED_BY
from benchmarks.load import resident_mib
from benchmarks.rows import Startup

_PORT = 8190
_HELP_RUNS = 9
_SECOND_STARTS = 12


def start_up(folder: Path) -> Startup:
    data = folder / "startup"
    first, _ = _served(data)
    again = [_served(data) for _ in range(_SECOND_STARTS)]
    seconds = [round(took, 2) for took, _ in again]
    idle = median(memory for _, memory in again)
    helps = [_help() for _ in range(_HELP_RUNS)]
    return Startup(round(median(helps), 3), round(first, 2), seconds, round(idle, 1))


def _help() -> float:
    begun = time.monotonic()
    command = [SERVED_BY, "-m", "taskcli", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def _served(data: Path) -> tuple[float, float]:
    """Seconds until it is ready, and the worker's MiB a second later."""
    begun = time.monotonic()
    with subprocess.Popen(
        [SERVED_BY, "-m", "taskcli", "serve", "--port", str(_PORT)],
        env=os.environ | {"DATA_DIR": str(data)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/readyz"):
                break
            time.sleep(0.01)
        took = time.monotonic() - begun
        time.sleep(1)
        memory = resident_mib(process.pid)
        process.terminate()
    return took, memory
