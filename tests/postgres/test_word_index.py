"""The index of words gives up those that no task has any more, by itself."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.migrate import SCHEMA_LOCK
from taskcore.domain.errors import Unavailable
from tests.conftest import emptied

pytestmark = pytest.mark.anyio

Db = psycopg.Connection[Any]

# So many tasks of a thousand words, which no other task has.
ADD = """
INSERT INTO task_words SELECT 1, task, (SELECT string_agg(format('''1:%%s''', md5(format('%%s %%s',
task, word))), ' ')::tsvector FROM generate_series(1, 1000) word)
FROM generate_series(%s::int, %s::int) task
"""
SIZE = "SELECT pg_relation_size('task_words_words_idx')"
# As a rebuilding leaves it that was interrupted.
LEFT = """
CREATE INDEX task_words_words_idx_ccnew ON task_words USING gin (words);
UPDATE pg_index SET indisvalid = false
WHERE indexrelid = 'task_words_words_idx_ccnew'::regclass
"""
INDEXES = """
SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'task_words'::regclass ORDER BY 1
"""


@pytest.fixture
def db(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Db]:
    """Its index is one of 100 KB, and worth the work."""
    monkeypatch.setattr("taskcore.adapters.postgres.word_index.SPARED", 100_000)
    emptied(database_url)
    url = make_conninfo(database_url, user="postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REINDEX INDEX task_words_words_idx")
        connection.execute("COMMENT ON INDEX task_words_words_idx IS NULL")
        yield connection
        connection.execute("DROP INDEX IF EXISTS task_words_words_idx_ccnew")


def value(db: Db, query: str) -> Any:
    return (db.execute(query.encode()).fetchone() or (None,))[0]


async def test_it_is_rebuilt_when_it_has_doubled(db: Db, database_url: str) -> None:
    async with Connections(database_url) as connections:
        store = PostgresStore(connections)
        assert await store.compact() == 0
        db.execute(ADD, [1, 20])
        db.execute("DELETE FROM task_words WHERE task_id > 2")
        grown = value(db, SIZE)
        given_back = await store.compact()
        rebuilt = value(db, SIZE)
        assert given_back == grown - rebuilt > 500_000
        assert rebuilt > 100_000
        assert await store.compact() == 0
        db.execute(ADD, [3, 20])
        await store.compact()  # to learn how large it is with twenty
        full = value(db, SIZE)
        db.execute("DELETE FROM task_words")
        assert await store.compact() == 0
        assert value(db, SIZE) == full
        assert value(db, "SELECT bool_and(indisvalid) FROM pg_index")


async def test_what_an_interrupted_rebuilding_leaves_is_dropped_in_turn(
    db: Db, database_url: str
) -> None:
    db.execute(LEFT)
    there = db.execute(INDEXES).fetchall()
    async with Connections(database_url) as connections:
        store = PostgresStore(connections)
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", [SCHEMA_LOCK])
            assert await store.compact() == 0
            assert db.execute(INDEXES).fetchall() == there
        assert await store.compact() > 0
        assert db.execute(INDEXES).fetchall() == [each for each in there if "ccnew" not in each[0]]
        assert await store.compact() == 0


async def test_a_role_that_may_not_rebuild_it_says_so_once_an_hour(
    db: Db, database_url: str
) -> None:
    db.execute(ADD, [1, 5])
    url = make_conninfo(db.info.dsn, options="-c role=pg_read_all_data")
    async with Connections(url) as connections:
        store = PostgresStore(connections)
        assert await store.word_index.is_stuck()
        with pytest.raises(Unavailable, match="owner"):
            await store.compact()
        assert await store.compact() == 0
    async with Connections(database_url) as connections:
        assert not await PostgresStore(connections).word_index.is_stuck()
