"""What runs a container: podman where it can, and else `buildah run`."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_STOP_WITHIN = 40.0  # seconds: running requests have 25


class Engine(Protocol):
    hides_codes: bool
    """Whether a command that fails makes the engine exit with a code of its own."""

    @contextmanager
    def prepared(self, image: str) -> Iterator[None]:
        """What must be there while commands run."""

    def run(
        self,
        command: Sequence[str],
        *,
        user: str,
        volumes: Sequence[tuple[Path, str]],
        env: Mapping[str, str],
    ) -> list[str]:
        """The command line that runs the command in the image, on the host's network."""

    def health(self, image: str) -> list[str]:
        """The command of the image's health check."""

    def stop(self, process: "subprocess.Popen[str]") -> None:
        """End what `run` has started."""


@dataclass
class Buildah:
    folder: Path
    hides_codes = True
    _container: str = field(default="", init=False)

    def line(self, *words: str, program: str = "buildah") -> list[str]:
        """Storage of its own, so that nothing is left on the machine."""
        roots = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run")
        return [program, *roots, "--storage-driver", "vfs", *words]

    def do(self, *words: str) -> None:
        self.answer(*words)

    def answer(self, *words: str) -> str:
        done = subprocess.run(self.line(*words), capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, f"buildah {words[0]}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    @contextmanager
    def prepared(self, image: str) -> Iterator[None]:
        self._container = self.answer("from", "--pull-never", image)
        try:
            yield
        finally:
            self.do("rm", self._container)

    def run(
        self,
        command: Sequence[str],
        *,
        user: str,
        volumes: Sequence[tuple[Path, str]],
        env: Mapping[str, str],
    ) -> list[str]:
        options = [f"--volume={host}:{inside}" for host, inside in volumes]
        options += [f"--env={name}={value}" for name, value in env.items()]
        how = ("run", "--isolation", "chroot", "--network", "host", "--user", user)
        return self.line(*how, *options, self._container, "--", *command)

    def health(self, image: str) -> list[str]:
        shown = json.loads(self.answer("inspect", "--type", "image", image))
        kind, *command = shown["Docker"]["config"]["Healthcheck"]["Test"]
        assert kind == "CMD"
        return list(command)

    def stop(self, process: "subprocess.Popen[str]") -> None:
        # It passes no signal on to the server, which is the first of its descendants in Python.
        for pid in _descendants(process.pid):
            called = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if called[0].endswith((b"/python", b"/python3")) and b"serve" in called:
                os.kill(pid, signal.SIGTERM)
                break
        process.wait(timeout=_STOP_WITHIN)


@dataclass
class Podman(Buildah):
    hides_codes = False

    def run(
        self,
        command: Sequence[str],
        *,
        user: str,
        volumes: Sequence[tuple[Path, str]],
        env: Mapping[str, str],
    ) -> list[str]:
        options = [f"--volume={host}:{inside}" for host, inside in volumes]
        options += [f"--env={name}={value}" for name, value in env.items()]
        return self.line(
            *("run", "--rm", "--network", "host", "--user", user, *options),
            *("localhost/taskcore:test", *command),
            program="podman",
        )

    def stop(self, process: "subprocess.Popen[str]") -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_STOP_WITHIN) == 0


def podman(buildah: Buildah) -> tuple[Engine | None, str]:
    """Podman on the same storage, or why it starts no container."""
    if shutil.which("podman") is None:
        return None, "it is not installed"
    found = Podman(buildah.folder)
    line = found.run(["true"], user="10001:10001", volumes=[], env={})
    tried = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603
    if tried.returncode == 0:
        return found, ""
    return None, (tried.stderr.strip().splitlines() or ["no reason given"])[-1]


def _descendants(pid: int) -> Iterator[int]:
    # Of every thread: a program in Go starts another from any of its own.
    lists = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    for child in map(int, " ".join(lists).split()):
        yield child
        yield from _descendants(child)
