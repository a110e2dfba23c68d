"""A PostgreSQL of our own in a folder, for whoever has not set one up.

    __init__.py     a user of it: joins, watches, leaves
    cluster.py      the folder: made, set up, started
    programs.py     PostgreSQL's programs, and the account they run under
    supervisor.py   the process that runs it until nobody uses it

Who is alive is told by locks, never by pids in files: the kernel drops the locks of the dead,
and gives their pids to others.
"""

import asyncio
import fcntl
import logging
import os
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from taskcore.adapters.embedded.cluster import NAME, Cluster, explained
from taskcore.adapters.embedded.supervisor import locked
from taskcore.domain.errors import Misconfigured, TaskcoreError, Unavailable

__all__ = ["EmbeddedPostgres"]

_logger = logging.getLogger(__name__)
_PATIENCE = 30.0
_PATIENCE_AT_STOP = 10.0
_ATTEMPTS = 5
_POLL = 0.01
_WATCH = 0.25
_WATCH_LIMIT = 1.0
_SOCKET = "/.s.PGSQL.5432"
_LONGEST_ADDRESS = 103  # what a socket's address holds on every system; 107 on Linux


class EmbeddedPostgres:
    """A PostgreSQL 18 in a folder, shared by every process that asks for it.

    Entering starts or joins the server, and raises Unavailable or Misconfigured if it cannot be
    had. Leaving stops it if nobody else uses it; the data stays. In between a thread, which a busy
    event loop does not stop, starts the server again whenever it has died. Enter an instance once,
    by `with` or `async with`. A forked child counts as a user for as long as it lives.
    """

    conninfo: str
    """Where it is, for libpq; true for as long as this process is inside, also in a restart."""

    def __init__(self, data_dir: Path) -> None:
        self._cluster = Cluster(data_dir.absolute() / "postgres")
        self._leaving = threading.Event()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with explained(self._cluster.folder), ExitStack() as leave:
            self._cluster.prepare()
            host = self._host(leave)
            leave.callback(self._await_stop)
            users = self._cluster.open("users.lock")
            leave.callback(os.close, users)
            self._join(users, host + _SOCKET)
            watch = threading.Thread(target=self._watch, args=[users], name=NAME, daemon=True)
            watch.start()
            leave.callback(watch.join)
            leave.callback(self._leaving.set)
            self._exit = leave.pop_all()
        quoted = host.replace("\\", r"\\").replace("'", r"\'")
        # The port is named because PGPORT would win over what is not.
        self.conninfo = f"host='{quoted}' port=5432 dbname={NAME} user={NAME}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    async def __aenter__(self) -> Self:
        joining = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(joining)
        except asyncio.CancelledError:
            # The thread cannot be cancelled, but it gives up between two steps.
            self._leaving.set()
            with suppress(TaskcoreError):
                await joining
                await asyncio.to_thread(self._exit.close)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._exit.close)

    def _host(self, leave: ExitStack) -> str:
        """The socket's folder, by a name that fits into an address and a conninfo."""
        host = str(self._cluster.sockets)
        if len(os.fsencode(host + _SOCKET)) <= _LONGEST_ADDRESS and "," not in host:
            return host
        if not sys.platform.startswith("linux"):
            raise Misconfigured([f"DATA_DIR: {host} is too long for a socket, or has a comma"])
        # A short folder elsewhere would have to be found by everyone, whatever their TMPDIR and
        # however private their /tmp, and be kept from strangers. An open folder is ours alone.
        fd = os.open(host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        leave.callback(os.close, fd)
        return f"/proc/{os.getpid()}/fd/{fd}"

    def _join(self, users: int, address: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        starts = 0
        while True:
            # Refused while the last user's server is going down, and no server goes down after.
            if locked(users, fcntl.LOCK_SH):
                if self._cluster.is_ready(address):
                    return
                if (lock := self._cluster.claim()) is not None:
                    with ExitStack() as done:
                        done.callback(os.close, lock)
                        if starts == _ATTEMPTS:
                            raise self._unavailable("does not start")
                        self._cluster.create(lock, self._leaving.is_set)
                        self._cluster.start(lock)
                    starts += 1
            if time.monotonic() > deadline:
                raise self._unavailable(f"is not ready after {_PATIENCE:.0f} s; try again later")
            if self._leaving.wait(_POLL):
                raise Unavailable("The start of PostgreSQL was called off")

    def _watch(self, users: int) -> None:
        pause = _WATCH
        while not self._leaving.wait(pause):
            if os.fstat(users).st_nlink == 0:
                _logger.error("%s was removed while in use", self._cluster.folder)
                return
            lock = None
            try:
                if (lock := self._cluster.claim()) is None:
                    pause = _WATCH
                    continue
                _logger.warning("PostgreSQL has died; starting it again")
                self._cluster.start(lock)
            except (TaskcoreError, OSError) as error:
                _logger.warning("PostgreSQL cannot be started: %s", error)
            finally:
                if lock is not None:
                    os.close(lock)
            pause = min(2 * pause, _WATCH_LIMIT)

    def _await_stop(self) -> None:
        """Return when the server has stopped, or at once if others use it."""
        deadline = time.monotonic() + _PATIENCE_AT_STOP
        with suppress(OSError), ExitStack() as done:
            users = self._cluster.open("users.lock")
            done.callback(os.close, users)
            while time.monotonic() < deadline:
                if locked(users, fcntl.LOCK_SH):
                    if not locked(users, fcntl.LOCK_EX):
                        return
                    fcntl.flock(users, fcntl.LOCK_UN)
                if (lock := self._cluster.claim()) is not None:
                    os.close(lock)
                    return
                time.sleep(_POLL)

    def _unavailable(self, what: str) -> Unavailable:
        log = self._cluster.folder / "server.log"
        words = self._cluster.last_words()
        return Unavailable(f"The embedded PostgreSQL {what}. The end of {log}:\n{words}")
