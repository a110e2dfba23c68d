"""The migration that old servers run beside: nothing is lost, miscounted or held off for long."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Self

import psycopg
import pytest
from psycopg import RawCursor
from psycopg.errors import UndefinedColumn, UndefinedTable

from taskcore.adapters.postgres import current_revision, upgrade
from taskcore.adapters.postgres.migrate import downgrade
from taskcore.domain.errors import Unavailable
from tests.conftest import new_database
from tests.migrations.test_migrations import catalogue

BEFORE, AFTER = "0008", "0009"

# As the servers of the release before send them.
LIST = """SELECT batch.number, counted.total, page.id, page.title, page.version
FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[]) WITH ORDINALITY
AS batch(before, skip, "limit", owner_id, number)
JOIN LATERAL (SELECT CAST(sum(task_counts.count) AS BIGINT) AS total FROM task_counts
WHERE task_counts.owner_id != 0 AND task_counts.owner_id = batch.owner_id) AS counted ON true
LEFT OUTER JOIN LATERAL (SELECT tasks.id, tasks.title, tasks.version FROM tasks
WHERE (tasks.owner_id, tasks.id) >= (batch.owner_id, 0)
AND (tasks.owner_id, tasks.id) < (batch.owner_id, batch.before)
ORDER BY tasks.owner_id DESC, tasks.id DESC LIMIT batch."limit" OFFSET batch.skip) AS page ON true
ORDER BY batch.number, page.id DESC"""
ADD = """WITH added AS (INSERT INTO tasks (owner_id, created_at, title, description, updated_at)
SELECT batch.owner_id, batch.created_at, batch.title, batch.description, batch.created_at
FROM unnest($1::BIGINT[], $2::TIMESTAMP WITH TIME ZONE[], $3::TEXT[], $4::TEXT[])
WITH ORDINALITY AS batch(owner_id, created_at, title, description, number) ORDER BY batch.number
RETURNING tasks.id, tasks.title, tasks.version)
SELECT row_number() OVER (ORDER BY added.id), added.id, added.title, added.version FROM added"""
SAVE = """WITH held AS (SELECT batch.* FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[],
$4::TEXT[], $5::BIGINT[], $6::TIMESTAMP WITH TIME ZONE[]) WITH ORDINALITY
AS batch(task_id, previous, title, description, version, updated_at, number)
JOIN tasks ON tasks.id = batch.task_id WHERE tasks.version = batch.previous ORDER BY tasks.id
FOR UPDATE OF tasks SKIP LOCKED)
UPDATE tasks SET title=held.title, description=held.description, version=held.version,
updated_at=held.updated_at FROM held
WHERE tasks.id = held.task_id AND tasks.version = held.previous RETURNING held.number, tasks.id"""
REMOVE = """WITH held AS (SELECT batch.* FROM unnest($1::BIGINT[], $2::BIGINT[]) WITH ORDINALITY
AS batch(task_id, previous, number) JOIN tasks ON tasks.id = batch.task_id
WHERE tasks.version = batch.previous ORDER BY tasks.id FOR UPDATE OF tasks SKIP LOCKED)
DELETE FROM tasks USING held WHERE tasks.id = held.task_id AND tasks.version = held.previous
RETURNING held.number"""

# Every title is one word, and every task has no description: so SQL knows the words, too.
WRONG = {
    "words": "SELECT id FROM tasks LEFT JOIN task_words w ON (w.owner_id, task_id)"
    " = (tasks.owner_id, id) WHERE words IS DISTINCT FROM"
    " format('''%s:%s'':1A', tasks.owner_id, title)::tsvector",
    "words of no task": "SELECT task_id FROM task_words w WHERE NOT EXISTS"
    " (SELECT FROM tasks WHERE (tasks.owner_id, id) = (w.owner_id, task_id))",
    "numbers": "SELECT 1 FROM (SELECT owner_id, count(*) FROM tasks GROUP BY owner_id) counted"
    " FULL JOIN streams USING (owner_id) WHERE coalesce(count, 0) <> coalesce(live, 0)",
    "total": "SELECT 1 WHERE (SELECT sum(tasks) FROM totals) <> (SELECT count(*) FROM tasks)",
}
WRONG_BEFORE = {
    "numbers": "SELECT 1 FROM (SELECT coalesce(owner_id, 0) AS owner_id, count(*) FROM tasks"
    " GROUP BY GROUPING SETS ((owner_id), ())) counted FULL JOIN (SELECT owner_id, sum(count)"
    " FROM task_counts GROUP BY 1 HAVING sum(count) <> 0) kept USING (owner_id)"
    " WHERE coalesce(sum, 0) <> coalesce(count, 0)",
}


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with new_database(database_url) as made:
        upgrade(made, BEFORE)
        yield made


def fill(url: str, accounts: int, tasks: int) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "INSERT INTO users (email, email_key, hashed_password)"
            " SELECT n || '@x.org', n || '@x.org', 'h' FROM generate_series(1, %s::int) n",
            [accounts],
        )
        db.execute(
            "INSERT INTO tasks (title, owner_id) SELECT 'first' || n, 1 + n %% %s::int"
            " FROM generate_series(1, %s::int) n",
            [accounts, tasks],
        )


def wrong(url: str, queries: dict[str, str] = WRONG) -> dict[str, int]:
    """How many rows of each kind are not as they must be."""
    with psycopg.connect(url) as db:
        counted = {
            name: len(db.execute(query.encode()).fetchall()) for name, query in queries.items()
        }
    return {name: count for name, count in counted.items() if count}


class OldServer:
    """Creates, edits, deletes and lists until the database does not fit any more."""

    def __init__(self, url: str, seed: int, accounts: int) -> None:
        self._url, self._random, self._accounts = url, Random(seed), accounts  # noqa: S311 - no secret
        self.longest, self.done = 0.0, 0
        self.ended_by: Exception | None = None
        self._mine = deque[tuple[int, int, int]]()
        self._seed, self._stop = seed, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as db:
            cursor = RawCursor(db)
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    self.work(cursor)
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    self.ended_by = error
                    return
                finally:
                    self.longest = max(self.longest, time.monotonic() - began)

    def work(self, cursor: RawCursor[Any]) -> None:
        """One request."""
        now = "now"
        self.done += 1
        owner_id = self._random.randint(1, self._accounts)
        title = f"t{self._seed}x{self.done}"
        kind = self._random.random()
        if kind < 0.3 and self._mine:
            task_id, owner_id, version = self._mine.popleft()
            values = [[task_id], [version], [title], [""], [version + 1], [now]]
            assert cursor.execute(SAVE, values).fetchall()
            self._mine.append((task_id, owner_id, version + 1))
        elif kind < 0.5 and self._mine:
            task_id, _, version = self._mine.pop()
            assert cursor.execute(REMOVE, [[task_id], [version]]).fetchall()
        elif kind < 0.7:
            cursor.execute(LIST, [[2**62], [0], [20], [owner_id]]).fetchall()
        else:
            ((_, task_id, *_),) = cursor.execute(ADD, [[owner_id], [now], [title], [""]]).fetchall()
            self._mine.append((task_id, owner_id, 1))


@contextmanager
def cut(url: str, at: int) -> Iterator[None]:
    """The server ends a connection at its command of this number that defines something."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE SCHEMA cut")
        db.execute("CREATE SEQUENCE cut.commands")
        db.execute(
            "CREATE FUNCTION cut.cut() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('cut.commands') = {at} THEN"
            " PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$"
        )
        db.execute("CREATE EVENT TRIGGER cut ON ddl_command_start EXECUTE FUNCTION cut.cut()")
        try:
            yield
        finally:
            db.execute("DROP EVENT TRIGGER cut")
            db.execute("DROP SCHEMA cut CASCADE")


def interrupted(url: str, move: Callable[[str], object], work: Callable[[], None]) -> int:
    """How often it was cut before it came to its end; each time later."""
    for times in range(100):
        with cut(url, 3 + 7 * times):
            try:
                move(url)
            except Unavailable:
                work()
            else:
                return times
    raise AssertionError("it never ends")


def test_an_interrupted_migration_goes_on_where_it_stood(url: str, database_url: str) -> None:
    fill(url, 5, 50)
    old = OldServer(url, 1, 5)
    with psycopg.connect(url, autocommit=True) as db, new_database(database_url) as other:

        def work() -> None:
            for _ in range(20):
                old.work(RawCursor(db))

        assert interrupted(url, lambda url: upgrade(url, AFTER), work) > 3
        assert wrong(url) == {}
        upgrade(other, AFTER)
        assert catalogue(url) == catalogue(other)
        assert interrupted(url, lambda url: downgrade(url, BEFORE), lambda: None) > 3
        assert wrong(url, WRONG_BEFORE) == {}
        downgrade(other, BEFORE)
        assert catalogue(url) == catalogue(other)
        work()
        upgrade(url, AFTER)
        assert wrong(url) == {}


def test_ids_go_on_behind_every_id_there_ever_was(url: str) -> None:
    fill(url, 1, 3)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DELETE FROM tasks WHERE id = 3")
        upgrade(url, AFTER)
        assert db.execute("SELECT nextval('tasks_id_seq')").fetchone() == (4,)
        downgrade(url, BEFORE)
        row = db.execute("INSERT INTO tasks (title, owner_id) VALUES ('x', 1) RETURNING id")
        assert (row.fetchone() or (0,))[0] > 4


def test_the_way_back_leaves_the_trash_behind(url: str) -> None:
    fill(url, 2, 6)
    upgrade(url, AFTER)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("UPDATE users SET removed_at = now() WHERE id = 2")
        db.execute("UPDATE streams SET removed = true WHERE owner_id = 2")
        db.execute(
            "INSERT INTO trash (id, title, owner_id, deleted_at) VALUES (99, 'thrown', 1, now())"
        )
        downgrade(url, BEFORE)
        assert db.execute("SELECT count(*) FROM tasks WHERE title = 'thrown'").fetchone() == (0,)
    assert wrong(url, WRONG_BEFORE) == {}
    upgrade(url, AFTER)
    with psycopg.connect(url) as db:
        # A removed account's tasks are in its own number, and not in that of all.
        assert db.execute("SELECT removed, live FROM streams WHERE owner_id = 2").fetchone() == (
            True,
            3,
        )
        assert db.execute("SELECT sum(tasks)::int FROM totals").fetchone() == (3,)


@pytest.mark.long
@pytest.mark.parametrize(("accounts", "tasks"), [(100_000, 1_000_000)])
def test_old_servers_work_until_the_last_step_and_are_held_off_briefly(
    url: str, accounts: int, tasks: int
) -> None:
    fill(url, accounts, tasks)
    servers = [OldServer(url, seed, accounts) for seed in range(3)]
    with servers[0], servers[1], servers[2]:
        upgrade(url, AFTER)
        for server in servers:
            server._thread.join(60)
    for server in servers:
        assert isinstance(server.ended_by, UndefinedColumn | UndefinedTable)
        assert server.done > 100
        assert server.longest < 2
    assert wrong(url) == {}
    downgrade(url, BEFORE)
    assert wrong(url, WRONG_BEFORE) == {}
    assert current_revision(url) == BEFORE
