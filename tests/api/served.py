"""A real server process, and raw bytes exchanged with it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.conftest import migrated_database
from tests.server.running import KEY, Api


def as_url(conninfo: str) -> str:
    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"


@contextmanager
def serving(folder: Path, database_url: str, **env: str) -> Iterator[Api]:
    """A server on its own database, which no other test empties."""
    with (
        migrated_database(database_url) as conninfo,
        Api(folder, DATABASE_URL=as_url(conninfo), SECRET_KEY=KEY, **env) as api,
    ):
        yield api.ready()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def exchange(port: int, sent: bytes, *, then_hang_up: bool = False) -> list[Reply]:
    """Send bytes; return all responses until the server closes the connection.

    Raises TimeoutError when it neither answers nor closes.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        # A server that refuses early may close while we still send; its response still counts.
        with suppress(ConnectionError):
            connection.sendall(sent)
            if then_hang_up:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
    return list(_replies(received))


def _replies(received: bytes) -> Iterator[Reply]:
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        assert separator, received
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        assert version in {"HTTP/1.0", "HTTP/1.1"}, first
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if status != "100":
            yield Reply(int(status), headers, rest[:length])
        received = rest[length:]
