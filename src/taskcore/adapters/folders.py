"""Folders that a less privileged account can write in, opened so that it gains nothing by that.

Root runs commands on the data folder of a service. The service's account, or an attacker who has
taken it over, can replace every name in there, at any moment: by a symbolic or hard link to another
user's file, by a folder, or by a pipe that its reader waits at. Therefore

- a folder is opened once, and its entries are reached by its descriptor, whatever its path leads to
  meanwhile;
- no link in it is followed;
- an entry is used only if it belongs to the expected account. Its open descriptor tells the owner,
  because a path may lead elsewhere a moment later.

What runs as that account, such as PostgreSQL, may open paths by name: it has no more rights than
the account that could have replaced what they lead to.
"""

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from taskcore.domain.errors import Misconfigured

_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the last one: do not wait at a pipe
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK = {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}  # what O_NOFOLLOW fails with, by system
_STEP = _FOLDER | getattr(os, "O_PATH", 0)  # O_PATH: without the right to list it
_STEPS = 1000  # from / to the folder; only links that lead to each other need as many
_READ_BYTES = 65536
_MISLED = "is reached by a symbolic link of another user; name its target"


def remedy(error: OSError, path: Path) -> str:
    """What the operator can do about a folder that this account may not use; else nothing."""
    if error.errno not in {errno.EACCES, errno.EPERM}:
        return ""
    user, group = os.geteuid(), os.getegid()
    if not os.access(path, os.F_OK):
        return f"; make it as root with `install -d -m 0700 -o {user} -g {group} {path}`"
    return (
        f"; give it to this account with `chown -hR {user}:{group} {path}`, in a"
        " container on the folder of the host that is mounted there"
    )


@dataclass(frozen=True)
class Owner:
    uid: int
    gid: int


@dataclass(frozen=True)
class Folder:
    """An open folder. Its methods raise OSError, and Misconfigured for what was planted in it."""

    path: Path  # for messages
    fd: int
    owner: Owner
    """The account that entries must belong to, and that new entries are given to."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open the folder that the operator names, made if missing.

        Its entries belong to its own owner if this process is root, else to this account. For root,
        a symbolic link on the way must belong to root or to that owner: another user's could lead
        root astray.
        """
        if os.geteuid():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(path, os.open(path, _FOLDER), Owner(os.geteuid(), os.getegid()))
        fd, choosers = _walked(path)
        status = os.fstat(fd)
        if not choosers <= {0, status.st_uid}:
            os.close(fd)
            raise _planted(path, _MISLED)
        return cls(path, fd, Owner(status.st_uid, status.st_gid))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.fd)

    def make(self, name: str, owner: Owner) -> "Folder":
        """Open a folder in this one, made if missing, and close it to all but `owner`."""
        with suppress(FileExistsError), self._named(name):
            os.mkdir(name, 0o700, dir_fd=self.fd)
        folder = self.folder(name, owner)
        os.fchmod(folder.fd, 0o700)
        return folder

    def folder(self, name: str, owner: Owner) -> "Folder":
        """Open a folder in this one."""
        fd = self.open(name, os.O_RDONLY | os.O_DIRECTORY)
        return Folder(self.path / name, self._entrusted(fd, name, owner), owner)

    def file(self, name: str, flags: int = 0) -> int:
        """Open a file to read and write it, made if missing."""
        fd = self.open(name, os.O_RDWR | os.O_CREAT | flags)
        return self._entrusted(fd, name, self.owner)

    def create(self, name: str) -> int:
        """Open a new file to write it. Raises FileExistsError."""
        fd = self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        return self._entrusted(fd, name, self.owner)

    def read(self, name: str, *, end: bool = False) -> str:
        """The beginning of a file, or its end: 64 KiB at most."""
        fd = self._entrusted(self.open(name, os.O_RDONLY), name, self.owner)
        try:
            start = max(0, os.fstat(fd).st_size - _READ_BYTES) if end else 0
            return os.pread(fd, _READ_BYTES, start).decode(errors="replace")
        finally:
            os.close(fd)

    def replace(self, name: str, text: str) -> None:
        """Write a file anew, so that a reader sees the old text or the new one."""
        draft = f"{name}.new"
        self.remove(draft)  # left by a writer that was killed
        with os.fdopen(self.create(draft), "w") as file:
            file.write(text)
        self.rename(draft, name)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def link(self, old: str, new: str) -> None:
        """Give an entry a second name. Raises FileExistsError if that is taken."""
        os.link(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove a file or a link, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def names(self) -> list[str]:
        return os.listdir(self.fd)  # noqa: PTH208 - a Path cannot hold a descriptor

    def status(self, name: str) -> os.stat_result | None:
        """The status of the entry itself, even if it is a link; None if there is no entry."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        """Open a file or folder, without asking for its owner."""
        with self._named(name):
            fd = os.open(name, flags | _OPEN, 0o600, dir_fd=self.fd)
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            os.close(fd)
            raise _planted(self.path / name, "is neither a file nor a folder; remove it")
        return fd

    def _entrusted(self, fd: int, name: str, owner: Owner) -> int:
        """The open entry, which belongs to `owner`; it is given to them if we have just made it."""
        with ExitStack() as refused:
            refused.callback(os.close, fd)
            status = os.fstat(fd)
            if status.st_uid != owner.uid:
                # A start that was killed before the fchown below has left an empty entry. Only an
                # empty one is given away: the owner of this folder may have moved or linked a file
                # of root's here.
                is_folder = stat.S_ISDIR(status.st_mode)
                used = os.listdir(fd) if is_folder else status.st_size or status.st_nlink > 1
                if status.st_uid != os.geteuid() or used:
                    raise _planted(
                        self.path / name,
                        f"belongs to the user {called(status.st_uid) or status.st_uid}, not to "
                        f"{called(owner.uid) or owner.uid}; chown it if you put it there",
                    )
                os.fchown(fd, owner.uid, owner.gid)
            refused.pop_all()
        return fd

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Tell the whole path in errors, and what was found in it."""
        try:
            yield
        except OSError as error:
            path = self.path / name
            if error.errno in _LINK:
                raise _planted(path, "is a symbolic link or no folder; remove it") from error
            error.filename = str(path)
            raise


def called(uid: int) -> str | None:
    """The user's name, if there is one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _walked(path: Path) -> tuple[int, set[int]]:
    """Open a folder step by step, and make what is missing.

    Also returns the owners of the symbolic links on the way.
    """
    owners: set[int] = set()
    here, ahead = os.open("/", _STEP), list(reversed(path.parts[1:]))
    try:
        for _ in range(_STEPS):
            if not ahead:
                return os.open(".", _FOLDER, dir_fd=here), owners
            step = ahead.pop()
            try:
                there = os.open(step, _STEP | os.O_NOFOLLOW, dir_fd=here)
            except FileNotFoundError:
                if owners - {0}:
                    raise _planted(path, _MISLED) from None
                with suppress(FileExistsError):
                    os.mkdir(step, 0o777 if ahead else 0o700, dir_fd=here)
                ahead.append(step)
            except OSError as error:
                status = os.stat(step, dir_fd=here, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    raise OSError(error.errno, error.strerror, str(path)) from None
                owners.add(status.st_uid)
                ahead.extend(reversed(Path(os.readlink(step, dir_fd=here)).parts))
            else:
                os.close(here)
                here = there
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    finally:
        os.close(here)


def _planted(path: Path, what: str) -> Misconfigured:
    return Misconfigured([f"DATA_DIR: {path} {what}"])
