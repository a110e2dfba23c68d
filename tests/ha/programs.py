"""What a cluster is made of, installed where it can be, and its processes.

Debian's etcd, HAProxy, PgBouncer and pgBackRest, Patroni of requirements-ha.txt, and the PostgreSQL
that comes with the tests. PostgreSQL refuses to run as root; then it and Patroni run as `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taskcore.adapters.embedded.programs import Account, programs
from tests.server.running import all_processes, cwd

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "/usr/bin/etcd": "etcd-server",
    "/usr/sbin/haproxy": "haproxy",
    "/usr/sbin/pgbouncer": "pgbouncer",
    "/usr/bin/pgbackrest": "pgbackrest",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/bin/python3": "python3",
}
IS_ROOT = os.geteuid() == 0
_NOBODY = pwd.getpwnam("nobody")
ACCOUNT = (
    Account(_NOBODY.pw_uid, _NOBODY.pw_gid) if IS_ROOT else Account(os.geteuid(), os.getegid())
)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def missing() -> str:
    """What to do where Debian's packages are missing and cannot be installed; else nothing."""
    names = sorted({name for path, name in PACKAGES.items() if not Path(path).exists()})
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


def postgres_programs() -> Path:
    """The folder of the programs of the PostgreSQL that comes with the tests."""
    return programs(ACCOUNT)


def patroni(folder: Path) -> list[str]:
    """The command of a Patroni that is installed there, where every account can read it.

    It runs in Debian's Python: that of a virtual environment may lie in a folder of root's.
    """
    python = "/usr/bin/python3"
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "install"]
    pip += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    pip += ["--root-user-action=ignore", "--target", str(folder)]
    done = subprocess.run(  # noqa: S603 - the command above
        [*pip, "-r", str(ROOT / "requirements-ha.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"Patroni cannot be installed: {done.stderr}"
    return ["/usr/bin/env", f"PYTHONPATH={folder}", python, "-m", "patroni"]


class Folder:
    """Where a cluster works, and the processes that do so: all of those that work in it.

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
    path = Path(tempfile.mkdtemp(prefix="taskcore-ha-", dir="/tmp"))
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
