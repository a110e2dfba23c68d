"""A database that goes away, hangs or crashes: answers stay quick and honest, and it heals."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.postgres.servers import Server, server
from tests.server.load import Exchange, Load, create_task, list_tasks, ok, stored_tasks, violations
from tests.server.running import KEY, Api, children, eventually, taskcli

NOISE = 1.0  # seconds that this machine may be busy with other things
DEADLINE = 3.0 + 1.0 + NOISE
HEALED = 2.0


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def api(database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("external")
    theirs = {"DATABASE_URL": database.conninfo, "SECRET_KEY": KEY}
    assert taskcli(folder, "db", "upgrade", **theirs).returncode == 0
    with Api(folder, **theirs) as api:
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
    database.stop()  # which is to wait for it, here
    assert eventually(lambda: not any(Path(f"/proc/{b}").exists() for b in backends), within=10)


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether it has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


@contextmanager
def outage(database: Server, end: Callable[[Server], None]) -> Iterator[None]:
    end(database)
    try:
        yield
    finally:
        database.start()


def refused_politely(exchange: Exchange) -> bool:
    if exchange.answer is None:
        return False
    answer = exchange.answer
    return (
        answer.status == 503
        and int(answer.headers["retry-after"]) >= 1
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json["code"] == "unavailable"
    )


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param(kill, 5, id="killed"),
        pytest.param(Server.stop, 5, id="stopped", marks=pytest.mark.long),
        pytest.param(kill, 60, id="killed, for long", marks=pytest.mark.long),
        pytest.param(Server.stop, 60, id="stopped, for long", marks=pytest.mark.long),
    ],
)
def test_while_the_database_is_away_all_are_refused_soon_and_served_soon_after(
    api: Api, database: Server, token: str, end: Callable[[Server], None], seconds: float
) -> None:
    (worker,) = api.workers
    with Load(api, token, create_task, threads=8, pause=0.005) as load:
        time.sleep(0.5)
        with outage(database, end):
            gone, before = time.monotonic(), resident_kib(worker)
            while time.monotonic() < gone + seconds:
                assert api.call("GET", "/livez").status == 200
                assert api.call("GET", "/readyz").status == 503
                time.sleep(0.2)
            grown, ending = resident_kib(worker) - before, time.monotonic()
        back = time.monotonic()
        time.sleep(HEALED + 0.5)
    during = [e for e in load.since(gone) if e.ended < ending]
    assert len(during) > 100 * seconds
    assert all(map(refused_politely, during)), [e for e in during if not refused_politely(e)][:3]
    assert max(e.ended - e.begun for e in load.since(gone)) < 2
    assert grown < 16 * 1024
    after = load.since(back + HEALED)
    assert after
    assert all(map(ok, after)), [e for e in after if not ok(e)][:3]
    assert any(map(ok, load.since(back)))
    # Those that were under way when it went may have been done without an answer to tell.
    refused = {e.title for e in load.exchanges if refused_politely(e) and e.begun < gone}
    found = violations(load.threads, stored_tasks(api, token))
    assert [v for v in found if v.rpartition(" ")[2] not in refused] == []


def test_while_the_database_is_frozen_everybody_is_answered_in_time(
    api: Api, database: Server, token: str
) -> None:
    with Load(api, token, list_tasks, threads=8, pause=0.005) as load:
        time.sleep(0.3)
        with database.frozen():
            frozen = time.monotonic()
            while time.monotonic() < frozen + 5:
                assert api.call("GET", "/livez").seconds < NOISE
                time.sleep(0.1)
            thawing = time.monotonic()
        thawed = time.monotonic()
        time.sleep(HEALED + 0.5)
    assert max(e.ended - e.begun for e in load.exchanges) < DEADLINE
    # One that was answered in the moment of freezing may have begun after we asked for that.
    during = [e for e in load.since(frozen + 0.1) if e.ended < thawing]
    assert len(during) > 100
    assert all(map(refused_politely, during))
    after = load.since(thawed + HEALED)
    assert after
    assert all(map(ok, after)), [e for e in after if not ok(e)][:3]


def test_a_killed_backend_costs_everybody_a_moment_only(
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
        said_before = len(log.read_text())
        killed = time.monotonic()
        os.kill(row[0], signal.SIGKILL)  # which makes the server end all the others as well
        time.sleep(HEALED + 0.5)
    assert "all server processes terminated; reinitializing" in log.read_text()[said_before:]
    failed = [e for e in load.exchanges if not ok(e)]
    assert all(map(refused_politely, failed)), failed[:3]
    assert all(map(ok, load.since(killed + HEALED)))
    assert any(map(ok, load.since(killed + HEALED)))
    refused = {e.title for e in failed}
    found = violations(load.threads, stored_tasks(api, token))
    assert [v for v in found if v.rpartition(" ")[2] not in refused] == []


def test_ctrl_c_is_heard_by_a_worker_that_waits_for_the_database(
    api: Api, database: Server, tmp_path: Path
) -> None:
    assert api.is_ready()
    theirs = {"DATABASE_URL": database.conninfo, "SECRET_KEY": KEY}
    with Api(tmp_path, **theirs) as starting:
        starting.says("Spawning worker")
        with database.frozen():
            (worker,) = starting.workers
            assert eventually(lambda: catches(worker, signal.SIGTERM), within=20)
            time.sleep(0.2)
            assert "Started worker" not in starting.log
            os.killpg(starting.process.pid, signal.SIGINT)  # as a terminal does: to both
            assert starting.exit_code(within=10) == 0
