"""The address for Prometheus: what it answers, and that no client of it disturbs another."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskapi.metrics import listener

pytestmark = pytest.mark.anyio
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def listening(text: bytes = b"x 1\n") -> AsyncIterator[int]:
    ours = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(listener._Listener(lambda: text).run(ours))
    yield ours.getsockname()[1]
    serving.cancel()
    await asyncio.wait({serving})


async def asked(port: int, request: bytes = GET) -> bytes:
    """The answer; empty if the connection is ended or reset without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_it_answers_one_path_and_closes() -> None:
    async with listening() as port:
        head, _, body = (await asked(port)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Type: text/plain; version=0.0.4" in head
        assert body == b"x 1\n"
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"\r\n\r\n"):
            assert (await asked(port, request)).startswith(b"HTTP/1.1 404 ")


async def test_clients_that_send_nothing_or_too_much_are_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_ASKS_WITHIN", 0.05)
    async with listening() as port:
        assert await asked(port, b"") == b""
        assert await asked(port, b"x" * 200_000) == b""
        assert (await asked(port)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_reads_nothing_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"x" * 8_000_000) as port:
        deaf = [await asyncio.open_connection("127.0.0.1", port, limit=1) for _ in range(4)]
        for _, writer in deaf:
            writer.write(GET)
        assert len(await asked(port)) > 8_000_000
        monkeypatch.setattr(listener, "_WITHIN", 0.05)
        for _, writer in deaf:
            writer.close()


async def test_clients_that_ask_for_nothing_keep_no_other_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_ASKS_WITHIN", 60)
    async with listening() as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in silent:
            writer.write(GET[:8])
        for _ in range(3):
            assert (await asked(port)).startswith(b"HTTP/1.1 200 ")
        for _, writer in silent:
            writer.close()


async def test_clients_beyond_a_few_that_read_nothing_are_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(b"x" * 8_000_000) as port:
        deaf = [await asyncio.open_connection("127.0.0.1", port, limit=1) for _ in range(8)]
        for _, writer in deaf:
            writer.write(GET)
        await asyncio.sleep(0.2)
        assert await asked(port) == b""
        monkeypatch.setattr(listener, "_WITHIN", 0.05)
        for _, writer in deaf:
            writer.close()
        await asyncio.sleep(0.2)
        assert len(await asked(port)) > 8_000_000
