"""The folder on disk: its owner, the creation of a cluster in it, and the server's settings.

DATA_DIR/postgres/
    users.lock     shared by all processes that use the server
    server.lock    held by every process of the server, from initdb to the last backend
    server.log     the server's log
    run/           its socket
    cluster/       its data; created by a rename, so it is never half there

All of it is private to one account: the user's own or, for root, the owner of DATA_DIR or else the
system account. The socket admits only the owner of DATA_DIR and root, by peer credentials of the
kernel.
"""

import errno
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from taskcore.adapters.embedded import supervisor
from taskcore.adapters.embedded.programs import Account, environment, programs, system_account
from taskcore.adapters.embedded.supervisor import locked
from taskcore.domain.errors import Misconfigured, Unavailable

NAME = "taskcore"
MAJOR = "18"
_TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}

# Written at every start, so that a new release also changes old clusters; ALTER SYSTEM overrides
# it. Nothing here may weaken durability.
_SETTINGS = """\
listen_addresses = ''
unix_socket_permissions = 0700
cluster_name = 'taskcore'
max_connections = 100
shared_buffers = 64MB
io_method = sync                        # spares three worker processes,
max_logical_replication_workers = 0     # and this a fourth
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica                     # pg_basebackup needs it
min_wal_size = 64MB
max_wal_size = 256MB
client_connection_check_interval = 1s   # ends the queries of clients that died
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_error_verbosity = terse             # the details quote what people typed
lc_messages = 'C'
"""
_ACCESS = """\
local all         all peer map=owner
local replication all peer map=owner
"""
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
        raise _misconfigured(f"{path} cannot be used ({reason}); name another folder") from error


@dataclass(frozen=True)
class Cluster:
    """One such folder, for a process that may create the cluster and start its server."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "cluster"

    @property
    def sockets(self) -> Path:
        return self.folder / "run"

    def prepare(self) -> None:
        """Create the folder. Raises Misconfigured for one that cannot be used."""
        if _name(os.geteuid()) is None:
            raise _misconfigured(
                f"the user id {os.geteuid()} has no name, which PostgreSQL asks for; add it to "
                "/etc/passwd, run as another user, or set DATABASE_URL",
            )
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in filter(Path.exists, (self.folder, self.data)):
            if os.geteuid() not in {0, path.stat().st_uid}:
                raise _misconfigured(f"{path} is another user's; run as that user or name another")
        self._private(self.folder, self._owner())
        if not self.sockets.exists():
            self._private(self.sockets, self._owner())
        found = self.data / "PG_VERSION"
        if found.exists() and (version := found.read_text().strip()) != MAJOR:
            raise _misconfigured(
                f"{self.data} was made by PostgreSQL {version} and this is {MAJOR}; dump it with "
                f"version {version} and restore it into a new folder",
            )

    def open(self, name: str, flags: int = 0) -> int:
        """Open a file of the folder, made if missing."""
        flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.folder / name, flags, 0o600)
        _give(fd, self._owner())
        return fd

    def claim(self) -> int | None:
        """The lock that a new server needs; None while any process of a server lives."""
        lock = self.open("server.lock")
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
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def last_words(self) -> str:
        try:
            lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
        except OSError as error:
            return f"(no log: {error.strerror})"
        return "\n".join(lines[-8:])

    def create(self, lock: int, called_off: Callable[[], bool]) -> None:
        """Create the cluster with our role and database, unless it exists.

        Raises Unavailable when that fails, or is called off meanwhile.
        """
        if self.data.exists():
            return
        new = self.folder / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            account = self._account()
            self._private(new, account)
            here = "/proc/self/cwd" if os.geteuid() == 0 else str(new)
            steps = (
                (
                    *("initdb", "--pgdata", here, "--username=postgres", "--auth=peer"),
                    *("--data-checksums", "--encoding=UTF8", "--locale=C"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ),
                ("postgres", "--single", "-D", here, "-c", "exit_on_error=on", "postgres"),
            )
            for program, *options in steps:
                done = account.run(
                    [programs(account) / program, *options],
                    cwd=new,
                    commands=_BOOTSTRAP,
                    keep=[lock],
                    called_off=called_off,
                )
                if done.returncode:
                    raise Unavailable(f"{program} could not make a database: {done.stdout[-800:]}")
            new.rename(self.data)
            _flush(self.folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def start(self, lock: int) -> None:
        """Start the server, which keeps the lock. `is_ready` tells when it accepts connections."""
        account = self._account()
        self._private(self.sockets, account)
        self._write("postgresql.conf", _SETTINGS, account)
        self._write("pg_hba.conf", _ACCESS, account)
        self._write("pg_ident.conf", self._people(), account)
        self._forget_the_dead()
        log = self.open("server.log", os.O_APPEND)
        try:
            subprocess.run(  # noqa: S603 - ourselves
                [
                    *(sys.executable, "-I", "-S", supervisor.__file__, str(lock), self.folder),
                    *(programs(account) / "postgres", str(account.uid), str(account.gid)),
                ],
                check=False,
                start_new_session=True,
                pass_fds=[lock],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        finally:
            os.close(log)

    def _owner(self) -> Account:
        """The owner of the folder: this account or, for root, the owner of DATA_DIR."""
        if os.geteuid():
            return Account(os.geteuid(), os.getegid())
        found = self.folder.parent.stat()
        # A container's volume may belong to a uid of the host that has no name here, which initdb
        # and peer authentication need.
        known = _name(found.st_uid) is not None
        return Account(found.st_uid, found.st_gid) if known else Account(0, 0)

    def _account(self) -> Account:
        """The account that the server runs as."""
        owner = self._owner()
        if self.data.exists():
            found = self.data.stat()
            owner = Account(found.st_uid, found.st_gid)
            if owner.uid == 0:
                raise _misconfigured(f"{self.data} is root's, which PostgreSQL refuses; chown it")
        return owner if owner.uid else system_account()

    def _people(self) -> str:
        """pg_ident.conf. The owner can read the files anyway, and so may also be superuser."""
        names = [name for uid in {0, self._owner().uid} if (name := _name(uid)) is not None]
        return "".join(
            f'owner "{n}" {role}\n' for n in sorted(names) for role in (NAME, "postgres")
        )

    def _private(self, path: Path, account: Account) -> None:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, 0o700)
            _give(fd, account)
        finally:
            os.close(fd)

    def _write(self, name: str, text: str, account: Account) -> None:
        path, new = self.data / name, self.data / f"{name}.new"
        if path.exists() and path.read_text() == text:
            return  # on a full disk the server may still be able to recover, so do not write
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            _give(fd, account)
            file.write(text)
        new.rename(path)

    def _forget_the_dead(self) -> None:
        """Remove what a killed server left: its pid may belong to another process by now."""
        pid_file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError):
            pid = int(pid_file.read_text().partition("\n")[0])
            with suppress(OSError):
                if Path(f"/proc/{pid}/cwd").samefile(self.data):
                    return  # a server that was started by hand; PostgreSQL will report it
            pid_file.unlink()
        for left in self.sockets.iterdir():
            left.unlink()


def _misconfigured(problem: str) -> Misconfigured:
    return Misconfigured([f"DATA_DIR: {problem}"])


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _give(fd: int, account: Account) -> None:
    if os.geteuid() == 0:
        os.fchown(fd, account.uid, account.gid)


def _flush(folder: Path) -> None:
    """Make a rename in that folder survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
