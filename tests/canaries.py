"""No password, token or key of a test gets into a log or the database.

The suite runs at LOG_LEVEL=DEBUG. The log of this process is searched after each test, that of a
server when it ends, and a database before it is emptied.
"""

import base64
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import structlog

if TYPE_CHECKING:
    import psycopg

# Every password of the suite that opens something begins or ends with one of these.
PASSWORDS = ("correct horse", "wrong horse")
KEYS = (
    "0123456789-abcdefghij-KLMNOPQRST-uvwxyz",
    "a key for tests, of 0123456789 many letters",
    bytes(range(64)).hex(),
)


def _spellings(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield from (secret, quote(secret), quote_plus(secret), raw.hex())
    for before in range(
        3
    ):  # wherever in a longer text it stands; its ends depend on the neighbours
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        yield whole[4 if before else 0 : -2]


_TEXTS = {spelling for secret in (*PASSWORDS, *KEYS) for spelling in _spellings(secret)}
_KNOWN = re.compile("|".join(re.escape(text) for text in sorted(_TEXTS)))
# The shapes of what we issue.
_REFRESH_TOKEN = re.compile(r"tcr_[A-Za-z0-9_-]{43}")
_ACCESS_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
_HASH = re.compile(r"\$argon2id\$v=|\$2[aby]\$[0-9]{2}\$")


def leaks(text: str, *, of_database: bool = False) -> list[str]:
    """Each secret found, with the text before it. Hashes may be in a database."""
    patterns = [_KNOWN, _REFRESH_TOKEN, _ACCESS_TOKEN] + ([] if of_database else [_HASH])
    return [
        text[max(0, found.start() - 80) : found.end()]
        for pattern in patterns
        for found in pattern.finditer(text)
    ]


def dump(conninfo: str) -> str:
    """Every row of every table, as text; bytes in hexadecimal."""
    import psycopg  # noqa: PLC0415 - --quick needs none

    with psycopg.connect(conninfo, autocommit=True) as connection:
        return dumped(connection)


def dumped(connection: "psycopg.Connection[Any]") -> str:
    from psycopg import sql  # noqa: PLC0415 - as above

    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    each = [
        sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name)) for (name,) in tables
    ]
    query = sql.SQL(" UNION ALL ").join(each)
    return "\n".join(row[0] for row in connection.execute(query)) if each else ""


class Listener(logging.Handler):
    """Keeps what is logged in this process, by the standard library and by structlog."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def structured(self, _: object, __: str, event: structlog.typing.EventDict) -> Any:
        """A processor: an exception is written out as our logs do, so that its text counts."""
        self.lines.append(repr(structlog.processors.format_exc_info(None, "", dict(event))))
        return event

    def taken(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


LISTENER = Listener()


def listen() -> None:
    root = logging.getLogger()
    if LISTENER not in root.handlers:  # configuring logging anew drops it
        root.addHandler(LISTENER)
    root.setLevel(logging.DEBUG)


def generated_keys(folders: Iterable[Path]) -> list[str]:
    """The keys of those servers that have generated one."""
    files = (folder / "secret.key" for folder in folders)
    return [file.read_text() for file in files if file.exists()]
