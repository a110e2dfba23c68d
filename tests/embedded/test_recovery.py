"""What happens when something dies: always a server for those alive, never one for nobody."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from taskcore.adapters.embedded import EmbeddedPostgres, supervisor
from taskcore.domain.errors import Unavailable
from tests.embedded.conftest import (
    AS_ROOT,
    User,
    answers,
    ask,
    children,
    eventually,
    log,
    parent,
    postmaster,
    run,
    running,
)

SOON = 10.0  # takes 0.4 s on an idle machine; recovery waits for the disk


def test_a_killed_postmaster_is_started_again_without_loss(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("INSERT INTO kept VALUES ('another')")
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: answers(server.conninfo, "SELECT 1 FROM kept"), within=SOON)
        assert ask(server.conninfo, "SELECT count(*) FROM kept") == "2"
    assert "automatic recovery in progress" in log(data_dir)


def test_a_busy_backend_does_not_keep_the_next_server_waiting(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        connection = psycopg.connect(server.conninfo, autocommit=True)
        # While the client is there nothing but its end stops this backend for minutes.
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e10::bigint)")
        time.sleep(0.1)
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: answers(server.conninfo), within=SOON)
        connection.close()


def test_a_user_whose_event_loop_is_blocked_still_brings_the_server_back(data_dir: Path) -> None:
    user = User(data_dir, "time.sleep(60)").joined()
    try:
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert eventually(lambda: answers(user.conninfo), within=SOON)
    finally:
        user.die()


def test_a_killed_supervisor_takes_its_postmaster_along_and_both_are_replaced(
    data_dir: Path,
) -> None:
    with EmbeddedPostgres(data_dir) as server:
        old = postmaster(data_dir)
        os.kill(parent(old), signal.SIGKILL)
        assert eventually(
            lambda: answers(server.conninfo) and postmaster(data_dir) != old,
            within=SOON,
        )
        assert ask(server.conninfo, "SELECT row FROM kept") == "a row"
    assert not running(data_dir)


def test_nothing_outlives_a_supervisor_and_its_last_user_killed_together(data_dir: Path) -> None:
    user, master = User(data_dir).joined(), postmaster(data_dir)
    user.process.kill()
    os.kill(master, signal.SIGSTOP)
    os.kill(parent(master), signal.SIGKILL)
    time.sleep(0.1)
    assert running(data_dir)  # so nobody starts a second server beside this one
    os.kill(master, signal.SIGCONT)
    assert eventually(lambda: not running(data_dir), within=SOON)
    user.leave()


def test_after_a_power_cut_the_next_start_recovers(data_dir: Path) -> None:
    user = User(data_dir).joined()
    with psycopg.connect(user.conninfo, autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES ('another')")
    master = postmaster(data_dir)
    everything = [user.process.pid, parent(master), master]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    for pid in (*everything, *children(master)):
        os.kill(pid, signal.SIGKILL)
    user.leave()
    assert (data_dir / "postgres/run/.s.PGSQL.5432").exists()
    # The machine is up again, and the pid of the postmaster is that of another program.
    pid_file = data_dir / "postgres/cluster/postmaster.pid"
    account = pid_file.stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["/bin/sleep", "60"], user=account) as stranger:
        for file in (pid_file, data_dir / "postgres/run/.s.PGSQL.5432.lock"):
            file.write_text(file.read_text().replace(str(master), str(stranger.pid), 1))
        with EmbeddedPostgres(data_dir) as server:
            assert ask(server.conninfo, "SELECT count(*) FROM kept") == "2"
        stranger.kill()


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/postgresql.auto.conf").write_text("shared_buffers = lots\n")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match='invalid value for parameter "shared_buffers"'):
        EmbeddedPostgres(data_dir).__enter__()
    assert time.monotonic() - begun < SOON


def test_the_log_does_not_grow_for_ever(data_dir: Path) -> None:
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
        run("/bin/mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("this root may not mount")
    yield tmp_path
    run("/bin/umount", tmp_path)


def test_a_full_disk_leaves_no_half_a_cluster_and_heals_with_space(small_disk: Path) -> None:
    with pytest.raises(Unavailable, match="No space left on device"):
        EmbeddedPostgres(small_disk).__enter__()
    assert not list((small_disk / "postgres").glob("cluster*"))

    run("/bin/mount", "-o", "remount,size=110m", small_disk)
    with EmbeddedPostgres(small_disk) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            ballast = small_disk / "ballast"
            with pytest.raises(OSError, match="No space left"):
                ballast.write_bytes(bytes(110_000_000))
            # A journal that cannot grow is what PostgreSQL panics at.
            message = b"SELECT pg_logical_emit_message(false, '', repeat('x', 1000000))"
            with pytest.raises(psycopg.OperationalError, match="No space left"):
                connection.execute(message + b"FROM generate_series(1, 60)")
            assert connection.broken
        ballast.unlink()
        assert eventually(lambda: answers(server.conninfo), within=SOON)
