"""One server for everyone who asks, from the first user to the last."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskcore.adapters.embedded import EmbeddedPostgres
from tests.embedded.conftest import User, ask, eventually, log, postmaster, running, users


@pytest.fixture
def data_dir(made: Path) -> Iterator[Path]:
    """Nothing here changes the data, so one cluster serves all these tests."""
    yield made
    assert eventually(lambda: not running(made), within=10)


def test_users_that_start_at_the_same_moment_share_one_server(tmp_path: Path) -> None:
    with users(tmp_path, 10) as everyone:
        seen = {ask(u.conninfo, "SELECT pg_postmaster_start_time()") for u in everyone}
        assert len(seen) == 1
        assert ask(everyone[0].conninfo, "SELECT count(*) FROM pg_roles WHERE rolcanlogin") == "2"
    assert log(tmp_path).count("ready to accept connections") == 1
    assert not running(tmp_path)


def test_the_data_stays_and_the_next_start_is_fast(data_dir: Path) -> None:
    for _ in range(2):
        begun = time.monotonic()
        with EmbeddedPostgres(data_dir) as server:
            assert ask(server.conninfo, "SELECT row FROM kept") == "a row"
            assert time.monotonic() - begun < 3  # 0.06 s on an idle machine
        assert not running(data_dir)


def test_leaving_does_not_disturb_those_who_stay(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        born = ask(server.conninfo, "SELECT pg_postmaster_start_time()")
        for _ in range(3):
            with users(data_dir, 2):
                pass
        assert ask(server.conninfo, "SELECT pg_postmaster_start_time()") == born


def test_joining_while_the_last_user_leaves_works_every_time(data_dir: Path) -> None:
    again = """
import psycopg, random
for _ in range(15):
    time.sleep(random.random() / 20)
    with EmbeddedPostgres(Path(sys.argv[1])) as server:
        psycopg.connect(server.conninfo).close()
print("done", flush=True)
"""
    with users(data_dir, 4, "pass", after=again) as everyone:
        assert [user.said() for user in everyone] == ["done"] * 4


def test_the_server_stops_cleanly_when_the_last_user_is_killed(data_dir: Path) -> None:
    first, last = User(data_dir).joined(), User(data_dir).joined()
    first.die()
    time.sleep(0.3)
    assert running(data_dir)
    last.die()
    assert eventually(lambda: not running(data_dir), within=10)
    assert log(data_dir).rstrip().endswith("database system is shut down")


def test_a_forked_worker_keeps_the_server_after_its_parent_died(data_dir: Path) -> None:
    fork = "pid = os.fork(); print(pid, flush=True) if pid else None; os.read(0, 1)"
    parent = User(data_dir, fork)
    worker = int(parent.joined().said())
    try:
        parent.process.kill()
        parent.process.wait()
        time.sleep(0.3)
        assert ask(parent.conninfo, "SELECT row FROM kept") == "a row"
    finally:
        os.kill(worker, signal.SIGKILL)
    parent.leave()
    assert eventually(lambda: not running(data_dir), within=10)


def test_a_ctrl_c_in_the_terminal_leaves_the_server_to_those_who_finish(data_dir: Path) -> None:
    finish = "import signal; signal.signal(signal.SIGINT, lambda *_: 0); print('on', flush=True); "
    user = User(data_dir, finish + "sys.stdin.read()").joined()
    assert user.said() == "on"
    before = postmaster(data_dir)
    os.killpg(user.process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert ask(user.conninfo, "SELECT row FROM kept") == "a row"
    assert postmaster(data_dir) == before
    assert user.leave() == 0


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05])
def test_a_cancelled_start_leaves_nothing(data_dir: Path, after: float) -> None:
    call_off(data_dir, after)
    assert not running(data_dir)


def test_a_cancelled_first_start_leaves_no_half_a_cluster(tmp_path: Path) -> None:
    call_off(tmp_path, 0.2)
    assert not running(tmp_path)
    # Neither half a cluster, nor a whole one that the cancelled caller had to wait for.
    assert not list((tmp_path / "postgres").glob("cluster*"))


def call_off(data_dir: Path, after: float) -> None:
    async def start() -> None:
        async with asyncio.timeout(after), EmbeddedPostgres(data_dir):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(start())


def test_async_with_serves_a_pool_of_queries(data_dir: Path) -> None:
    async def use() -> str:
        async with EmbeddedPostgres(data_dir) as server:
            return await asyncio.to_thread(ask, server.conninfo, "SELECT row FROM kept")

    assert asyncio.run(use()) == "a row"
    assert not running(data_dir)
