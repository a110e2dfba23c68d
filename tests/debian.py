"""Debian's programs with the configurations of docs/deployment.md, for what `make test-...` runs.

They run in a folder of their own and as an account that is not root's: PostgreSQL and PgBouncer
refuse to run as root.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taskcore.adapters.embedded.programs import Account
from tests.server.running import all_processes, cwd

ROOT = Path(__file__).parents[1]
IS_ROOT = os.geteuid() == 0
_NOBODY = pwd.getpwnam("nobody")
ACCOUNT = (
    Account(_NOBODY.pw_uid, _NOBODY.pw_gid) if IS_ROOT else Account(os.geteuid(), os.getegid())
)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def documented(kind: str, section: str, number: int = 0) -> str:
    """A block of docs/deployment.md; `number` counts those of that kind in the section."""
    page = (ROOT / "docs/deployment.md").read_text()
    text = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    assert len(found) > number, f"the document has no {kind} in {section}"
    return str(found[number])


def missing(packages: Mapping[str, str]) -> str:
    """What to do where programs are missing and cannot be installed; else nothing.

    `packages`: Debian's package for the path of each program.
    """
    names = sorted({name for path, name in packages.items() if not Path(path).exists()})
    if not names:
        return ""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    if not IS_ROOT or shutil.which("apt-get") is None:
        return f"cannot run here: as root, {' '.join(command)}"
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for each in (["apt-get", "update"], command):
        done = subprocess.run(each, capture_output=True, text=True, env=env, check=False)  # noqa: S603
        if done.returncode:
            return f"cannot run here: {' '.join(each)}: {done.stderr.strip()}"
    return ""


class Folder:
    """Where programs work, and their processes: all of those that work in it.

    A process group would not do, because each process of PostgreSQL makes itself the leader of one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(
        self, name: str, *command: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Its output goes to a log of that name."""
        with (self.path / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the programs above
                command,
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})},
                user=ACCOUNT.uid if IS_ROOT else None,
                group=ACCOUNT.gid if IS_ROOT else None,
                extra_groups=[] if IS_ROOT else None,
            )

    def run(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        """To the end; raises AssertionError when it fails."""
        process = self.start("commands", *command, env=env)
        assert process.wait() == 0, f"{command}: {self.log('commands')}"

    def log(self, name: str) -> str:
        return (self.path / f"{name}.log").read_text(errors="replace")[-4000:]

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.write_text(text)
        file.chmod(0o600)
        own(file)
        return file


def own(path: Path) -> None:
    if IS_ROOT:
        os.chown(path, ACCOUNT.uid, ACCOUNT.gid)


def working_in(folder: Path) -> list[int]:
    return [
        pid
        for pid in all_processes()
        if (where := cwd(pid)) is not None and where.is_relative_to(folder)
    ]


def end_all(folder: Path) -> None:
    """Kills what works in the folder, also what is suspended or starts meanwhile."""
    while pids := working_in(folder):
        signalled(signal.SIGKILL, pids)
        time.sleep(0.05)


def signalled(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def working_folder() -> Iterator[Folder]:
    """A folder that is removed, and whose processes are ended, however this process ends."""
    path = Path(tempfile.mkdtemp(prefix="taskcore-run-", dir="/tmp"))
    path.chmod(0o755)
    own(path)
    # It waits for the end of its input, which the kernel closes with this process.
    leash = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", __name__, str(path)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield Folder(path)
    finally:
        leash.communicate()
        assert not working_in(path)


if __name__ == "__main__":
    sys.stdin.read()
    end_all(Path(sys.argv[1]))
    shutil.rmtree(sys.argv[1], ignore_errors=True)
