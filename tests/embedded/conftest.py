"""A prepared cluster, other processes that use it, and functions to inspect it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import taskcore
from taskcore.adapters.embedded import EmbeddedPostgres
from tests.processes import eventually, run_tool

SOURCES = str(Path(taskcore.__file__).parents[1])
AS_ROOT = os.geteuid() == 0

# A program that prints the server's conninfo and stays until its standard input ends.
STAY = "sys.stdin.read()"
_USER = """
import os, sys, time
from pathlib import Path
from taskcore.adapters.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.conninfo, flush=True)
    {body}
{after}
"""


class User:
    """Another process that uses the server."""

    def __init__(
        self,
        data_dir: Path,
        body: str = STAY,
        after: str = "",
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", _USER.format(body=body, after=after), data_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([SOURCES, *sys.path])},
            cwd="/",
            start_new_session=True,
        )
        self.conninfo = ""

    def ready(self) -> "User":
        """Wait until the server accepts connections."""
        self.conninfo = self.read_line()
        return self

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        """Close its standard input, and return its exit code."""
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.leave()


@contextmanager
def users(data_dir: Path, count: int, body: str = STAY, after: str = "") -> Iterator[list[User]]:
    """That many users, started together, each with a connection."""
    started = [User(data_dir, body, after) for _ in range(count)]
    try:
        yield [user.ready() for user in started]
    finally:
        for user in started:
            user.leave()


def is_running(data_dir: Path) -> bool:
    """Whether a process of the server is left: each of them holds the lock."""
    if not (lock_file := data_dir / "postgres" / "server.lock").exists():
        return False
    with lock_file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres/cluster/postmaster.pid").read_text().split()[0])


def log(data_dir: Path) -> str:
    return (data_dir / "postgres/server.log").read_text()


def fetch_value(conninfo: str, statement: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return str(row[0])


def responds(conninfo: str, statement: str = "SELECT 1") -> bool:
    try:
        return bool(fetch_value(conninfo, statement))
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an initialized cluster that holds one row."""
    data_dir = tmp_path_factory.mktemp("embedded") / "prepared"
    with (
        EmbeddedPostgres(data_dir) as server,
        psycopg.connect(server.conninfo, autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 'a row' AS row")
    run_tool("/bin/cp", "-a", data_dir, data_dir.with_name("unused"))
    return data_dir


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy that the test may damage. Fails if the test leaves a server running."""
    copy = tmp_path / "data"
    # Not of `prepared` itself, on which a server may run: files vanish there during the copy.
    run_tool("/bin/cp", "-a", prepared.with_name("unused"), copy)
    yield copy
    assert eventually(lambda: not is_running(copy), within=10)
    shutil.rmtree(copy)
