"""One client that holds many connections: the others are served."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from taskapi.client_connections import PER_CLIENT, UNREAD_WITHIN
from tests.processes import eventually
from tests.server.running import Api

STRANGER = "127.0.0.2"  # the tests' own requests come from 127.0.0.1
MORE_THAN_GRANIAN_ACCEPTS = 1100  # by default
UNFINISHED = (
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n{"
)


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    with Api(folder, TRUSTED_PROXIES="127.0.0.1") as api:
        yield api.ready()
        assert api.stop() == 0


@contextmanager
def held(api: Api, number: int, *, by: str = STRANGER) -> Iterator[list[socket.socket]]:
    """Connections of one client, some of which are perhaps still being opened."""
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(number)]
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.bind((by, 0))
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect(("127.0.0.1", api.port))
        yield connections


def send(connection: socket.socket, request: bytes) -> None:
    connection.settimeout(5)
    connection.sendall(request)
    connection.setblocking(False)


def read_all(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def still_open(connections: list[socket.socket]) -> int:
    found = 0
    for connection in connections:
        try:
            found += connection.recv(1) != b""
        except BlockingIOError:
            found += 1
        except OSError:
            pass
    return found


def test_a_reset_is_logged_but_not_each(api: Api) -> None:
    with held(api, 2 * PER_CLIENT) as connections:
        assert eventually(lambda: still_open(connections) <= PER_CLIENT, within=5)
    assert eventually(lambda: "connections.reset" in api.log, within=5)
    assert api.log.count("connections.reset") == 1


def test_silent_connections_of_one_client_leave_room_for_others(api: Api) -> None:
    with held(api, MORE_THAN_GRANIAN_ACCEPTS) as silent:
        with api.client(timeout=4) as client:
            assert client.call("GET", "/livez").status == 200
        api.log_in()
        assert eventually(lambda: still_open(silent) <= PER_CLIENT, within=4)
        assert still_open(silent) == PER_CLIENT


def test_connections_of_a_trusted_proxy_are_not_limited(api: Api) -> None:
    with held(api, 2 * PER_CLIENT, by="127.0.0.1") as silent, held(api, 2 * PER_CLIENT) as counted:
        assert eventually(lambda: still_open(counted) <= PER_CLIENT, within=4)
        assert still_open(silent) == len(silent)


def test_bodies_that_never_end_leave_room_for_other_requests(api: Api) -> None:
    with held(api, 400, by="127.0.0.1") as unfinished:
        for connection, number in zip(unfinished, count(), strict=False):
            send(connection, UNFINISHED % (number % 9))
        for _ in range(5):
            api.log_in()
        assert still_open(unfinished) == len(unfinished)


@pytest.mark.long
def test_a_client_that_does_not_read_is_disconnected(api: Api) -> None:
    page = api.call("GET", "/api/v1/docs").body.decode()
    (script,) = [part for part in page.split('"') if part.startswith("docs/assets/swagger-ui-b")]
    with held(api, 1) as (unread,):
        send(unread, f"GET /api/v1/{script} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(UNREAD_WITHIN + 5)
        unread.settimeout(5)
        with pytest.raises(ConnectionResetError):
            read_all(unread)
