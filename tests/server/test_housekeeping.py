"""A server that is killed while it removes the tasks of a deleted account."""

import os
import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.api.served import as_url
from tests.conftest import migrated_database
from tests.processes import eventually
from tests.server.running import ADA, KEY, Api

MANY = 3000  # with the delay, one batch of 2000 takes longer than a statement may
SLOWLY = """
CREATE FUNCTION take_a_moment() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $$;
CREATE TRIGGER slowly BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION take_a_moment()
"""


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
                assert eventually(lambda: 0 < rows(db) < MANY, within=10)
                for pid in api.processes():
                    os.kill(pid, signal.SIGKILL)
                assert api.exit_code() != 0
            left = rows(db)
            assert 0 < left < MANY
            with Api(tmp_path, **settings) as api:
                root = api.ready().log_in(ADA)
                assert api.call("GET", f"/api/v1/users/{heavy}", token=root).status == 404
                assert api.call("GET", "/api/v1/tasks", token=root).json["total"] == 0
                assert eventually(lambda: rows(db) == 0, within=20)
                assert eventually(lambda: rows(db, "users") == 1, within=20)
                assert api.stop() == 0


def prepared(db: psycopg.Connection[Any], api: Api) -> int:
    """Makes Ada an administrator; returns the id of another account, with many tasks."""
    db.execute("UPDATE users SET role = 'admin'")
    api.register("heavy@example.org")
    row = db.execute("SELECT max(id) FROM users").fetchone()
    assert row
    db.execute(
        "INSERT INTO tasks (title, owner_id) SELECT 'x', %s FROM generate_series(1, %s)",
        [row[0], MANY],
    )
    db.execute(SLOWLY)
    return int(row[0])


def rows(db: psycopg.Connection[Any], table: str = "tasks") -> int:
    row = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 - a name of ours
    return int(row[0]) if row else -1
