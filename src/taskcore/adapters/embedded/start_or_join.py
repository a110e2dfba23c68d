"""One user of an embedded PostgreSQL: joins its server, or starts it; watches it; leaves it."""

import asyncio
import fcntl
import logging
import os
import re
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from taskcore.adapters.embedded.cluster_folder import NAME, Cluster, explained
from taskcore.adapters.embedded.supervisor import locked
from taskcore.adapters.folders import called
from taskcore.domain.errors import Misconfigured, TaskcoreError, Unavailable

_logger = logging.getLogger(__name__)
_START_PATIENCE = 30.0
_STOP_PATIENCE = 10.0
_ATTEMPTS = 5
_POLL = 0.01
_WATCH = 0.25
_WATCH_LIMIT = 1.0
_SOCKET = "/.s.PGSQL.5432"
_LONGEST_ADDRESS = 103  # bytes in a socket address on every system; 107 on Linux


class EmbeddedPostgres:
    """A PostgreSQL 18 in a folder, shared by every process that enters it.

    Entering starts or joins the server; raises Unavailable or Misconfigured when that fails.
    Leaving stops the server when no other process uses it; the data stays. In between a thread
    restarts a server that has died, even while the event loop is busy. Enter an instance once, by
    `with` or `async with`. A forked child counts as a user for as long as it lives.
    """

    conninfo: str
    """The connection string for libpq, valid until this process leaves, even after restarts."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._leaving = threading.Event()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with explained(self._data_dir), ExitStack() as leave:
            self._cluster = leave.enter_context(Cluster.opened(self._data_dir))
            host = self._host(leave)
            leave.callback(self._await_stop)
            users = self._cluster.folder.file("users.lock")
            leave.callback(os.close, users)
            self._join(users, host + _SOCKET)
            watch = threading.Thread(target=self._watch, args=[users], name=NAME, daemon=True)
            watch.start()
            leave.callback(watch.join)
            leave.callback(self._leaving.set)
            self._exit = leave.pop_all()
        quoted = host.replace("\\", r"\\").replace("'", r"\'")
        # Name the port: PGPORT of the environment would replace one that is left out.
        self.conninfo = f"host='{quoted}' port=5432 dbname={NAME} user={NAME}"
        # The server's account could put a link to another server's socket into that folder.
        if (peer := called(self._cluster.account().uid)) is not None:
            self.conninfo += f" requirepeer='{peer}'"
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
            # The thread cannot be cancelled, but it looks at this event between two steps.
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
        """The socket's folder, by a name that fits into a socket address and a conninfo."""
        host = str(self._cluster.folder.path / "run")
        if len(os.fsencode(host + _SOCKET)) <= _LONGEST_ADDRESS and _is_plain(host):
            return host
        if not sys.platform.startswith("linux"):
            raise Misconfigured(
                [f"DATA_DIR: {host} is too long for a socket, has a comma, or is not UTF-8"]
            )
        # Name the folder by an open descriptor. A short folder elsewhere would have to be found by
        # processes with another TMPDIR or a private /tmp, and be protected from other users.
        fd = self._cluster.folder.open("run", os.O_RDONLY | os.O_DIRECTORY)
        leave.callback(os.close, fd)
        return f"/proc/{os.getpid()}/fd/{fd}"

    def _join(self, users: int, address: str) -> None:
        deadline = time.monotonic() + _START_PATIENCE
        starts = 0
        logged = self._cluster.log_size()
        while True:
            # The lock is refused while the server stops after its last user. While this process
            # holds it, the server does not stop.
            if locked(users, fcntl.LOCK_SH):
                if self._cluster.is_ready(address):
                    return
                if (lock := self._cluster.claim()) is not None:
                    with ExitStack() as done:
                        done.callback(os.close, lock)
                        if starts == _ATTEMPTS:
                            raise self._failure("does not start", logged)
                        self._cluster.create(lock, self._leaving.is_set)
                        self._cluster.start(lock)
                    starts += 1
            if time.monotonic() > deadline:
                raise self._failure(
                    f"is not ready after {_START_PATIENCE:.0f} s; try again later", logged
                )
            if self._leaving.wait(_POLL):
                raise Unavailable("The start of PostgreSQL was called off")

    def _watch(self, users: int) -> None:
        pause = _WATCH
        while not self._leaving.wait(pause):
            if os.fstat(users).st_nlink == 0:
                _logger.error("%s was removed while in use", self._cluster.folder.path)
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
        """Return when the server has stopped, or at once if another process uses it."""
        deadline = time.monotonic() + _STOP_PATIENCE
        with suppress(OSError, Misconfigured), ExitStack() as done:
            users = self._cluster.folder.file("users.lock")
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

    def _failure(self, what: str, logged: int) -> TaskcoreError:
        log = self._cluster.folder.path / "server.log"
        words = self._cluster.last_words(logged)
        sentence = f"The embedded PostgreSQL {what}: {words}; see {log}"
        return Misconfigured([sentence]) if _NEEDS_ADVICE.search(words) else Unavailable(sentence)


# What the server refuses until an operator has changed it.
_NEEDS_ADVICE = re.compile("configuration file|parameter|permission|ownership")


def _is_plain(host: str) -> bool:
    """Whether a conninfo can hold it: UTF-8, and no comma, which would begin another host."""
    return "," not in host and not any("\ud800" <= letter <= "\udfff" for letter in host)
