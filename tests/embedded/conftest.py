"""What the tests of the embedded server share: a fresh cluster, users of it, and a look inside."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import taskcore
from taskcore.adapters.embedded import EmbeddedPostgres

SOURCES = str(Path(taskcore.__file__).parents[1])
AS_ROOT = os.geteuid() == 0

# A user that says where the server is, stays until its standard input ends, and leaves.
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
    """Another process that uses the server, and its end."""

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

    def joined(self) -> "User":
        self.conninfo = self.said()
        return self

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        self.process.communicate()
        return self.process.returncode

    def die(self) -> None:
        self.process.kill()
        self.leave()


@contextmanager
def users(data_dir: Path, count: int, body: str = STAY, after: str = "") -> Iterator[list[User]]:
    """That many users, started at once and all in."""
    started = [User(data_dir, body, after) for _ in range(count)]
    try:
        yield [user.joined() for user in started]
    finally:
        for user in started:
            user.leave()


def eventually(happens: Callable[[], bool], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def running(data_dir: Path) -> bool:
    """Whether any process of a server is left."""
    if not (found := data_dir / "postgres" / "server.lock").exists():
        return False
    with found.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres/cluster/postmaster.pid").read_text().split()[0])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def log(data_dir: Path) -> str:
    return (data_dir / "postgres/server.log").read_text()


def ask(conninfo: str, statement: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return str(row[0])


def answers(conninfo: str, statement: str = "SELECT 1") -> bool:
    try:
        return bool(ask(conninfo, statement))
    except psycopg.OperationalError:
        return False


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - system tools


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose cluster is made, with one row in it."""
    data_dir = tmp_path_factory.mktemp("embedded") / "made"
    with (
        EmbeddedPostgres(data_dir) as server,
        psycopg.connect(server.conninfo, autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 'a row' AS row")
    return data_dir


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it to break, and a check that the test leaves no server behind."""
    copy = tmp_path / "data"
    run("/bin/cp", "-a", made, copy)
    yield copy
    assert eventually(lambda: not running(copy), within=10)
    shutil.rmtree(copy)
