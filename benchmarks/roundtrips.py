"""Counts the round trips between a server and the database, on the wire."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.contestants import PYTHON, serving
from benchmarks.data import Database, People
from benchmarks.load import settled, wrk
from benchmarks.plans import Plans
from benchmarks.rows import RoundTrips

_SOCKET = ".s.PGSQL.5432"
# The messages after which a client waits for the response (PostgreSQL manual, 54.7): a simple
# Query, and the Sync that ends an extended one.
_WAITS = b"QS"
_RUN, _HASHING = 0.6, 3.0  # seconds
_FEW = 3  # requests per client; with fewer, those in flight at the end would distort the result


def count_round_trips(
    workloads: Sequence[str], database: Database, people: People, folder: Path
) -> Iterator[RoundTrips]:
    """With one client, and with 32, whose requests may share statements."""
    with _counting(database, folder) as (counter, behind):
        for contestant in PYTHON:
            plans = Plans(contestant, database, people, folder)
            with serving(contestant, behind, folder) as server:
                for workload in workloads:
                    # With 32 logins at once, the seed stack would hash for four seconds.
                    hashes = workload == "log in"
                    for connections in (1,) if hashes else (1, 32):
                        if workload not in contestant.can:
                            continue
                        plan, seconds = plans.plan(workload), _HASHING if hashes else _RUN
                        before = counter.count
                        run = wrk(contestant.port, plan, connections=connections, seconds=seconds)
                        settled(server)  # requests in flight have round trips, too
                        if run.requests > _FEW * connections and not run.failed:
                            trips = (counter.count - before) / (run.requests + connections)
                            yield RoundTrips(
                                workload, connections, contestant.name, round(trips, 2)
                            )


class _Counter:
    """A proxy between clients and the server that counts round trips."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.count = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_unix_connection(self._server)
        await asyncio.gather(self._up(reader, here), self._down(there, writer))

    async def _up(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            kind = b""  # the first message has no type byte
            while True:
                length = await client.readexactly(4)
                body = await client.readexactly(int.from_bytes(length) - 4)
                self.count += bool(kind) and kind in _WAITS
                server.write(kind + length + body)
                kind = await client.readexactly(1)
        server.close()

    async def _down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await server.read(65536):
                client.write(data)
        client.close()


@contextmanager
def _counting(database: Database, folder: Path) -> Iterator[tuple[_Counter, Database]]:
    counter = _Counter(f"{conninfo_to_dict(database.conninfo)['host']}/{_SOCKET}")
    loop = asyncio.new_event_loop()
    socket = folder / _SOCKET
    server = loop.run_until_complete(asyncio.start_unix_server(counter.connected, socket))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    # The server's account is asked for by `requirepeer`, and this proxy is another.
    conninfo = make_conninfo(database.conninfo, host=str(folder), requirepeer="")
    behind = replace(database, conninfo=conninfo)
    with psycopg.connect(behind.conninfo) as connection:
        connection.execute("SELECT 1")
    try:
        yield counter, behind
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        socket.unlink()
