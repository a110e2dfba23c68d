"""A full disk: no write is acknowledged and then lost, and freed space is enough to recover."""

import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import eventually, run_tool
from tests.server.load import Exchange, stored_tasks, violations
from tests.server.running import ADA, TASKCLI, Answer, Api, Client

MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("only root mounts a small disk: run this test as root")
    disk = tmp_path / "disk"
    disk.mkdir()
    run_tool("/bin/mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", disk)
    yield disk
    run_tool("/bin/umount", disk)


def fill(path: Path) -> None:
    """Write to the file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MEGABYTE // 16))
        except OSError:
            pass
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            pass


def create_large_task(client: Client, title: str) -> Answer:
    incompressible = secrets.token_hex(2500)
    body = {"title": title, "description": incompressible}
    return client.call("POST", "/api/v1/tasks", body)


@pytest.mark.long  # because it needs root, not for its duration
def test_on_a_full_disk_writes_get_503_reads_succeed_and_freed_space_is_enough(
    folder: Path, small_disk: Path, tmp_path: Path
) -> None:
    run_tool("/bin/cp", "-a", folder / "data", small_disk)
    with Api(tmp_path, DATA_DIR=str(small_disk / "data")) as api:
        token = api.ready().register()
        exchanges: list[Exchange] = []

        def write(client: Client, number: int) -> int:
            answer = create_large_task(client, f"0-{number}")
            exchanges.append(Exchange(f"0-{number}", 0, 0, answer))
            return answer.status

        with api.client(token=token) as client:
            assert [write(client, number) for number in range(10)] == [201] * 10
            fill(small_disk / "ballast")
            statuses = [write(client, number) for number in range(10, 60)]
            assert set(statuses) <= {201, 503}
            assert statuses[-10:] == [503] * 10
            refusal = exchanges[-1].answer
            assert refusal
            assert refusal.headers["content-type"] == "application/problem+json"
            assert int(refusal.headers["retry-after"]) >= 1

            listed = client.call("GET", "/api/v1/tasks?limit=1")
            assert listed.status == 200
            assert listed.json["total"] == statuses.count(201) + 10
            assert api.is_ready()
            assert violations([exchanges], stored_tasks(api, token)) == []

            (small_disk / "ballast").unlink()
            assert eventually(lambda: write(client, len(exchanges)) == 201, within=10)
        assert violations([exchanges], stored_tasks(api, token)) == []
        assert api.stop() == 0


def serve_into(target: str) -> list[str]:
    """`taskcli serve` with its output redirected to the target."""
    return ["/bin/sh", "-c", f'exec "$@" {target}', "sh", *TASKCLI]


@pytest.mark.parametrize(
    "target",
    [
        ">/dev/full 2>/dev/full",
        pytest.param(">&- 2>&-", marks=pytest.mark.long),
        pytest.param("2>&-", marks=pytest.mark.long),
    ],
)
def test_a_log_that_cannot_be_written_fails_no_request(
    folder: Path, tmp_path: Path, target: str
) -> None:
    run_tool("/bin/cp", "-a", folder / "data", tmp_path)
    with Api(tmp_path, *serve_into(target)) as api:
        token = api.ready().log_in(ADA)
        for number in range(100):  # more than any buffer holds
            created = api.call("POST", "/api/v1/tasks", {"title": f"number {number}"}, token=token)
            assert created.status == 201, created
        (worker,) = api.workers
        os.kill(worker, signal.SIGKILL)
        listed = api.ready().call("GET", "/api/v1/tasks", token=token)
        assert listed.json["total"] == 100
        assert api.stop() == 0


def test_a_log_pipe_that_is_full_delays_no_request_and_lost_lines_are_counted(
    folder: Path, tmp_path: Path
) -> None:
    """LG-7: of a server whose reader stands still, every request is in the log or counted."""
    run_tool("/bin/cp", "-a", folder / "data", tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def read() -> bytes:
        with suppress(BlockingIOError):
            return os.read(reader, 1 << 20)
        return b""

    with Api(tmp_path, *serve_into(f">{pipe} 2>&1"), LOG_FORMAT="json") as api:
        token = api.ready().log_in(ADA)
        assert eventually(lambda: b"/auth/login" in read(), within=5)
        with api.client(token=token) as client:  # new connections would come in a storm
            for _ in range(1000):  # twice what a pipe holds
                assert client.call("GET", "/api/v1/tasks?limit=1").status == 200
        lines = read().splitlines()
        assert 100 < len(lines) < 1000
        answer = api.call("GET", "/api/v1/tasks?limit=1", token=token)
        last = answer.headers["x-request-id"].encode()

        def came() -> bool:
            lines.extend(read().splitlines())
            return last in lines[-1]

        assert eventually(came, within=5)
        events = [json.loads(line) for line in lines]
        (told,) = (event["lines"] for event in events if event["event"] == "log.lines_lost")
        assert told + len(events) - 1 == 1001
        assert api.stop() == 0
    os.close(reader)
