"""The way back from a field of tasks, for each field."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine

from taskcore.adapters.postgres import field_removals
from taskcore.adapters.postgres.migrate import downgrade
from taskcore.domain.events import EVENT_BYTES, MAX_LOG_BYTES
from taskcore.testing.contracts.task_contents import BESIDE, CHANGED
from tests.backups.stored import core_on, rows
from tests.conftest import migrated_database, until
from tests.migrations.test_migrations import HISTORY
from tests.usecases.people import join

pytestmark = pytest.mark.anyio

COLUMNS = """
SELECT column_name, count(*) FROM information_schema.columns
 WHERE table_schema = current_schema() AND table_name IN ('tasks', 'trash') GROUP BY 1
"""
LOG = "SELECT owner_id, position, changes FROM events ORDER BY 1, 2"
SIZES = f"""
SELECT owner_id, log_bytes - sum({EVENT_BYTES} + coalesce(octet_length(changes::text), 0)),
       log_full FROM streams JOIN events USING (owner_id) GROUP BY owner_id ORDER BY owner_id
"""  # noqa: S608 - of a constant
REMOVE_FIRST = f"""
WITH gone AS (
    DELETE FROM events WHERE position = 1
    RETURNING owner_id, {EVENT_BYTES} + octet_length(changes::text) AS weight
)
UPDATE streams SET log_bytes = log_bytes - weight FROM gone WHERE gone.owner_id = streams.owner_id
"""  # noqa: S608 - of a constant


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with migrated_database(database_url) as made:
        yield made


async def filled(url: str) -> None:
    """Of two users: tasks, some in the trash, whose log has each field, alone and with others."""
    async with core_on(url) as core:
        for person in (await join(core, "ada"), await join(core, "bob")):
            for name, value in CHANGED.items():
                task = await core.tasks.create(person.actor, title="x")
                changes: Any = BESIDE.get(name, {}) | {name: value}
                await core.tasks.edit(person.actor, task.id, **changes)
            await core.tasks.delete(person.actor, task.id)


def forget(url: str, name: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context):
            field_removals.forget_field(name)
    engine.dispose()


def without(changes: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    return {key: value for key, value in (changes or {}).items() if key != name} or None


@pytest.mark.parametrize("batch", [3, 2000])
async def test_a_field_is_forgotten_with_what_it_took(
    url: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_removals, "BATCH", batch)
    await filled(url)
    # Ada's log was full by what the fields take, and Bob's is by more.
    with psycopg.connect(url) as connection:
        ada, bob = [row[0] for row in rows(url, SIZES)]
        connection.execute("UPDATE streams SET log_full = true")
        query = "UPDATE streams SET log_bytes = log_bytes + %s WHERE owner_id = %s"
        connection.execute(query, [MAX_LOG_BYTES, bob])
    kept = dict(rows(url, COLUMNS))
    assert kept.keys() >= CHANGED.keys()
    for name in CHANGED:
        expected = [(owner, place, without(was, name)) for owner, place, was in rows(url, LOG)]
        assert expected != rows(url, LOG)
        for _ in range(2):  # again, as after an interruption
            forget(url, name)
            assert rows(url, LOG) == expected
            assert rows(url, SIZES) == [(ada, 0, False), (bob, MAX_LOG_BYTES, True)]
        assert kept.pop(name) == 2
        assert dict(rows(url, COLUMNS)) == kept


async def test_an_event_that_housekeeping_removes_meanwhile_is_counted_once(url: str) -> None:
    await filled(url)
    sizes = rows(url, SIZES)
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'forgotten'"
    with psycopg.connect(url) as housekeeping:
        housekeeping.execute("SELECT FROM streams FOR NO KEY UPDATE")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(forget, url, "title"))
            await until(lambda: rows(url, waiting), seconds=20)
            housekeeping.execute(REMOVE_FIRST)
            housekeeping.commit()
    assert rows(url, SIZES) == sizes


async def test_the_way_back_from_a_field_forgets_it_in_the_log(url: str) -> None:
    await filled(url)
    sizes = [(owner, 0, False) for owner, _, _ in rows(url, SIZES)]
    assert len(sizes) == 2
    for below in HISTORY[-2 : HISTORY.index("0010") - 1 : -1]:
        downgrade(url, below)
        named = {name for *_, changes in rows(url, LOG) for name in changes or ()}
        unknown = named - dict(rows(url, COLUMNS)).keys()
        assert not unknown, f"the way back to {below} leaves {unknown} in the log: forget_field()"
        assert rows(url, SIZES) == sizes
