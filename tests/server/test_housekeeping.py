"""A server that is killed while it removes the tasks of a deleted account."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from tests.api.served import as_url
from tests.conftest import migrated_database
from tests.postgres.test_leftovers import SLOWLY, Db, add_tasks, rows
from tests.processes import eventually
from tests.server.running import ADA, KEY, Api

MANY = 3000  # with the delay, one batch of 2000 takes longer than a statement may


@pytest.mark.long
def test_a_server_goes_on_where_a_killed_one_has_stopped(database_url: str, tmp_path: Path) -> None:
    with migrated_database(database_url) as url:
        settings = {"DATABASE_URL": as_url(url), "SECRET_KEY": KEY, "WORKERS": "2"}
        with psycopg.connect(url, autocommit=True) as db:
            with Api(tmp_path, **settings) as api:
                api.ready().register(ADA)
                heavy = prepared(db, api)
                root = api.log_in(ADA)
                assert api.call("DELETE", f"/api/v1/users/{heavy}", token=root).status == 204
                assert eventually(lambda: 0 < rows(db) < MANY, within=40)
                for pid in api.processes():
                    os.kill(pid, signal.SIGKILL)
                assert api.exit_code() != 0
            left = rows(db)
            assert 0 < left < MANY
            with Api(tmp_path, **settings) as api:
                root = api.ready().log_in(ADA)
                assert api.call("GET", f"/api/v1/users/{heavy}", token=root).status == 404
                assert api.call("GET", "/api/v1/tasks", token=root).json["total"] == 0
                assert eventually(lambda: rows(db) == 0, within=60)
                assert eventually(lambda: rows(db, "users") == 1, within=60)
                assert api.stop() == 0


def prepared(db: Db, api: Api) -> int:
    """Makes Ada an administrator; returns the id of another account, with many tasks."""
    db.execute("UPDATE users SET role = 'admin'")
    api.register("heavy@example.org")
    row = db.execute("SELECT max(id) FROM users").fetchone()
    assert row
    add_tasks(db, row[0], MANY)
    db.execute(SLOWLY)
    return int(row[0])
