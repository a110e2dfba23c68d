"""Processes that are killed: acknowledged writes are kept, and another process takes over."""

import os
import shutil
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.processes import eventually, run_tool
from tests.server.load import (
    Exchange,
    Load,
    create_task,
    list_tasks,
    ok,
    stored_tasks,
    violations,
)
from tests.server.running import Answer, Api, suspended

WRITERS = 4


def test_a_killed_worker_is_replaced_while_the_other_serves(folder: Path) -> None:
    with Api(folder, WORKERS="2") as api:
        token = api.ready().register()
        victim, survivor = api.workers
        with Load(api, token, create_task, threads=WRITERS, reconnect=True) as load:
            time.sleep(0.5)
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            assert eventually(lambda: len(set(api.workers) - {victim}) == 2, within=20)
            time.sleep(1.5)
        failed = [e for e in load.exchanges if not ok(e)]
        assert len(failed) <= WRITERS, failed  # at most the requests in flight on the killed worker
        assert all(e.started < killed + 0.5 for e in failed), failed
        assert sum(map(ok, load.since(killed))) > WRITERS
        assert survivor in api.workers
        assert violations(load.threads, stored_tasks(api, token)) == []
        assert api.stop() == 0


@pytest.mark.long  # test_full_disk.py kills an only worker too
def test_a_killed_worker_is_replaced_when_it_was_the_only_one(folder: Path) -> None:
    with Api(folder) as api:
        token = api.ready().register()
        (victim,) = api.workers
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: victim not in api.workers and api.is_ready(), within=10)
        assert api.call("GET", "/api/v1/tasks", token=token).status == 200
        assert api.stop() == 0


def test_a_killed_server_leaves_no_process_and_the_next_one_starts(folder: Path) -> None:
    with Api(folder, WORKERS="2") as api:
        token = api.ready().register()
        with Load(api, token, list_tasks) as load:
            time.sleep(0.2)
            api.process.kill()
            assert eventually(lambda: not api.processes(), within=5)
        assert any(map(ok, load.exchanges))
    with Api(folder, SERVER_PORT=str(api.port)) as api:
        assert api.ready().call("GET", "/api/v1/tasks", token=token).status == 200


def test_a_server_killed_before_its_worker_is_up_leaves_no_orphan(folder: Path) -> None:
    with Api(folder) as api:
        api.wait_for_log("Spawning worker")
        api.process.kill()
        assert eventually(lambda: not api.processes(), within=5)


def kill_everything(api: Api) -> None:
    processes = api.processes()
    # The server with its workers, the supervisor, the postmaster, and PostgreSQL's other processes.
    assert len(processes) > 2 + 1 + 1 + 3, "some processes of the server were not found"
    with suspended(processes):
        for pid in processes | api.processes():
            os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not api.processes(), within=5)


def written_until_killed(folder: Path, **options: str) -> tuple[Load, list[tuple[int, str]]]:
    """Kill every process under a load of writers, and return what the next server has stored."""
    with Api(folder, WORKERS="2") as api:
        token = api.ready().register()
        set_options(api, options)
        with Load(api, token, create_task, threads=WRITERS) as load:
            time.sleep(1)
            kill_everything(api)
    with Api(folder) as api:
        return load, stored_tasks(api.ready(), token)


def set_options(api: Api, options: dict[str, str]) -> None:
    host = f"{api.data_dir}/postgres/run"
    with psycopg.connect(
        host=host, dbname="taskcore", user="postgres", autocommit=True
    ) as connection:
        for name, value in options.items():
            connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(0.3)


def test_acknowledged_writes_survive_when_every_process_is_killed(folder: Path) -> None:
    load, stored = written_until_killed(folder)
    assert sum(map(ok, load.exchanges)) > 5 * WRITERS
    assert violations(load.threads, stored) == []


@pytest.mark.long
def test_the_check_finds_writes_lost_by_a_database_that_acknowledges_too_early(
    folder: Path, tmp_path: Path
) -> None:
    run_tool("/bin/cp", "-a", folder / "data", tmp_path)
    early = {"synchronous_commit": "off", "wal_writer_delay": "10000"}
    load, stored = written_until_killed(tmp_path, **early)
    assert [v for v in violations(load.threads, stored) if v.startswith("lost")]
    shutil.rmtree(tmp_path / "data")


def test_the_check_finds_every_kind_of_damage() -> None:
    def created(title: str, number: int) -> Exchange:
        body = f'{{"id": {number}}}'.encode()
        return Exchange(title, 0, 0, Answer(201, {}, body, 0))

    threads = [[created("a", 1), created("b", 2)], [Exchange("c", 0, 0, None)]]
    assert violations(threads, [(1, "a"), (2, "b")]) == []
    assert violations(threads, [(1, "a"), (2, "b"), (3, "c")]) == []
    assert violations(threads, [(2, "b")]) == ["lost: a"]
    assert violations(threads, [(1, "a"), (7, "b")]) == ["changed its id: b"]
    assert violations(threads, [(1, "a"), (2, "b"), (3, "d")]) == ["never requested, or refused: d"]
    assert violations(threads, [(1, "a"), (2, "b"), (3, "c"), (4, "c")]) == ["stored 2 times: c"]
    swapped = [[created("a", 2), created("b", 1)]]
    assert violations(swapped, [(1, "b"), (2, "a")]) == ["ids do not ascend: [2, 1]"]
