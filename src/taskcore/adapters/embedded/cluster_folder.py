"""The folder on disk: its owner, the creation of a cluster in it, and the start of its server.

DATA_DIR/postgres/
    users.lock     shared by all processes that use the server
    server.lock    held by every process of the server, from initdb to the last backend
    server.log     the server's log
    run/           its socket
    cluster/       its data; created by a rename, so it is never half there

All of it is private to one account: the user's own or, for root, the owner of DATA_DIR or else the
system account. The socket admits only the owner of DATA_DIR and root, by peer credentials of the
kernel. `folders.py` says how root keeps from being led astray in there. `initdb` and `postgres`
open paths by name, because they run as that account and not as root.
"""

import errno
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from taskcore.adapters.embedded import supervisor
from taskcore.adapters.embedded.programs import Account, environment, programs, system_account
from taskcore.adapters.embedded.server_settings import ACCESS, FILE, SETTINGS
from taskcore.adapters.embedded.supervisor import locked
from taskcore.adapters.folders import Folder, Owner, called, remedy
from taskcore.domain.errors import Misconfigured, Unavailable

NAME = "taskcore"
MAJOR = "18"
_NEW = "cluster.new"
_MEBIBYTE = 1 << 20
_NEW_MEBIBYTES = 64  # a new cluster with our tables takes 47, and soon a WAL segment of 16 more
_TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}

_MOMENT = re.compile(r"\S+ \S+ \S+ \[[0-9]+\] ")  # what log_line_prefix writes
_WORDS = 4
_BOOTSTRAP = f"""\
CREATE ROLE {NAME} LOGIN
CREATE DATABASE {NAME} OWNER {NAME}
"""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into advice for the operator."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename or path}"
        if error.errno in _TRANSIENT:
            raise Unavailable(f"The embedded PostgreSQL cannot start ({reason})") from error
        advice = remedy(error, path) or "; name another folder"
        raise _misconfigured(f"{path} cannot be used ({reason}){advice}") from error


@dataclass(frozen=True)
class Cluster:
    """DATA_DIR/postgres, open. Creates the cluster in it, and starts the cluster's server."""

    folder: Folder

    @classmethod
    @contextmanager
    def opened(cls, data_dir: Path) -> Iterator[Self]:
        """Open the folder, made if missing. Raises Misconfigured for one that cannot be used."""
        if called(os.geteuid()) is None:
            raise _misconfigured(
                f"the user id {os.geteuid()} has no name, which PostgreSQL asks for; add it to "
                "/etc/passwd, run as another user, or set DATABASE_URL",
            )
        with Folder.at(data_dir) as above:
            # The owner of a container's volume may be a user of the host without a name in the
            # container. initdb and peer authentication need a name: root owns the folder then.
            owner = above.owner if called(above.owner.uid) is not None else Owner(0, 0)
            opened = above.make("postgres", owner)
        with opened as folder:
            if folder.status("run") is None:
                folder.make("run", owner).close()
            cluster = cls(folder)
            cluster._check_version()
            yield cluster

    def _check_version(self) -> None:
        with suppress(FileNotFoundError), self._data() as data:
            if (version := data.read("PG_VERSION").strip()) != MAJOR:
                raise _misconfigured(
                    f"{data.path} was made by PostgreSQL {version} and this is {MAJOR}: run "
                    "`taskcli backup` of the release before, and `taskcli restore` of this one "
                    "into a new folder",
                )

    def claim(self) -> int | None:
        """The lock that a new server needs; None while any process of a server lives."""
        lock = self.folder.file("server.lock")
        if locked(lock, fcntl.LOCK_EX):
            return lock
        os.close(lock)
        return None

    def is_ready(self, address: str) -> bool:
        # Both checks are needed. A living postmaster accepts the connection before it has finished
        # recovery, and the file of a dead one may still say "ready".
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                client.connect(address)
            with self._data() as data:
                return data.read("postmaster.pid").splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def log_size(self) -> int:
        """In bytes."""
        found = self.folder.status("server.log")
        return found.st_size if found else 0

    def last_words(self, since: int) -> str:
        """What the server has logged since the log had that size: few messages, each once."""
        try:
            text = self.folder.read("server.log", end=True)
        except OSError as error:
            return f"no log ({error.strerror})"
        new = text[-max(1, self.log_size() - since) :]
        return _last_lines(new) or "it says nothing"

    def create(self, lock: int, called_off: Callable[[], bool]) -> None:
        """Create the cluster with our role and database, unless it exists.

        Raises Unavailable when that fails, or is called off meanwhile.
        """
        if self.folder.status("cluster"):
            return
        with ExitStack() as done:
            self._remove_new()
            self._require_room()
            done.callback(self._remove_new)
            account = self.account()
            new = done.enter_context(self.folder.make(_NEW, account))
            here, cwd = str(new.path), new.path
            if os.geteuid() == 0:  # the account may not reach it by its path
                here, cwd = "/proc/self/cwd", Path(f"/proc/self/fd/{new.fd}")
            steps = (
                (
                    *("initdb", "--pgdata", here, "--username=postgres", "--auth=peer"),
                    *("--data-checksums", "--encoding=UTF8", "--locale=C"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ),
                ("postgres", "--single", "-D", here, "-c", "exit_on_error=on", "postgres"),
            )
            for program, *options in steps:
                ended = account.run(
                    [programs(account) / program, *options],
                    cwd=cwd,
                    commands=_BOOTSTRAP,
                    keep=[lock],
                    called_off=called_off,
                )
                if ended.returncode:
                    said = _last_lines(ended.stdout)
                    raise Unavailable(f"{program} could not make a database: {said}")
            self.folder.rename(_NEW, "cluster")
            os.fsync(self.folder.fd)  # makes the rename survive a power failure

    def start(self, lock: int) -> None:
        """Start the server, which keeps the lock. `is_ready` tells when it accepts connections."""
        account = self.account()
        with (
            self.folder.make("run", account) as sockets,
            self._data() as data,
            os.fdopen(self.folder.file("server.log", os.O_APPEND), "a") as log,
        ):
            os.fchmod(data.fd, 0o700)  # PostgreSQL refuses a folder that others can enter
            _write(data, FILE, SETTINGS)
            _include(data, FILE)
            _write(data, "pg_hba.conf", ACCESS)
            _write(data, "pg_ident.conf", self._people())
            _forget_the_dead(data, sockets)
            subprocess.run(  # noqa: S603 - ourselves
                [
                    *(sys.executable, "-I", "-S", supervisor.__file__, self.folder.path),
                    *(str(lock), str(self.folder.fd), programs(account) / "postgres"),
                    *(str(account.uid), str(account.gid)),
                ],
                check=False,
                start_new_session=True,
                pass_fds=[lock, self.folder.fd],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def account(self) -> Account:
        """The account that the server runs as."""
        owner = self.folder.owner
        if owner.uid == 0 and (found := self.folder.status("cluster")):
            owner = Owner(found.st_uid, found.st_gid)
            if owner.uid == 0:
                path = self.folder.path / "cluster"
                raise _misconfigured(f"{path} is root's, which PostgreSQL refuses; chown it")
        return Account(owner.uid, owner.gid) if owner.uid else system_account()

    def _require_room(self) -> None:
        disk = os.statvfs(self.folder.fd)
        free = disk.f_bavail * disk.f_frsize // _MEBIBYTE
        if free < _NEW_MEBIBYTES:
            raise Unavailable(
                f"A new database needs {_NEW_MEBIBYTES} MiB, and the disk of {self.folder.path} has"
                f" {free} MiB free: make room, or name another folder in DATA_DIR"
            )

    def _remove_new(self) -> None:
        shutil.rmtree(_NEW, ignore_errors=True, dir_fd=self.folder.fd)

    def _data(self) -> Folder:
        return self.folder.folder("cluster", self.account())

    def _people(self) -> str:
        """pg_ident.conf: root and the owner can read the files, so they may also be superuser."""
        names = [name for uid in {0, self.folder.owner.uid} if (name := called(uid)) is not None]
        return "".join(
            f'owner "{n}" {role}\n' for n in sorted(names) for role in (NAME, "postgres")
        )


def _last_lines(text: str) -> str:
    """The last few messages of a program of PostgreSQL, each once, in one line."""
    lines = (" ".join(_MOMENT.sub("", line).split()) for line in text.splitlines())
    return "; ".join(list(dict.fromkeys(filter(None, lines)))[-_WORDS:])


def _write(data: Folder, name: str, text: str) -> None:
    # On a full disk the server may still be able to recover, so do not write without need.
    with suppress(FileNotFoundError):
        if data.read(name) == text:
            return
    data.replace(name, text)


def _include(data: Folder, name: str) -> None:
    """Let the server read that file last, and leave what initdb chose for this machine."""
    line = f"include '{name}'\n"
    chosen = data.read("postgresql.conf")
    if not chosen.endswith(line):
        data.replace("postgresql.conf", f"{chosen.removesuffix(chr(10))}\n{line}")


def _forget_the_dead(data: Folder, sockets: Folder) -> None:
    """Remove what a killed server left: its pid may belong to another process by now."""
    with suppress(FileNotFoundError):
        found = data.read("postmaster.pid")
        with suppress(OSError, ValueError):
            pid = int(found.partition("\n")[0])
            if os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), os.fstat(data.fd)):
                return  # a server that was started by hand; PostgreSQL will report it
        data.remove("postmaster.pid")
    for left in sockets.names():
        sockets.remove(left)


def _misconfigured(problem: str) -> Misconfigured:
    return Misconfigured([f"DATA_DIR: {problem}"])
