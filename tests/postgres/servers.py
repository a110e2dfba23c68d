"""PostgreSQL servers of their own for tests that stop, freeze or kill them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from taskcore.adapters.embedded.programs import Account, programs
from taskcore.adapters.postgres import upgrade
from tests.leash import Leash

# PostgreSQL refuses to run as root; any other account will do.
_ACCOUNT = pwd.getpwnam("nobody")
_AS_OTHER: dict[str, Any] = {
    "user": _ACCOUNT.pw_uid,
    "group": _ACCOUNT.pw_gid,
    "extra_groups": [],
}
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # their data need not survive
    "max_connections": "40",
    "shared_buffers": "16MB",
    "io_method": "sync",
}


@cache
def _programs() -> Path:
    """Programs that this account can run, even if it cannot read the folder of the checkout."""
    root = os.geteuid() == 0
    return programs(
        Account(_ACCOUNT.pw_uid, _ACCOUNT.pw_gid) if root else Account(os.geteuid(), os.getegid())
    )


class Server:
    """One cluster in a folder, and its postmaster."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = _SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, _ACCOUNT.pw_uid, _ACCOUNT.pw_gid)
        initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        process = self._start("initdb", "--no-sync", *initdb, "-D", str(folder / "data"))
        try:
            assert process.wait() == 0, self.log()
        finally:
            process.kill()
            process.wait()

    @property
    def conninfo(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def start(self) -> None:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        self._process = self._start(
            "postgres", "-D", str(self._folder / "data"), "-k", str(self._folder), *options
        )
        self._leash = Leash(self._process.pid)
        for _ in range(400):
            with suppress(psycopg.OperationalError), psycopg.connect(self.conninfo):
                return
            assert self._process.poll() is None, self.log()
            time.sleep(0.025)
        raise AssertionError(f"the server did not come up: {self.log()}")

    def copied(self, folder: Path) -> "Server":
        """A replica that follows this server, which is stopped for the copy and runs again."""
        self.stop()
        replica = copy(self)
        replica._folder, replica._leash = folder, None
        folder.mkdir(mode=0o700)
        subprocess.run(["cp", "-a", f"{self._folder}/data", str(folder)], check=True)  # noqa: S603, S607 - the folders are ours
        (folder / "data" / "standby.signal").touch()
        if os.geteuid() == 0:
            for path in (folder, folder / "data" / "standby.signal"):
                os.chown(path, _ACCOUNT.pw_uid, _ACCOUNT.pw_gid)
        source = f"host={self._folder} user=postgres"
        replica._settings = self._settings | {"primary_conninfo": source}
        self.start()
        replica.start()
        return replica

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """Stop the server at once, which closes every connection."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
            self._process = None
        if self._leash:
            self._leash.release()

    def kill(self) -> None:
        """Every process at the same moment, as a crash of the machine would."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no process
        for pid in (*_children(self._process.pid), self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(20)
        self._process = None
        if self._leash:
            self._leash.release()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspends every process of the server; connections stay open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)  # first, so that it starts no process
        others = _children(self._process.pid)
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in (*others, self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the wheel's own programs
                [_programs() / program, *options],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                **(_AS_OTHER if os.geteuid() == 0 else {}),
            )


@contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A running server with an empty database, and these settings."""
    # Not pytest's tmp_path: it is too long for a socket, and other accounts cannot enter it.
    parent = Path(tempfile.mkdtemp(prefix="taskcore-", dir="/tmp"))
    parent.chmod(0o711)
    try:
        made = Server(parent / "pg", **settings)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(parent)


@contextmanager
def replicated() -> Iterator[tuple[Server, Server]]:
    """A server with a migrated database, and a replica that follows it."""
    with server() as first:
        upgrade(first.conninfo)
        replica = first.copied(first._folder.parent / "replica")
        try:
            yield first, replica
        finally:
            replica.stop()


def _children(pid: int) -> Sequence[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
