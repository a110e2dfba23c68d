"""Databases of commits whose revisions were changed later: they become like all others."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from taskcore.adapters.postgres import current_revision, upgrade
from taskcore.adapters.postgres.migrate import downgrade
from taskcore.adapters.postgres.schema import REVISION
from tests.conftest import new_database
from tests.migrations.test_migrations import catalogue

OTHER_NAMES = """
DO $$ DECLARE name record; BEGIN
    FOR name IN SELECT conrelid::regclass::text AS rel, conname AS old FROM pg_constraint
        WHERE contype = 'c' AND conrelid IN (to_regclass('users'), to_regclass('tasks'),
            to_regclass('refresh_tokens')) LOOP
        EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I',
            name.rel, name.old, name.rel || '_' || name.old || '_check');
    END LOOP;
END $$
"""
WITHOUT_0005 = "ALTER TABLE users DROP removed_at"
NO_SIZE = "ALTER TABLE streams DROP log_bytes, DROP log_full"
LOGGED = """
INSERT INTO users (email, email_key, hashed_password) VALUES ('a@b.c', 'a@b.c', 'h');
INSERT INTO streams (owner_id, head) SELECT id, 1 FROM users;
INSERT INTO events (owner_id, position, type, object_id, version, at, changes)
SELECT id, 1, 0, 1, 1, now(), '{"title": ["was", "is"]}' FROM users
"""
NUMBERED = "UPDATE alembic_version SET version_num = '{}'"
NO_COMMENT = "COMMENT ON TABLE alembic_version IS NULL"

# The revision that is there, what the former ones left otherwise, and what they called it.
FORMER = {
    "d7461bb2: checks with other names": ("0002", [OTHER_NAMES]),
    "the same, upgraded by later code": ("0004", [OTHER_NAMES]),
    "b9d874a7: 0006 without 0005": ("0006", [WITHOUT_0005]),
    "the same, upgraded by later code ": ("0008", [OTHER_NAMES, WITHOUT_0005]),
    "1f84af56: the log is 0011": ("0010", [LOGGED, NO_SIZE, NUMBERED.format("0011")]),
    "the same, and 0012 was reached": ("0010", [NUMBERED.format("0012")]),
    "3b774df3: the keys are 0012": ("0011", [NUMBERED.format("0012")]),
    "the same, upgraded by later code  ": ("0013", [NO_COMMENT]),
}


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with new_database(database_url) as made:
        yield made


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as db:
        return db.execute(query.encode()).fetchall()


@pytest.mark.parametrize(("revision", "differences"), FORMER.values(), ids=FORMER)
def test_a_database_of_a_former_schema_is_upgraded_to_the_present_one(
    url: str, database_url: str, revision: str, differences: list[str]
) -> None:
    upgrade(url, revision)
    with psycopg.connect(url, autocommit=True) as db:
        for difference in differences:
            db.execute(difference.encode())
    upgrade(url)
    assert current_revision(url) == REVISION
    assert catalogue(url) == catalogue(database_url)
    downgrade(url, "base")
    assert catalogue(url) == set()


def test_a_log_that_did_not_keep_its_size_gets_it(url: str) -> None:
    upgrade(url, "0010")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"{LOGGED};{NO_SIZE};{NUMBERED.format('0011')}".encode())
    upgrade(url)
    assert rows(url, "SELECT log_bytes > 100, log_full FROM streams") == [(True, False)]
