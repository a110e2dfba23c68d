"""Looking at processes, running system tools, and waiting for a condition."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def eventually(condition: Callable[[], object], *, within: float) -> bool:
    """Whether the condition becomes true within that many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def children(pid: int) -> list[int]:
    """The child processes; none if the process has ended."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():  # Linux lists children by thread
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run_tool(*command: str | Path) -> None:
    """Raises CalledProcessError when the tool fails."""
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - system tools
