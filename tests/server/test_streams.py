"""Streams of a real server, with several processes."""

import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import eventually
from tests.server.running import STREAM, TASKCLI, Api


def change(response: http.client.HTTPResponse) -> Any:
    """The next one. Raises TimeoutError."""
    while not (line := response.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line.removeprefix(b"data: "))


def read_all(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    with Api(folder, WORKERS="2") as api:
        yield api.ready()


def test_a_change_by_any_process_reaches_the_streams_of_all(api: Api) -> None:
    token = api.register()
    with api.stream(token) as one, api.stream(token) as other:
        for _ in range(6):  # requests that either worker may get
            task = api.call("POST", "/api/v1/tasks", {"title": "x"}, token=token).json
            assert change(one)["task"] == change(other)["task"] == task
        assert api.call("POST", "/api/v1/auth/logout", token=token).status == 204
        assert one.read().strip() == other.read().strip() == b""
    assert eventually(lambda: api.log.count(f'"route":"{STREAM}"') == 2, within=10)


def test_the_command_line_follows_beside_the_server(api: Api) -> None:
    token = api.register("follower@example.org")
    follow = [*TASKCLI, "changes", "--follow", "--json", "--as", "follower@example.org"]
    cursor = api.call("GET", "/api/v1/changes", token=token).json["cursor"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        [*follow, "--cursor", cursor],
        env=api.env,
        cwd=api.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        task = api.call("POST", "/api/v1/tasks", {"title": "x"}, token=token).json
        shown = json.loads(process.stdout.readline())
        assert shown["task"] == task
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        said = f"taskcli: --cursor {shown['cursor']} goes on from here\n"
        assert process.stderr.read().endswith(said)  # behind what DEBUG logs


def test_a_stop_ends_streams_before_the_deadline_for_requests(folder: Path) -> None:
    with Api(folder) as api:
        token = api.ready().register()
        with api.stream(token) as response:
            assert api.stop(within=10) == 0
            assert response.read().strip() == b""


@pytest.mark.long
def test_a_client_that_does_not_read_is_disconnected_and_keeps_little(api: Api) -> None:
    token = api.register()
    cursor = api.call("GET", "/api/v1/changes", token=token).json["cursor"]
    with api.client(token=token) as client:
        for _ in range(200):
            client.call("POST", "/api/v1/tasks", {"title": "x", "description": "x" * 5000})
    route = f'"route":"{STREAM}"'
    ended = api.log.count(route)
    with socket.socket() as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.connect(("127.0.0.1", api.port))
        unread.sendall(
            f"GET {STREAM}?cursor={cursor} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        assert eventually(lambda: api.log.count(route) > ended, within=40)
        unread.settimeout(5)
        with pytest.raises(ConnectionResetError):
            read_all(unread)
