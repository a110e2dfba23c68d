"""All users of a data folder share one server, from the first to the last."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskcore.adapters.embedded import EmbeddedPostgres
from tests.embedded.conftest import User, fetch_value, is_running, log, postmaster, users
from tests.processes import eventually


@pytest.fixture
def data_dir(prepared: Path) -> Iterator[Path]:
    """Without a copy: no test in this file changes the data."""
    yield prepared
    assert eventually(lambda: not is_running(prepared), within=10)


def test_users_that_start_at_the_same_moment_share_one_server(tmp_path: Path) -> None:
    with users(tmp_path, 5) as all_users:
        started = {
            fetch_value(user.conninfo, "SELECT pg_postmaster_start_time()") for user in all_users
        }
        assert len(started) == 1, "they run on different servers"
        assert (
            fetch_value(all_users[0].conninfo, "SELECT count(*) FROM pg_roles WHERE rolcanlogin")
            == "2"
        )
    assert log(tmp_path).count("ready to accept connections") == 1
    assert not is_running(tmp_path)


def test_the_data_stays_and_the_next_start_is_fast(data_dir: Path) -> None:
    for _ in range(2):
        started = time.monotonic()
        with EmbeddedPostgres(data_dir) as server:
            assert fetch_value(server.conninfo, "SELECT row FROM kept") == "a row"
            assert time.monotonic() - started < 3  # 0.06 s on an idle machine
        assert not is_running(data_dir)


def test_users_that_leave_do_not_stop_the_server_for_the_others(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        started = fetch_value(server.conninfo, "SELECT pg_postmaster_start_time()")
        for _ in range(3):
            with users(data_dir, 2):
                pass
        assert fetch_value(server.conninfo, "SELECT pg_postmaster_start_time()") == started


def test_joining_while_the_last_user_leaves_works_every_time(data_dir: Path) -> None:
    again = """
import psycopg, random
for _ in range(10):
    time.sleep(random.random() / 20)
    with EmbeddedPostgres(Path(sys.argv[1])) as server:
        psycopg.connect(server.conninfo).close()
print("done", flush=True)
"""
    with users(data_dir, 4, "pass", after=again) as all_users:
        assert [user.read_line() for user in all_users] == ["done"] * 4


def test_the_server_stops_cleanly_when_the_last_user_is_killed(data_dir: Path) -> None:
    first, last = User(data_dir).ready(), User(data_dir).ready()
    first.kill()
    time.sleep(0.3)
    assert is_running(data_dir)
    last.kill()
    assert eventually(lambda: not is_running(data_dir), within=10)
    assert log(data_dir).rstrip().endswith("database system is shut down")


def test_a_forked_worker_keeps_the_server_when_its_parent_is_killed(data_dir: Path) -> None:
    fork = "pid = os.fork(); print(pid, flush=True) if pid else None; os.read(0, 1)"
    parent = User(data_dir, fork)
    worker = int(parent.ready().read_line())
    try:
        parent.process.kill()
        parent.process.wait()
        time.sleep(0.3)
        assert fetch_value(parent.conninfo, "SELECT row FROM kept") == "a row"
    finally:
        os.kill(worker, signal.SIGKILL)
    parent.leave()
    assert eventually(lambda: not is_running(data_dir), within=10)


def test_ctrl_c_in_the_terminal_does_not_stop_the_server_under_a_user(data_dir: Path) -> None:
    finish = "import signal; signal.signal(signal.SIGINT, lambda *_: 0); print('on', flush=True); "
    user = User(data_dir, finish + "sys.stdin.read()").ready()
    assert user.read_line() == "on"
    before = postmaster(data_dir)
    os.killpg(user.process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert fetch_value(user.conninfo, "SELECT row FROM kept") == "a row"
    assert postmaster(data_dir) == before
    assert user.leave() == 0


@pytest.mark.parametrize("after", [0.0, 0.05])
def test_a_cancelled_start_leaves_nothing(data_dir: Path, after: float) -> None:
    cancel_start(data_dir, after)
    assert not is_running(data_dir)


def test_a_cancelled_first_start_leaves_no_partial_cluster(tmp_path: Path) -> None:
    cancel_start(tmp_path, 0.2)
    assert not is_running(tmp_path)
    # No partial cluster, and no complete one: that would mean the caller waited for initdb.
    assert not list((tmp_path / "postgres").glob("cluster*"))


def cancel_start(data_dir: Path, after: float) -> None:
    async def start() -> None:
        async with asyncio.timeout(after), EmbeddedPostgres(data_dir):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(start())


def test_async_with_starts_and_stops_the_server(data_dir: Path) -> None:
    async def use() -> str:
        async with EmbeddedPostgres(data_dir) as server:
            return await asyncio.to_thread(fetch_value, server.conninfo, "SELECT row FROM kept")

    assert asyncio.run(use()) == "a row"
    assert not is_running(data_dir)
