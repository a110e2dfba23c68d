"""Keep one PostgreSQL running for as long as somebody uses it.

This file is run as a script by `python -I -S`, with nothing but the standard library, so that it
starts in milliseconds and stays small. Every user holds a shared lock on `users.lock`, which the
kernel drops however a user ends. When the supervisor gets that lock for itself nobody is left, and
while it keeps it nobody can join a server that is going down.

The supervisor, the postmaster and every process below them hold `server.lock`, inherited from
whoever started them. It is free only once all of them are gone, so two servers never meet in one
folder. The supervisor restarts nothing: it ends with its postmaster, and the users, who watch that
lock, start both again.
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
_PATIENCE = 5.0
_LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def locked(fd: int, how: int) -> bool:
    """Take the lock `how` (LOCK_SH or LOCK_EX) on an open file, if it is to be had now."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def supervise(lock: int, folder: Path, postgres: str, uid: int, gid: int) -> None:
    """Run `postgres` until nobody uses it; as the given user if we are root."""
    users = os.open(folder / "users.lock", os.O_RDWR | os.O_CLOEXEC)
    sockets = os.open(folder / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    root = os.geteuid() == 0
    # As root the folder may lie where the server's user cannot go, below /root for one. We open
    # the doors while we are root; afterwards the server is in the room and needs no way there.
    data = "/proc/self/cwd" if root else str(folder / "cluster")
    socket_dir = f"/proc/self/fd/{sockets}" if root else "../run"
    _adopt_orphans()
    postmaster = subprocess.Popen(  # noqa: S603 - the wheel's own program
        [postgres, "-D", data, "-k", socket_dir],
        cwd=folder / "cluster",
        pass_fds=(lock, sockets),
        preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
        user=uid if root else None,
        group=gid if root else None,
        extra_groups=[] if root else None,
    )
    used = time.monotonic()
    while postmaster.poll() is None:
        if locked(users, fcntl.LOCK_EX):
            # Again and again, for a signal before the program has begun is lost; and in the end
            # harder, for a fast shutdown in the first moments of a crash recovery never ends.
            late = time.monotonic() > used + _PATIENCE
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
        # This runs after the change of user, at which the kernel forgets such a request. Nobody
        # would be left to insist, so it is the immediate shutdown, after which the next recovers.
        if _LINUX:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _adopt_orphans() -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end_orphans() -> None:
    """End what a killed postmaster left: a busy backend would keep the next server waiting."""
    with suppress(OSError):
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        while pids := children.read_text().split():
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)


def _bound_log() -> None:
    """Keep only the newest lines of a log (our standard error) that has grown too large."""
    with suppress(OSError):
        size = os.fstat(2).st_size
        if size > LOG_LIMIT:
            kept = os.pread(2, _LOG_KEPT, size - _LOG_KEPT)
            os.ftruncate(2, 0)
            os.write(2, kept)


def main() -> None:
    lock, folder, postgres, uid, gid = sys.argv[1:]
    if os.fork():
        os._exit(0)  # whoever started us goes on at once and has no child to look after
    # Users outlive a ctrl-C, a closed terminal and the first SIGTERM of a service manager: they
    # finish their work, and need the database for it. The postmaster must not inherit deafness.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os.chdir("/")
    supervise(int(lock), Path(folder), postgres, int(uid), int(gid))


if __name__ == "__main__":
    main()
