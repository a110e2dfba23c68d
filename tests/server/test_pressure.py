"""Too many clients, and slow clients: the server still serves the others."""

import asyncio
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskapi.capacity import IN_FLIGHT
from tests.processes import eventually
from tests.server.running import Api, Client

AT_ONCE = 3 * IN_FLIGHT
HEAD = (
    "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n"
    "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    with Api(folder, TRUSTED_PROXIES="127.0.0.1") as api:
        yield api.ready()
        assert api.stop() == 0


@pytest.fixture(scope="module", autouse=True)
def silent(api: Api) -> Iterator[list[socket.socket]]:
    """Two connections that stay open while the other tests run.

    One sends nothing, the other a part of its request headers.
    """
    with ExitStack() as stack:
        address = ("127.0.0.1", api.port)
        opened = [
            stack.enter_context(socket.create_connection(address, timeout=15)) for _ in range(2)
        ]
        opened[1].sendall(HEAD[:40].encode())
        yield opened


async def at_once(api: Api, token: str, count: int) -> list[tuple[int, bytes, float]]:
    """Status, response headers and seconds of requests that nine clients send together."""
    connections = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(count)]
    request = (
        f"GET /api/v1/tasks?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Connection: close\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n"
    )
    started = time.monotonic()

    async def send(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, float]:
        writer.write((request % (number % 9)).encode())
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        seconds = time.monotonic() - started
        writer.close()
        await writer.wait_closed()
        return head, seconds

    answers = await asyncio.gather(
        *(send(n, *connection) for n, connection in enumerate(connections))
    )
    return [(int(head.split()[1]), head.lower(), seconds) for head, seconds in answers]


def typical_seconds(client: Client) -> float:
    answers = [client.call("GET", "/api/v1/tasks?limit=100") for _ in range(40)]
    assert {answer.status for answer in answers} == {200}
    return statistics.median(answer.seconds for answer in answers)


def test_requests_beyond_the_limit_get_503_at_once_and_the_others_are_served(api: Api) -> None:
    token = api.register()
    with api.client(token=token) as client:
        for number in range(100):
            client.call("POST", "/api/v1/tasks", {"title": f"{number}"})
        before = typical_seconds(client)
    answers = [a for _ in range(3) for a in asyncio.run(at_once(api, token, AT_ONCE))]
    with api.client(token=token) as client:  # the other was closed, if this took over 5 s
        after = typical_seconds(client)
    served = [seconds for status, _, seconds in answers if status == 200]
    refused = [(head, seconds) for status, head, seconds in answers if status == 503]
    counts = Counter(status for status, _, _ in answers)
    assert set(counts) == {200, 503}
    assert len(served) >= 3 * IN_FLIGHT / 2
    assert len(refused) > IN_FLIGHT
    assert all(b"\r\nretry-after: " in head for head, _ in refused)
    assert max(seconds for _, seconds in refused) < 3
    assert max(served) < 5
    assert after < 3 * before + 0.02


@pytest.mark.parametrize("beginning", [HEAD[:40], HEAD, f'{HEAD}{{"email": "ada'])
def test_clients_that_stop_within_a_request_do_not_delay_others(api: Api, beginning: str) -> None:
    with ExitStack() as stack:
        for _ in range(IN_FLIGHT // 2):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", api.port)))
            slow.sendall(beginning.encode())
        time.sleep(0.1)
        started = time.monotonic()
        api.log_in()
        with api.client() as client:
            for _ in range(20):
                assert client.call("GET", "/api/v1/openapi.json").status == 200
        assert time.monotonic() - started < 5


def test_clients_that_disconnect_leave_no_open_files(api: Api) -> None:
    (worker,) = api.workers
    files = Path(f"/proc/{worker}/fd")
    before = len(list(files.iterdir()))
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", api.port)) as client:
            client.sendall(HEAD.encode())
    assert eventually(lambda: len(list(files.iterdir())) <= before + 5, within=5)
    assert api.is_ready()


def test_idle_connections_are_closed(silent: list[socket.socket]) -> None:
    assert [client.recv(1000) for client in silent] == [b"", b""]
