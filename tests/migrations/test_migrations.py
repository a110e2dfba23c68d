"""The migrations: up, down, concurrent, interrupted, and equal to the tables in the code."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine

from taskcore.adapters.postgres import Connections, PostgresStore, current_revision, upgrade
from taskcore.adapters.postgres.columns import metadata
from taskcore.adapters.postgres.compatibility import oldest_code
from taskcore.adapters.postgres.migrate import downgrade, scripts
from taskcore.adapters.postgres.schema import REVISION, RIGHTS
from taskcore.domain.errors import NotMigrated, SchemaTooNew, Unavailable
from tests.conftest import migrated_database, new_database, until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
SCRIPTS = ScriptDirectory(str(scripts()))
HISTORY = [revision.revision for revision in SCRIPTS.walk_revisions()][::-1]

BEFORE_INDEX = HISTORY[HISTORY.index("0008") - 1]

# Everything that a table consists of, as PostgreSQL describes it.
CATALOGUE = """
SELECT 'column', table_name, column_name, data_type, is_nullable, column_default, is_identity,
       identity_generation FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL
SELECT contype::text, conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL,
       NULL, NULL FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
UNION ALL
SELECT 'index', tablename, indexname, indexdef, NULL, NULL, NULL, NULL FROM pg_indexes
 WHERE schemaname = current_schema()
UNION ALL
SELECT 'sequence', sequencename, NULL, data_type::text, NULL, NULL, NULL, NULL FROM pg_sequences
 WHERE schemaname = current_schema()
UNION ALL
SELECT 'type', typname, NULL, NULL, NULL, NULL, NULL, NULL FROM pg_type
 WHERE typnamespace = current_schema()::regnamespace AND typtype = 'e'
UNION ALL
SELECT 'oldest code', said, NULL, NULL, NULL, NULL, NULL, NULL
  FROM obj_description(to_regclass('alembic_version'), 'pg_class') AS said WHERE said IS NOT NULL
"""


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with new_database(database_url) as made:
        yield made


@pytest.fixture
def migrated(database_url: str) -> Iterator[str]:
    with migrated_database(database_url) as made:
        yield made


def catalogue(url: str) -> set[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(CATALOGUE).fetchall()
    return {row for row in rows if "alembic_version" not in f"{row[1]} {row[2]}"}


def upgrading(url: str) -> subprocess.Popen[bytes]:
    program = "import sys; from taskcore.adapters.postgres import upgrade; upgrade(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", program, url], env=ENVIRONMENT)  # noqa: S603 - ourselves


def test_the_code_needs_the_newest_migration_and_rights_on_all_tables() -> None:
    assert HISTORY[-1] == REVISION, f'schema.py: set REVISION = "{HISTORY[-1]}"'
    assert RIGHTS.keys() == metadata.tables.keys(), "schema.py: list every table in RIGHTS"
    assert sorted(HISTORY) == HISTORY, "name revisions in order: `check` compares them as texts"
    assert SCRIPTS.get_heads() == [REVISION]


def test_every_step_can_be_taken_up_and_down_and_up_again(url: str) -> None:
    assert current_revision(url) is None
    for below, revision in zip(["base", *HISTORY], HISTORY, strict=False):
        before = catalogue(url)
        upgrade(url, revision)
        after = catalogue(url)
        assert current_revision(url) == revision
        assert before != after
        # Without the names of NOT NULL, which PostgreSQL has from version 18 on.
        listed = sorted(str(row) for row in after if row[0] != "n")
        digest = sha256("\n".join(listed).encode()).hexdigest()[:16]
        # Databases have what a revision has made, so that is never changed: see former_schemas.py.
        noted = getattr(SCRIPTS.get_revision(revision).module, "made", None)
        message = f"a new revision: write made = {digest!r} into it; an older one: add another"
        assert noted == digest, message
        downgrade(url, below)
        assert catalogue(url) == before
        upgrade(url, revision)
        assert catalogue(url) == after


# 0009, which has tests of its own, goes on where it was interrupted.
OF_SEVERAL_TRANSACTIONS = [
    revision
    for revision, file in zip(HISTORY, sorted((scripts() / "versions").glob("*.py")), strict=True)
    if "autocommit_block" in file.read_text() and revision != "0009"
]


@pytest.mark.parametrize("revision", OF_SEVERAL_TRANSACTIONS)
def test_a_revision_of_several_transactions_can_be_run_again(url: str, revision: str) -> None:
    """Else one that fails in the second of them could never be completed."""
    upgrade(url, revision)
    after = catalogue(url)
    with psycopg.connect(url) as connection:
        before = HISTORY[HISTORY.index(revision) - 1]
        connection.execute("UPDATE alembic_version SET version_num = %s", [before])
    upgrade(url, revision)
    assert catalogue(url) == after


def test_a_downgrade_to_the_base_leaves_nothing(migrated: str) -> None:
    downgrade(migrated, "base")
    assert catalogue(migrated) == set()
    assert current_revision(migrated) is None


def test_the_migrated_tables_are_the_tables_in_the_code(migrated: str, database_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(migrated))
    options = {"compare_type": True, "compare_server_default": True}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
        assert differences == [], "schema.py and the migrations differ: write a new migration"
    engine.dispose()
    # Alembic compares neither CHECK constraints nor the names of most other constraints.
    with new_database(database_url) as other:
        made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(other))
        metadata.create_all(made)
        made.dispose()
        tables = {row for row in catalogue(migrated) if row[0] != "oldest code"}
        difference = tables ^ catalogue(other)
        assert not difference, "schema.py and the migrations differ: write a new migration"
        kinds = {row[0] for row in catalogue(other)}
        assert kinds >= {"c", "f", "p", "u", "n", "index", "column", "sequence"}


def test_the_content_of_the_tables_survives(url: str) -> None:
    upgrade(url, HISTORY[0])
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password) VALUES ('A@b.c', 'a@b.c', 'h')"
        )
        connection.execute("INSERT INTO tasks (title, owner_id) SELECT 'x', id FROM users")

    def content() -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            query = "SELECT email, title FROM users JOIN tasks ON owner_id = users.id"
            return connection.execute(query).fetchall()

    for move, revision in ((upgrade, REVISION), (downgrade, HISTORY[0]), (upgrade, REVISION)):
        move(url, revision)
        assert content() == [("A@b.c", "x")]


def test_an_upgrade_of_a_current_database_does_nothing(migrated: str) -> None:
    before = catalogue(migrated)
    upgrade(migrated)
    assert catalogue(migrated) == before


def test_concurrent_processes_upgrade_once(url: str) -> None:
    processes = [upgrading(url) for _ in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert current_revision(url) == REVISION


def test_concurrent_threads_upgrade_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [url] * 4))
    assert current_revision(url) == REVISION


async def test_an_upgrade_that_is_killed_half_way_changes_nothing(url: str) -> None:
    upgrade(url, "0001")
    before = catalogue(url)
    with psycopg.connect(url, autocommit=True) as watcher, psycopg.connect(url) as holder:

        def waits() -> bool:
            query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(watcher.execute(query).fetchall())

        # The second revision refers to this table, and so waits for it half-way.
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        process = upgrading(url)
        try:
            await until(waits, seconds=20)
        finally:
            process.kill()
            process.wait()
        holder.rollback()
        await until(lambda: not waits())
    # The killed client's server process may still run, and end a moment later.
    await asyncio.to_thread(upgrade, url, "0001")
    assert current_revision(url) == "0001"
    assert catalogue(url) == before
    upgrade(url)
    assert current_revision(url) == REVISION


async def test_the_index_on_sessions_is_built_while_others_write(url: str) -> None:
    upgrade(url, BEFORE_INDEX)
    write = "INSERT INTO sessions (id, user_id) SELECT gen_random_uuid(), id FROM users"
    with psycopg.connect(url) as writer, psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "INSERT INTO users (email, email_key, hashed_password) VALUES ('a@b.c', 'a@b.c', 'h')"
        )
        # What an interrupted build leaves: an index of this name that is not valid.
        other.execute("CREATE INDEX sessions_expires_at_idx ON sessions (expires_at)")
        other.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'sessions_expires_at_idx'::regclass"
        )
        writer.execute(write)  # not committed: the build has to wait for it
        process = upgrading(url)
        waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'INDEX'"
        await until(lambda: other.execute(waits).fetchall(), seconds=20)
        other.execute("SET lock_timeout = '1s'")
        other.execute(write)
        second = upgrading(url)  # asks for its turn, and must not hold up the build
        writer.commit()
        assert [each.wait(30) for each in (process, second)] == [0, 0]
        valid = (
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'sessions_expires_at_idx'::regclass"
        )
        assert other.execute(valid).fetchone() == (True,)
    assert current_revision(url) == REVISION


def test_each_migration_that_shuts_code_out_names_a_revision_that_is_read() -> None:
    """A comment that cannot be read would let every code in. The walk proves the way back."""
    named = {}
    for file in (scripts() / "versions").glob("*.py"):
        for comment in re.findall(r"COMMENT ON TABLE alembic_version(.*)", file.read_text()):
            if "NULL" not in comment:
                named[file.name] = oldest_code(comment)
    assert named
    for name, oldest in named.items():
        assert oldest in HISTORY[: HISTORY.index(name[:4]) + 1], f"{name}: {oldest!r} (decision 34)"


async def test_a_store_checks_that_its_tables_exist(url: str) -> None:
    async with Connections(url) as connections:
        store = PostgresStore(connections)
        with pytest.raises(NotMigrated):
            await store.check()
        for older in HISTORY[:-1]:
            await asyncio.to_thread(upgrade, url, older)
            with pytest.raises(NotMigrated):
                await store.check()
        await asyncio.to_thread(upgrade, url)
        await store.check()
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await store.check()
        for oldest, fits in ((REVISION, True), ("9998", False)):
            with psycopg.connect(url) as connection:
                comment = f"COMMENT ON TABLE alembic_version IS 'oldest code: {oldest}'"
                connection.execute(comment.encode())
            with nullcontext() if fits else pytest.raises(SchemaTooNew):
                await store.check()
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM alembic_version")
        with pytest.raises(NotMigrated):
            await store.check()


async def test_a_query_of_a_missing_table_raises_not_migrated(url: str) -> None:
    async with Connections(url) as connections, PostgresStore(connections).autocommit() as db:
        with pytest.raises(NotMigrated):
            await db.users.lock_admins()


def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    nowhere = "postgresql://me:hunter2@/db?host=/nonexistent"
    for call in (upgrade, current_revision):
        with pytest.raises(Unavailable) as refusal:
            call(nowhere)
        assert "hunter2" not in str(refusal.value)


async def test_tables_are_created_in_the_search_path_of_the_url(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA app")
    inside = make_conninfo(url, options="-c search_path=app")
    await asyncio.to_thread(upgrade, inside)
    assert catalogue(url) == set()
    created = {table for kind, table, *_ in catalogue(inside) if kind == "column"}
    assert created == set(metadata.tables)
    assert current_revision(inside) == REVISION
    async with Connections(inside) as connections:
        await PostgresStore(connections).check()


def test_the_alembic_command_needs_no_more_than_database_url(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        host, name = connection.info.host, connection.info.dbname
    settings = {"DATABASE_URL": f"postgresql://postgres@/{name}?host={host}"}
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=ROOT,
        env=ENVIRONMENT | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No new upgrade operations" in done.stdout + done.stderr
