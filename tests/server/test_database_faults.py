"""A database that goes away, hangs or crashes: quick 503 responses, then full recovery."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from taskcore.adapters.postgres import upgrade
from tests.postgres.servers import Server, server
from tests.processes import children, eventually
from tests.server.load import Exchange, Load, create_task, list_tasks, ok, stored_tasks, violations
from tests.server.running import KEY, Answer, Api
from tests.server.test_streams import change

# In seconds.
NOISE = 1.0  # other programs on this machine may cost as much
DEADLINE = 3.0 + 1.0 + NOISE
RECOVERY = 2.0


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def api(database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("external")
    external = {"DATABASE_URL": database.conninfo, "SECRET_KEY": KEY}
    upgrade(database.conninfo)
    with Api(folder, **external) as api:
        yield api.ready()
        assert api.stop() == 0


@pytest.fixture
def token(api: Api) -> str:
    return api.ready().register()


def postmaster(database: Server) -> int:
    assert database._process
    return database._process.pid


def kill(database: Server) -> None:
    pid = postmaster(database)
    backends = children(pid)
    os.kill(pid, signal.SIGKILL)
    database.stop()  # reaps the killed process
    assert eventually(lambda: not any(Path(f"/proc/{b}").exists() for b in backends), within=10)


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


@contextmanager
def outage(database: Server, end: Callable[[Server], None]) -> Iterator[None]:
    end(database)
    try:
        yield
    finally:
        database.start()


def is_unavailable(exchange: Exchange) -> bool:
    if exchange.answer is None:
        return False
    answer = exchange.answer
    return (
        answer.status == 503
        and int(answer.headers["retry-after"]) >= 1
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json["code"] in {"unavailable", "outcome_unknown"}
    )


def is_busy(exchange: Exchange) -> bool:
    answer = exchange.answer
    return answer is not None and (answer.status, answer.json["code"]) == (503, "overloaded")


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param(kill, 2, id="killed"),
        pytest.param(Server.stop, 2, id="stopped", marks=pytest.mark.long),
        pytest.param(kill, 60, id="killed, for long", marks=pytest.mark.long),
        pytest.param(Server.stop, 60, id="stopped, for long", marks=pytest.mark.long),
    ],
)
def test_while_the_database_is_down_requests_get_503_and_soon_after_200(
    api: Api, database: Server, token: str, end: Callable[[Server], None], seconds: float
) -> None:
    (worker,) = api.workers
    with Load(api, token, create_task, threads=8, pause=0.005) as load:
        time.sleep(0.5)
        with outage(database, end):
            down, memory_before = time.monotonic(), resident_kib(worker)
            while time.monotonic() < down + seconds:
                assert api.call("GET", "/livez").status == 200
                assert api.call("GET", "/readyz").status == 503
                time.sleep(0.2)
            growth, ending = resident_kib(worker) - memory_before, time.monotonic()
        up = time.monotonic()
        time.sleep(RECOVERY + 0.5)
    during = [e for e in load.since(down) if e.ended < ending]
    assert len(during) > 100 * seconds
    assert all(map(is_unavailable, during)), [e for e in during if not is_unavailable(e)][:3]
    assert max(e.ended - e.started for e in load.since(down)) < 2
    assert growth < 16 * 1024
    after = load.since(up + RECOVERY)
    assert after
    assert all(map(ok, after)), [e for e in after if not ok(e)][:3]
    assert any(map(ok, load.since(up)))
    # A request in flight when the database went down may be committed and yet get a 503.
    refused = {e.title for e in load.exchanges if is_unavailable(e) and e.started < down}
    found = violations(load.threads, stored_tasks(api, token))
    assert [v for v in found if v.rpartition(" ")[2] not in refused] == []


def test_while_the_database_is_frozen_requests_get_503_in_time(
    api: Api, database: Server, token: str
) -> None:
    with Load(api, token, list_tasks, threads=8, pause=0.005) as load:
        time.sleep(0.3)
        with database.frozen():
            frozen = time.monotonic()
            while time.monotonic() < frozen + 4:  # longer than a request waits for it
                assert api.call("GET", "/livez").seconds < NOISE
                time.sleep(0.1)
            thawing = time.monotonic()
        thawed = time.monotonic()
        time.sleep(RECOVERY + 0.5)
    assert max(e.ended - e.started for e in load.exchanges) < DEADLINE
    # The database may still serve requests that start while it is being frozen.
    during = [e for e in load.since(frozen + 0.1) if e.ended < thawing]
    assert len(during) > 100
    # Until the silence is noticed, one that waits for a connection cannot tell it from overload.
    noticed = frozen + 2
    odd = [e for e in during if not is_unavailable(e) and not (e.ended < noticed and is_busy(e))]
    assert not odd, odd[:3]
    after = load.since(thawed + RECOVERY)
    assert after
    assert all(map(ok, after)), [e for e in after if not ok(e)][:3]


def test_a_stream_outlives_an_outage_and_misses_nothing(
    api: Api, database: Server, token: str
) -> None:
    def create(title: str) -> Answer:
        return api.call("POST", "/api/v1/tasks", {"title": title}, token=token)

    with api.stream(token) as response:
        before = create("before").json
        with outage(database, kill):
            assert create("meanwhile").status == 503
            assert eventually(lambda: not api.is_ready(), within=5)
        assert eventually(api.is_ready, within=10)
        after = create("after").json
        assert [change(response)["task"] for _ in range(2)] == [before, after]
        assert api.call("POST", "/api/v1/auth/logout", token=token).status == 204
        assert response.read().strip() == b""


def test_requests_succeed_again_soon_after_a_backend_is_killed(
    api: Api, database: Server, token: str
) -> None:
    log = database._folder / "log"
    with Load(api, token, create_task, threads=8, pause=0.005) as load:
        time.sleep(0.3)
        with psycopg.connect(database.conninfo) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'taskcore' LIMIT 1"
            ).fetchone()
        assert row
        log_length = len(log.read_text())
        killed = time.monotonic()
        os.kill(row[0], signal.SIGKILL)  # PostgreSQL then ends all other backends too
        time.sleep(RECOVERY + 0.5)
    assert "all server processes terminated; reinitializing" in log.read_text()[log_length:]
    failed = [e for e in load.exchanges if not ok(e)]
    others = [each for each in failed if not is_unavailable(each)]
    assert others == []
    assert all(map(ok, load.since(killed + RECOVERY)))
    assert any(map(ok, load.since(killed + RECOVERY)))
    refused = {e.title for e in failed}
    found = violations(load.threads, stored_tasks(api, token))
    assert [v for v in found if v.rpartition(" ")[2] not in refused] == []


def test_ctrl_c_ends_a_worker_that_waits_for_the_database(
    api: Api, database: Server, tmp_path: Path
) -> None:
    assert api.is_ready()
    external = {"DATABASE_URL": database.conninfo, "SECRET_KEY": KEY}
    with Api(tmp_path, **external) as starting:
        starting.wait_for_log("Spawning worker")
        with database.frozen():
            (worker,) = starting.workers
            assert eventually(lambda: catches(worker, signal.SIGTERM), within=20)
            time.sleep(0.2)
            assert "Started worker" not in starting.log
            os.killpg(starting.process.pid, signal.SIGINT)  # to both processes, as a terminal does
            assert starting.exit_code(within=10) == 0
