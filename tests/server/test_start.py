"""Starting a server, and the faults that make it refuse to start."""

import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from taskcli import serve
from taskcore import Misconfigured
from tests.api.served import as_url
from tests.cli.in_process import run
from tests.conftest import new_database
from tests.processes import eventually
from tests.server.running import (
    KEY,
    Api,
    database_processes,
    free_port,
    refused,
)

TASKS = "/api/v1/tasks"


def test_an_empty_folder_is_served_and_its_data_is_there_after_a_restart(tmp_path: Path) -> None:
    with Api(tmp_path) as api:
        token = api.ready().register()
        created = api.call("POST", TASKS, {"title": "stays"}, token=token)
        assert created.status == 201
        assert api.stop(signal.SIGINT) == 0
        assert not api.processes()
    with Api(tmp_path) as api:
        # The token is still valid: the key is kept in the folder too.
        task = api.ready().call("GET", f"{TASKS}/{created.json['id']}", token=token)
        assert (task.status, task.json["title"]) == (200, "stays")


def test_two_servers_that_start_at_once_share_one_database(tmp_path: Path) -> None:
    with Api(tmp_path) as one, Api(tmp_path) as two:
        one.ready()
        two.ready()
        token = one.register()
        assert two.call("POST", TASKS, {"title": "shared"}, token=token).status == 201
        # The second server waits for the first to migrate, and then finds nothing to do.
        database_log = (tmp_path / "data/postgres/server.log").read_text()
        assert "already exists" not in database_log
        assert "duplicate" not in database_log

        assert one.stop() == 0
        assert database_processes(two.data_dir)
        tasks = two.call("GET", TASKS, token=token)
        assert [item["title"] for item in tasks.json["items"]] == ["shared"]
        assert two.stop() == 0
        assert not two.processes()


def test_only_one_server_gets_a_port_even_if_two_start_together(folder: Path) -> None:
    port = str(free_port())
    with ExitStack() as stack:
        apis = [stack.enter_context(Api(folder, SERVER_PORT=port)) for _ in range(2)]
        assert eventually(lambda: any(api.ended() for api in apis), within=40)
        loser, winner = sorted(apis, key=Api.ended, reverse=True)
        winner.ready()
        late = stack.enter_context(Api(folder, SERVER_PORT=port))
        for refused_api in (loser, late):
            assert refused_api.exit_code() == 78
            assert f"SERVER_PORT: cannot listen on 127.0.0.1:{port}" in refused_api.log
            assert "Traceback" not in refused_api.log
        assert winner.is_ready()


def test_of_two_that_find_a_port_free_at_the_same_moment_one_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    with ExitStack() as claims:
        claimed: list[str] = []

        def claim() -> None:
            with suppress(Misconfigured):
                claimed.append(claims.enter_context(serve._claimed_address("127.0.0.1", port)))

        class FindsFree(socket.socket):
            def close(self) -> None:
                super().close()
                monkeypatch.undo()
                claim()  # the second, when the first has found the port free

        monkeypatch.setattr(socket, "socket", FindsFree)
        claim()
        assert claimed == ["127.0.0.1"]


def test_an_address_that_this_machine_does_not_have_is_refused(folder: Path) -> None:
    with Api(folder, SERVER_HOST="name.invalid") as api:
        assert api.exit_code() == 78
        assert "SERVER_HOST" in api.log


def test_a_host_may_be_a_name(folder: Path) -> None:
    with Api(folder, SERVER_HOST="localhost") as api:
        api.wait_for_log("Started worker")
        assert api.stop() == 0


def test_a_database_is_refused_until_it_is_migrated(tmp_path: Path, database_url: str) -> None:
    with new_database(database_url) as conninfo:
        external = {"DATABASE_URL": as_url(conninfo), "SECRET_KEY": KEY}
        with Api(tmp_path, **external) as api:
            assert api.exit_code() == 78
            assert "taskcli db upgrade" in api.log
            assert "Traceback" not in api.log
        assert run("db", "upgrade", env=external, cwd=tmp_path).code == 0
        with Api(tmp_path, **external) as api:
            api.ready().register()
            assert api.stop() == 0
    assert not (tmp_path / "data").exists()


def test_a_database_that_cannot_be_reached_is_named_in_the_log(tmp_path: Path) -> None:
    url = f"postgresql://postgres@/postgres?host={tmp_path}"  # no server has its socket there
    with Api(tmp_path, DATABASE_URL=url, SECRET_KEY=KEY) as api:
        assert api.exit_code() == 69
        assert "cannot be reached" in api.log
        assert "Traceback" not in api.log
        assert refused(api.port)
