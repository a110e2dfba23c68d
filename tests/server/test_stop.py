"""Stopping: requests in flight finish, new ones are refused, and no process is left."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.factories import PASSWORD
from tests.leash import Leash
from tests.processes import children, eventually
from tests.server.running import ADA, Answer, Api, Client, refused

LOGIN = {"email": ADA, "password": PASSWORD}


def ctrl_c(api: Api) -> None:
    """Signal the server and its workers together, as a terminal does."""
    os.killpg(api.process.pid, signal.SIGINT)


def sigterm(api: Api) -> None:
    api.process.terminate()


@pytest.mark.parametrize("stop", [ctrl_c, sigterm])
def test_requests_in_flight_finish_and_new_ones_are_refused(
    folder: Path, stop: Callable[[Api], None]
) -> None:
    def log_in(client: Client) -> Answer:
        return client.call("POST", "/api/v1/auth/login", LOGIN)

    with Api(folder, WORKERS="2") as api, ExitStack() as stack:
        api.ready()
        clients = [stack.enter_context(api.client()) for _ in range(16)]
        idle = stack.enter_context(api.client())
        for client in (*clients, idle):  # connects all clients, to both workers
            assert client.call("GET", "/livez").status == 200
        with ThreadPoolExecutor(len(clients)) as pool:
            logins = [pool.submit(log_in, client) for client in clients]
            # By then the server has read every request, and the other half waits for the hasher.
            # A request that it has not read yet may be refused, as on any idle connection.
            assert eventually(lambda: 2 * sum(map(Future.done, logins)) >= len(logins), within=30)
            stop(api)
            stopped = time.monotonic()
            in_flight = sum(not login.done() for login in logins)
            assert eventually(lambda: refused(api.port), within=5)
            refused_after = time.monotonic() - stopped
            assert [login.result().status for login in logins] == [200] * len(logins)
            drained_after = time.monotonic() - stopped
        assert in_flight > 0
        assert refused_after < drained_after + 0.1
        assert api.exit_code(within=10) == 0
        assert not api.processes()


def when_python_starts(api: Api) -> bool:
    return api.process.pid > 0


def when_the_database_is_created(api: Api) -> bool:
    return (api.data_dir / "postgres/cluster.new").exists()


def when_the_worker_is_forked(api: Api) -> bool:
    return "Spawning worker" in api.log


def when_the_worker_loads(api: Api) -> bool:
    if forked := when_the_worker_is_forked(api):
        time.sleep(0.2)
    return forked


@pytest.mark.parametrize(
    ("moment", "stop"),
    [
        (when_python_starts, sigterm),
        (when_the_database_is_created, ctrl_c),
        pytest.param(when_the_database_is_created, sigterm, marks=pytest.mark.long),
        pytest.param(when_the_worker_is_forked, ctrl_c, marks=pytest.mark.long),
        (when_the_worker_is_forked, sigterm),
        (when_the_worker_loads, ctrl_c),
    ],
)
def test_a_start_that_is_interrupted_ends_at_once(
    tmp_path: Path,
    folder: Path,
    moment: Callable[[Api], bool],
    stop: Callable[[Api], None],
) -> None:
    empty = moment is when_the_database_is_created
    with Api(tmp_path / "empty" if empty else folder) as api:
        assert eventually(lambda: moment(api), within=40)
        stop(api)
        # The signal may come before the handler is installed, or when the server is up.
        signals = {signal.SIGINT, signal.SIGTERM}
        assert api.exit_code(within=10) in {0, *(128 + s for s in signals), *(-s for s in signals)}
        assert eventually(lambda: not api.processes(), within=5)


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Three processes that burn the cores."""
    burn = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burn, start_new_session=True) for _ in range(3)]  # noqa: S603
    leashes = [Leash(burner.pid) for burner in burners]
    yield
    for burner, leash in zip(burners, leashes, strict=True):
        burner.kill()
        burner.wait()
        leash.release()


@pytest.mark.long
@pytest.mark.usefixtures("busy_machine")
def test_a_start_is_interrupted_at_any_moment_of_it(tmp_path: Path) -> None:
    # The first start of a folder: it imports in one thread and makes the database in another.
    chance = random.Random(1)  # noqa: S311 - moments, not secrets
    for number in range(100):
        with Api(tmp_path / str(number)) as api:
            if number % 2:
                assert eventually(lambda: when_the_database_is_created(api), within=60)
            time.sleep(chance.random() * (0.05 if number % 2 else 5))
            chance.choice([ctrl_c, sigterm])(api)
            # A signal before our first line, or after the last, meets Python's or the server's.
            code = api.exit_code(within=10)
            is_pythons_own = code == 1 and "runpy" in api.log
            assert code in {130, 143, -2, -15, 0} or is_pythons_own, (number, code, api.log)
            assert eventually(lambda: not api.processes(), within=10)


def test_ctrl_c_while_the_second_worker_starts_ends_both(folder: Path) -> None:
    with Api(folder, WORKERS="2") as api:
        api.ready()
        ctrl_c(api)
        assert api.exit_code(within=10) == 0
        assert "Unexpected exit" not in api.log


def test_a_request_that_hangs_keeps_no_orphaned_worker_alive(folder: Path) -> None:
    with Api(folder) as api, socket.socket() as client:
        api.ready()
        client.connect(("127.0.0.1", api.port))
        head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        time.sleep(0.1)
        assert children(api.process.pid)
        api.process.kill()
        assert eventually(lambda: not api.processes(), within=6)


def test_a_server_that_drains_serves_on_and_tells_proxies_to_go_elsewhere(folder: Path) -> None:
    with Api(folder, WORKERS="2", DRAIN_SECONDS="2") as api, api.client() as kept:
        token = api.ready().register()
        assert "connection" not in kept.call("GET", "/livez").headers
        sigterm(api)
        assert eventually(lambda: api.call("GET", "/readyz").status == 503, within=1)
        for answer in (
            kept.call("GET", "/livez"),
            *(api.call("GET", path) for path in ("/livez", "/api/v1/nowhere") for _ in range(4)),
            api.call("POST", "/api/v1/tasks", {"title": "x"}, token=token),
        ):
            assert answer.status in {200, 201, 404}
            assert answer.headers["connection"] == "close"
        refusal = api.call("GET", "/readyz")
        assert (refusal.status, refusal.json["code"]) == (503, "unavailable")
        assert refusal.headers["retry-after"]
        assert api.exit_code(within=10) == 0


@pytest.mark.parametrize("first", [ctrl_c, sigterm])
def test_who_stops_a_draining_server_again_does_not_wait(
    folder: Path, first: Callable[[Api], None]
) -> None:
    with Api(folder, DRAIN_SECONDS="300") as api:
        api.ready()
        first(api)
        if first is sigterm:
            assert eventually(lambda: not api.is_ready(), within=2)
            sigterm(api)
        assert api.exit_code(within=10) == 0
