"""Fastify and Go, as a careful person writes them: prepared where the machine has what they need.

`make bench` installs no package of the system for them. A rival that cannot be prepared is left
out, and a line says why.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contestants import FASTIFY, GO, RIVALS, Contestant

_HERE = Path(__file__).parent
_DEBIAN = Path("/usr/share/gocode")  # where its packages put the sources of Go's libraries
_NODE = 20
_WITHIN = 600.0  # seconds; Go's compiler takes one minute the first time, npm some seconds


class _MissingError(Exception):
    """What a rival needs and this machine has not."""


def ready() -> Iterator[Contestant]:
    """Those that can be started. Prints a line for each that cannot."""
    for rival, prepare in ((FASTIFY, _prepare_fastify), (GO, _prepare_go)):
        if reason := _refusal(prepare):
            print(f"{rival.name} is left out: {reason}", file=sys.stderr)
        else:
            yield rival


def _refusal(prepare: Callable[[], None]) -> str:
    try:
        prepare()
    except _MissingError as missing:
        return str(missing)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        return f"it could not be prepared: {output.strip().splitlines()[-1]}"
    return ""


def _prepare_fastify() -> None:
    """Installs what the lock lists, unless that was done before."""
    if not shutil.which("npm") or _node_version() < _NODE:
        raise _MissingError(f"it needs Node.js {_NODE} or newer, and npm (apt install nodejs npm)")
    folder = RIVALS / "fastify"
    folder.mkdir(parents=True, exist_ok=True)
    installed, lock = folder / "installed.json", _HERE / "fastify/package-lock.json"
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(_HERE / "fastify" / name, folder)
    if not installed.exists() or installed.read_text() != lock.read_text():
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
        shutil.copy(lock, installed)


def _node_version() -> int:
    if not shutil.which("node"):
        return 0
    return int(_run("node", "--version").removeprefix("v").partition(".")[0])


def _prepare_go() -> None:
    if not shutil.which("go") or not (_DEBIAN / "src/github.com/jackc/pgx/v4").exists():
        packages = "golang-go golang-github-jackc-pgx-v4-dev"
        raise _MissingError(f"it needs Debian's packages (apt install {packages})")
    settings = {
        "GO111MODULE": "off",
        "GOPATH": str(_DEBIAN),
        "GOCACHE": str(RIVALS / "go-cache"),
        "CGO_ENABLED": "0",
    }
    _run(
        *("env", *(f"{name}={value}" for name, value in settings.items())),
        *("go", "build", "-o", str(RIVALS / "go-tasks"), "."),
        cwd=_HERE / "go",
    )


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, text=True, timeout=_WITHIN
    )
    return done.stdout
