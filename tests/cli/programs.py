"""Running taskcli as a process, on a terminal or with pipes."""

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

COMMAND = [sys.executable, "-m", "taskcli"]
SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def environment(**settings: str) -> dict[str, str]:
    """The settings, and only those variables that a program needs to start."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/nonexistent"),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(SOURCE),
        "PYTHONWARNINGS": "error",
        "TERM": "xterm",
        **settings,
    }


def start(*arguments: str | bytes, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [*COMMAND, *arguments],
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments: str | bytes, env: Mapping[str, str], cwd: Path, stdin: bytes = b"") -> Result:
    process = start(*arguments, env=env, cwd=cwd)
    out, err = process.communicate(stdin, timeout=60)
    return Result(process.returncode, out.decode(), err.decode())


class Terminal:
    """A process whose standard streams are a pseudo-terminal."""

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path) -> None:
        self._controller, self._device = os.openpty()
        self._bytes = b""
        # The first terminal that a session leader opens controls the session: Ctrl-C then works.
        opening = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>"$tty"'
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            ["/bin/sh", "-c", opening, "sh", os.ttyname(self._device), *COMMAND, *arguments],
            env=env,
            cwd=cwd,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._controller)
        os.close(self._device)

    @property
    def output(self) -> str:
        return self._bytes.decode(errors="replace")  # the last character may be incomplete

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._controller)[3] & termios.ECHO)

    def expect(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.output:
            running = self._process.poll() is None and time.monotonic() < deadline
            assert self._read() or running, f"{text!r} is not in {self.output!r}"

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def send(self, number: signal.Signals) -> None:
        """Send it once the process sleeps: before, it might not wait for its input yet."""
        state = Path(f"/proc/{self._process.pid}/stat")
        deadline = time.monotonic() + 30
        while state.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, self.output
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        deadline = time.monotonic() + 30
        while self._read() or self._process.poll() is None:
            assert time.monotonic() < deadline, self.output
        return self._process.returncode

    def _read(self) -> bool:
        if not select.select([self._controller], [], [], 0.02)[0]:
            return False
        self._bytes += os.read(self._controller, 65536)
        return True
