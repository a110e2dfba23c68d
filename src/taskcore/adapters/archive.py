"""The file of a backup: a zip of the tables, the key and a manifest that says what is in it.

    tables/users        the rows, in the text format of PostgreSQL's COPY
    secret.key          the secret of the tokens
    manifest.json       the revision, and of each table the columns, the number of rows and a sum

Written and read as a stream: the memory that it takes does not depend on its size. The manifest
comes last, so a file without one was never finished.
"""

import hashlib
import io
import json
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from taskcore.domain.errors import Conflict, Invalid, Problem

Told = Callable[[str, int], None]
"""Called with a table and the number of its rows so far, every REPORTED rows and at the end."""

REPORTED = 5000
_FORMAT = 1
_LEVEL = 1  # of zlib: twice as fast as 6, for a file a tenth larger
_CHUNK = 1 << 16
_KEY, _MANIFEST = "secret.key", "manifest.json"
_WORDS = (1 << 128) - 1
# The most that is read at a time, in bytes: a file of a stranger may hold anything.
_LONGEST_ROW = 1 << 26  # an answer of 1 MiB that is kept with its key takes 2 MiB
_LONGEST_MANIFEST = 1 << 20
_LONGEST_KEY = 1 << 16
_NAME = re.compile(r"[a-z_]{1,63}")


class Sum:
    """The number of rows, and a sum of their hashes, which does not depend on their order."""

    def __init__(self, table: str, told: Told) -> None:
        self.rows, self._sum = 0, 0
        self._table, self._told = table, told

    def add(self, row: bytes) -> None:
        self._sum += int.from_bytes(hashlib.blake2b(row, digest_size=16).digest())
        self.rows += 1
        if self.rows % REPORTED == 0:
            self._told(self._table, self.rows)

    def end(self) -> str:
        self._told(self._table, self.rows)
        return f"{self._sum & _WORDS:032x}"


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: Sequence[str]
    rows: int = 0
    sum: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    made_at: str
    """In UTC: the moment whose state the backup holds."""
    postgres: str
    """The version of the server that it was made of."""
    revision: str
    tables: Sequence[Table]
    """In an order in which no row comes before one that it refers to."""
    sequences: dict[str, int] = field(default_factory=dict)
    key: str = ""
    """The SHA-256 of the secret."""
    format: int = _FORMAT

    @property
    def at(self) -> datetime:
        """`made_at`, without what is less than a second."""
        return datetime.fromisoformat(self.made_at).replace(microsecond=0)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


class Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=_LEVEL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError) if error else nullcontext():
            self._zip.close()

    @contextmanager
    def table(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """Yields what writes rows, each with its line end."""
        with (
            self._zip.open(f"tables/{name}", "w", force_zip64=True) as member,
            io.BufferedWriter(member, _CHUNK) as buffer,
        ):
            yield buffer.write

    def finish(self, manifest: Manifest, secret: bytes) -> None:
        self._zip.writestr(_KEY, secret)
        self._zip.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))


class Archive:
    """A backup, open to read it. Raises Invalid for anything else, and for a damaged one."""

    manifest: Manifest

    def __init__(self, file: Path | BinaryIO) -> None:
        with _damage():
            self._zip = ZipFile(file)
            found = json.loads(self._read(_MANIFEST, _LONGEST_MANIFEST))
            if found["format"] != _FORMAT:
                raise _invalid("was made by a newer release, which can restore it", "newer_backup")
            tables = [Table(**table) for table in found.pop("tables")]
            self.manifest = Manifest(**found, tables=tables)
            _check(self.manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()

    def chunks(self, table: Table) -> Iterator[bytes]:
        with _damage(), self._zip.open(f"tables/{table.name}") as member:
            while chunk := member.read(_CHUNK):
                yield chunk

    def _read(self, name: str, most: int) -> bytes:
        with self._zip.open(name) as member:
            content = member.read(most + 1)
        if len(content) > most:
            raise _damaged()
        return content

    def secret(self) -> bytes:
        with _damage():
            secret = self._read(_KEY, _LONGEST_KEY)
        if digest_of(secret) != self.manifest.key:
            raise _damaged()
        return secret

    def check(self, told: Told) -> None:
        """Read all of it. Raises Invalid where it does not hold what its manifest says."""
        self.secret()
        for table in self.manifest.tables:
            found = Sum(table.name, told)
            with _damage(), self._zip.open(f"tables/{table.name}") as member:
                rows = io.BufferedReader(member, _CHUNK)  # type: ignore[type-var]
                while row := rows.readline(_LONGEST_ROW):
                    if len(row) == _LONGEST_ROW:
                        raise _damaged()
                    found.add(row)
            if (found.end(), found.rows) != (table.sum, table.rows):
                raise _damaged()


def _check(made: Manifest) -> None:
    """Raises TypeError or ValueError for a value of another kind, and for odd names."""
    names = [name for table in made.tables for name in (table.name, *table.columns)]
    texts = (made.made_at, made.postgres, made.revision, made.key)
    numbers = (*made.sequences.values(), *(table.rows for table in made.tables))
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    if not all(type(number) is int for number in numbers):
        raise TypeError
    if made.at.tzinfo is None:
        raise ValueError
    # Without a schema or quotes, a name can only mean what the restore has made itself.
    if not all(map(_NAME.fullmatch, (*names, *made.sequences))):
        raise ValueError


def digest_of(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file that gets its name at the end of the block, complete and on the disk.

    If the block raises or the process is killed, nothing is left, and what was there stays. It is
    readable for its owner alone. Raises Conflict if there is a file and it may not be replaced.
    """
    if not replace and os.path.lexists(path):
        raise _there(path)
    with ExitStack() as undo:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, folder)
        draft = f".{path.name[:200]}.{secrets.token_hex(4)}"
        # The kernel removes a file without a name when its process ends.
        nameless = getattr(os, "O_TMPFILE", None)
        try:
            if nameless is None:
                raise OSError  # noqa: TRY301 - as from file systems that do not have it
            descriptor = os.open(".", os.O_RDWR | nameless, 0o600, dir_fd=folder)
        except OSError:
            nameless = None
            undo.callback(_removed, draft, folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(draft, flags, 0o600, dir_fd=folder)
        file = undo.enter_context(os.fdopen(descriptor, "w+b"))
        yield file
        file.flush()
        os.fsync(file.fileno())
        if nameless is not None:
            undo.callback(_removed, draft, folder)
            os.link(f"/proc/self/fd/{file.fileno()}", draft, dst_dir_fd=folder)
        if replace:
            os.rename(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            try:
                os.link(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except FileExistsError:
                raise _there(path) from None
        os.fsync(folder)


def _removed(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _there(path: Path) -> Conflict:
    return Conflict(f"there is a file {path} already; --replace writes over it")


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (
        *(BadZipFile, zlib.error, EOFError, NotImplementedError),
        *(AttributeError, KeyError, RecursionError, TypeError, ValueError),
    ) as error:
        raise _damaged() from error


def _damaged() -> Invalid:
    return _invalid("is no backup of this program, or damaged", "damaged_backup")


def _invalid(detail: str, code: str) -> Invalid:
    return Invalid(Problem("file", detail, code))
