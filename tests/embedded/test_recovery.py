"""Processes that are killed: the users left get a server again, and no server outlives them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from taskcore.adapters.embedded import EmbeddedPostgres, supervisor
from taskcore.domain.errors import Misconfigured, Unavailable
from tests.embedded.conftest import (
    AS_ROOT,
    User,
    fetch_value,
    is_running,
    log,
    postmaster,
    responds,
)
from tests.processes import children, eventually, parent, run_tool

SOON = 10.0  # seconds; 0.4 on an idle machine, but recovery waits for the disk


def test_a_killed_postmaster_is_started_again_without_loss(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("INSERT INTO kept VALUES ('another')")
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: responds(server.conninfo, "SELECT 1 FROM kept"), within=SOON)
        assert fetch_value(server.conninfo, "SELECT count(*) FROM kept") == "2"
    assert "automatic recovery in progress" in log(data_dir)


def test_a_busy_backend_does_not_keep_the_next_server_waiting(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        connection = psycopg.connect(server.conninfo, autocommit=True)
        # A backend that computes, here for minutes, does not notice that its postmaster died.
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e10::bigint)")
        time.sleep(0.1)
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: responds(server.conninfo), within=SOON)
        connection.close()


def test_a_user_whose_main_thread_is_blocked_still_restarts_the_server(data_dir: Path) -> None:
    user = User(data_dir, "time.sleep(60)").ready()
    try:
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: responds(user.conninfo), within=SOON)
    finally:
        user.kill()


def test_a_killed_supervisor_and_its_postmaster_are_both_replaced(
    data_dir: Path,
) -> None:
    with EmbeddedPostgres(data_dir) as server:
        old = postmaster(data_dir)
        os.kill(parent(old), signal.SIGKILL)

        def is_replaced() -> bool:
            with suppress(FileNotFoundError, IndexError):  # while one ends and the other starts
                return responds(server.conninfo) and postmaster(data_dir) != old
            return False

        assert eventually(is_replaced, within=SOON)
        assert fetch_value(server.conninfo, "SELECT row FROM kept") == "a row"
    assert not is_running(data_dir)


def test_nothing_outlives_a_supervisor_and_its_last_user_killed_together(data_dir: Path) -> None:
    user, master = User(data_dir).ready(), postmaster(data_dir)
    user.process.kill()
    os.kill(master, signal.SIGSTOP)
    os.kill(parent(master), signal.SIGKILL)
    time.sleep(0.1)
    assert is_running(data_dir)  # so no user starts a second server on the same files
    os.kill(master, signal.SIGCONT)
    assert eventually(lambda: not is_running(data_dir), within=SOON)
    user.leave()


def test_after_a_power_cut_the_next_start_recovers(data_dir: Path) -> None:
    user = User(data_dir).ready()
    with psycopg.connect(user.conninfo, autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES ('another')")
    master = postmaster(data_dir)
    processes = [user.process.pid, parent(master), master]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    for pid in (*processes, *children(master)):
        os.kill(pid, signal.SIGKILL)
    user.leave()
    assert (data_dir / "postgres/run/.s.PGSQL.5432").exists()
    # After the reboot another program has the postmaster's pid.
    pid_file = data_dir / "postgres/cluster/postmaster.pid"
    account = pid_file.stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["/bin/sleep", "60"], user=account) as other:
        for file in (pid_file, data_dir / "postgres/run/.s.PGSQL.5432.lock"):
            file.write_text(file.read_text().replace(str(master), str(other.pid), 1))
        with EmbeddedPostgres(data_dir) as server:
            assert fetch_value(server.conninfo, "SELECT count(*) FROM kept") == "2"
        other.kill()


def test_an_empty_pid_file_of_a_power_cut_keeps_no_server_from_its_start(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/postmaster.pid").touch(0o600)
    with EmbeddedPostgres(data_dir) as server:
        assert responds(server.conninfo)


def test_a_server_that_cannot_start_says_why_once(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/postgresql.auto.conf").write_text("shared_buffers = lots\n")
    started = time.monotonic()
    with pytest.raises(Misconfigured) as refusal:  # because to wait would not help
        EmbeddedPostgres(data_dir).__enter__()
    assert time.monotonic() - started < SOON
    (problem,) = refusal.value.problems
    assert problem.count('invalid value for parameter "shared_buffers": "lots"') == 1
    assert "\n" not in problem
    assert str(data_dir / "postgres/server.log") in problem


def test_the_log_file_is_cut_at_its_limit(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        with (data_dir / "postgres/server.log").open("a") as file:
            file.write("noise\n" * (supervisor.LOG_LIMIT // 6 + 1))
        assert eventually(lambda: len(log(data_dir)) < supervisor.LOG_LIMIT // 2, within=SOON)
        assert log(data_dir).endswith("noise\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not AS_ROOT:
        pytest.skip("only root mounts file systems")
    try:
        run_tool("/bin/mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("this root may not mount")
    yield tmp_path
    run_tool("/bin/umount", tmp_path)


def test_a_full_disk_leaves_no_partial_cluster_and_freed_space_is_enough_to_recover(
    small_disk: Path,
) -> None:
    with pytest.raises(Unavailable, match=r"needs 64 MiB, and the disk of .* has 20 MiB free"):
        EmbeddedPostgres(small_disk).__enter__()
    assert not list((small_disk / "postgres").glob("cluster*"))

    run_tool("/bin/mount", "-o", "remount,size=110m", small_disk)
    with EmbeddedPostgres(small_disk) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            ballast = small_disk / "ballast"
            with pytest.raises(OSError, match="No space left"):
                ballast.write_bytes(bytes(110_000_000))
            # PostgreSQL panics when its write-ahead log cannot grow.
            message = b"SELECT pg_logical_emit_message(false, '', repeat('x', 1000000))"
            with pytest.raises(psycopg.OperationalError, match="No space left"):
                connection.execute(message + b"FROM generate_series(1, 60)")
            assert connection.broken
        ballast.unlink()
        assert eventually(lambda: responds(server.conninfo), within=SOON)
