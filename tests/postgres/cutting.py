"""A proxy before PostgreSQL that loses a connection after so many messages, or is slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SOCKET = ".s.PGSQL.5432"
# The messages that end a turn (PostgreSQL manual, 54.7): of a client a Query or a Sync, of the
# server ReadyForQuery.
_READY = b"Z"
_ENDS_TURN = b"QS" + _READY


class Cutter:
    """Passes messages on in both directions; told to cut, it loses one and then the connection."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self.delay = 0.0
        """How late each reply of the server arrives, in seconds."""
        self._left: int | None = None
        self._counts = b""
        self._ends: set[asyncio.StreamWriter] = set()

    def cut_after(self, count: int, *, turns: bool) -> None:
        """Lose the message after `count` others, of both directions, and then the connection.

        With `turns` only those messages count with which one side lets the other speak.
        """
        self._left, self._counts = count, _ENDS_TURN if turns else b""

    def has_cut(self) -> bool:
        """Whether a connection was cut since `cut_after`. From now on none is."""
        had, self._left = self._left is None, None
        return had

    def _is_the_one(self, kind: bytes) -> bool:
        if self._left is None or (self._counts and (not kind or kind not in self._counts)):
            return False
        if self._left:
            self._left -= 1
            return False
        self._left = None
        return True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_unix_connection(self._server)
        ends = {here, writer}
        self._ends |= ends
        started = asyncio.Event()
        ways = {
            asyncio.create_task(self._pass_on(reader, here, started, first=b"")),
            asyncio.create_task(self._pass_on(there, writer, started, first=None)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.transport.abort()
        await asyncio.gather(*ways, return_exceptions=True)
        self._ends -= ends

    async def close(self) -> None:
        """Cut whatever is still connected."""
        for end in self._ends:
            end.transport.abort()
        while self._ends:  # noqa: ASYNC110 - a test's end
            await asyncio.sleep(0.001)

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        started: asyncio.Event,
        *,
        first: bytes | None,
    ) -> None:
        """`first` is the kind of the first message: that of a client has none.

        What a connection begins with does not count: the pool opens some when it likes.
        """
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            kind = first
            while True:
                if kind is None:
                    kind = await source.readexactly(1)
                length = await source.readexactly(4)
                body = await source.readexactly(int.from_bytes(length) - 4)
                if started.is_set() and self._is_the_one(kind):
                    return
                if started.is_set() and kind == _READY and self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(kind + length + body)
                if kind == _READY:
                    started.set()
                kind = None


@asynccontextmanager
async def cutting(conninfo: str, folder: Path) -> AsyncIterator[tuple[Cutter, str]]:
    """The proxy, and how to connect to the server through it."""
    cutter = Cutter(Path(str(conninfo_to_dict(conninfo)["host"])) / _SOCKET)
    listening = await asyncio.start_unix_server(cutter.connected, folder / _SOCKET)
    # `requirepeer` names the server's account, and this process may run as another.
    try:
        yield cutter, make_conninfo(conninfo, host=str(folder), requirepeer="")
    finally:
        listening.close()
        await cutter.close()
