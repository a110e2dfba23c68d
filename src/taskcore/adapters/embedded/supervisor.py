"""Keep one PostgreSQL running for as long as a process uses it.

This file is run as a script by `python -I -S`, with the standard library alone, so that it starts
in milliseconds and stays small. Every client process holds a shared lock on `users.lock`, which
the kernel releases however the process ends. When the supervisor gets that lock exclusively, no
client is left; while it keeps the lock, no process can join a server that is shutting down.

The supervisor, the postmaster and all their children inherit an open `server.lock`. Its lock is
free only when all of them have ended, so two servers never run in one folder. The supervisor
restarts nothing: it ends with its postmaster, and a client process that watches the lock starts
both again.

The supervisor gets DATA_DIR/postgres as an open folder, whose owner the starting process has
checked. Started by root, the supervisor opens what it needs in there, and then becomes the account
that PostgreSQL runs under.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOG_LIMIT = 4 * 1024 * 1024
_LOG_KEPT = 256 * 1024
_POLL = 0.05
_FAST_SHUTDOWN_PATIENCE = 5.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def locked(fd: int, how: int) -> bool:
    """Take the lock `how` (LOCK_SH or LOCK_EX) on an open file, if it is free now."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def supervise(lock: int, folder: int, postgres: str, uid: int, gid: int) -> None:
    """Run `postgres` until no process uses it; under the given account if we are root."""
    users = os.open("users.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    sockets = os.open("run", _FOLDER, dir_fd=folder)
    cluster = os.open("cluster", _FOLDER, dir_fd=folder)
    os.fchdir(cluster)
    os.close(cluster)
    os.close(folder)
    # The account may be unable to reach the folder by its path, such as below /root. So root has
    # opened it, and the server reaches it by the working directory and a descriptor.
    data, socket_dir = str(Path.cwd()), "../run"
    if os.geteuid() == 0:
        data, socket_dir = "/proc/self/cwd", f"/proc/self/fd/{sockets}"
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    _adopt_orphans()
    postmaster = subprocess.Popen(  # noqa: S603 - the wheel's own program
        [postgres, "-D", data, "-k", socket_dir],
        pass_fds=(lock, sockets),
        preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )
    used = time.monotonic()
    while postmaster.poll() is None:
        if locked(users, fcntl.LOCK_EX):
            # Repeat the signal: one that comes before the program has started is lost. SIGINT is
            # PostgreSQL's fast shutdown; in the first moments of a crash recovery it never ends, so
            # send SIGQUIT, the immediate shutdown, after _FAST_SHUTDOWN_PATIENCE.
            late = time.monotonic() > used + _FAST_SHUTDOWN_PATIENCE
            postmaster.send_signal(signal.SIGQUIT if late else signal.SIGINT)
            time.sleep(_POLL / 5)
        else:
            _bound_log()
            time.sleep(_POLL)
            used = time.monotonic()
    _end_orphans()


def _dying_with(parent: int) -> Callable[[], None]:
    """Have the kernel stop the postmaster when `parent`, the supervisor, dies."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        # SIGQUIT, because it always ends the server, and no supervisor would be left to repeat a
        # SIGINT. The next start recovers.
        if _LINUX:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _adopt_orphans() -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end_orphans() -> None:
    """End the children of a killed postmaster: a busy backend would delay the next server."""
    with suppress(OSError):
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        while pids := children.read_text().split():
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)


def _bound_log() -> None:
    """Keep only the newest lines of the log (our standard error) when it grows too large."""
    with suppress(OSError):
        size = os.fstat(2).st_size
        if size > LOG_LIMIT:
            kept = os.pread(2, _LOG_KEPT, size - _LOG_KEPT)
            os.ftruncate(2, 0)
            os.write(2, kept)


def main() -> None:
    _, lock, folder, postgres, uid, gid = sys.argv[1:]  # first its path, for people and `ps`
    if os.fork():
        os._exit(0)  # the starting process goes on at once, with no child to wait for
    # Client processes need the database to finish their work after a Ctrl-C, a closed terminal or
    # a service manager's SIGTERM. Unlike SIG_IGN, handlers are not inherited by the postmaster.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    supervise(int(lock), int(folder), postgres, int(uid), int(gid))


if __name__ == "__main__":
    main()
