"""How PostgreSQL executes a statement, and tables to execute it on."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from taskcore.adapters.postgres.statements import BatchedStatement, Statement, Values
from taskcore.adapters.postgres.task_rows import label_hash

Db = psycopg.Connection[Any]
Node = dict[str, Any]

# The owners of the tasks, the oldest tasks first, and how many owners.
OWNERS = {
    "two, one with none": (2, [("1", 30_000)]),
    "twenty, one with most": (20, [("1 + n % 20", 400), ("7", 30_000)]),
    "many": (200, [("1 + (n * 7919) % 200", 30_000)]),
}
# One of them shows that the tasks of others delay no owner; the rest is for `make test-long`.
MOST = "twenty, one with most"
OWNER_PARAMS = [pytest.param(k, marks=[] if k == MOST else pytest.mark.long) for k in OWNERS]
# One in four is done, one in two due, one in ten labelled; every moment and day differs.
_TASKS = """
INSERT INTO tasks (id, title, owner_id, status, completed_at, priority, due_date, due_at,
    time_zone, due_sort, labels, label_keys, label_hashes, updated_at)
SELECT nextval('tasks_id_seq'), 'x', {owner}, n % 4, CASE WHEN n % 4 = 2 THEN '2026-01-01'::date
    + n * interval '1 min' END, n % 5, CASE WHEN n % 4 = 1 THEN '2026-01-01'::date + n % 300 END,
    CASE WHEN n % 4 = 3 THEN '2026-01-01'::date + n * interval '1 min' END,
    CASE WHEN n % 4 = 3 THEN 'UTC' END,
    CASE n % 4 WHEN 1 THEN ('2026-01-01'::date + n % 300)::timestamp AT TIME ZONE 'UTC'
        WHEN 3 THEN '2026-01-01'::date + n * interval '1 min'
        ELSE '9999-12-31 23:59:59.999999Z' END,
    CASE WHEN n % 10 = 0 THEN '{{Home}}' ELSE '{{}}' END::text[],
    CASE WHEN n % 10 = 0 THEN '{{home}}' END::text[],
    CASE WHEN n % 10 = 0 THEN array[{label}] END, '2026-01-01'::date + n * interval '1 min'
FROM generate_series(1, {count}) n
"""
_REST = """
INSERT INTO task_words (owner_id, task_id, words) SELECT owner_id, id,
    format('''%1$s:common'':1A ''%1$s:w%2$s'':1 ''%1$s:v%3$s'':1 %4$s', owner_id,
        id % 50, id % 5000,
        CASE WHEN id <= 10000 THEN format('''%s:early'':1', owner_id) END)::tsvector FROM tasks;
INSERT INTO trash SELECT id, title, description, owner_id, edition, created_at, updated_at, status,
    priority, due_date, due_at, time_zone, due_sort, labels, label_keys, label_hashes, completed_at,
    updated_at FROM tasks WHERE id % 10 = 0;
INSERT INTO events (owner_id, position, type, object_id, version, at) SELECT owner_id,
    row_number() OVER (PARTITION BY owner_id ORDER BY id), 0, id, 1, created_at FROM tasks;
INSERT INTO streams (owner_id, live, head) SELECT owner_id, count(*), count(*) FROM tasks
    GROUP BY owner_id;
UPDATE totals SET tasks = (SELECT count(*) FROM tasks) WHERE slot = 0;
"""


def add_people(db: Db, count: int) -> None:
    db.execute("SET statement_timeout = 0")
    db.execute(
        "INSERT INTO users (email, email_key, hashed_password)"
        " SELECT n || '@x.org', n || '@x.org', 'h' FROM generate_series(1, %s::int) n",
        [count],
    )


def add_tasks(db: Db, *parts: tuple[str, int]) -> None:
    """Add tasks, each part so many for an owner, who is an expression of `n`.

    The tasks have words, and every tenth has a copy in the trash.
    """
    for owner, count in parts:
        sql = _TASKS.format(owner=owner, count=count, label=label_hash("home"))
        db.execute(sql.encode())
    db.execute(_REST)


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def plan(
    connection: Db,
    statement: Statement,
    *,
    generic: bool,
    requests: Sequence[Values] = (),
    **values: object,
) -> list[Node]:
    """The nodes of the plan for these arguments, or for a batch of `requests`."""
    mode = "force_generic_plan" if generic else "force_custom_plan"
    connection.execute(f"SET plan_cache_mode = {mode}")
    connection.execute(b"PREPARE it AS " + statement.sql)
    try:
        if isinstance(statement, BatchedStatement) and requests:
            given = statement.arrays(requests)
        else:
            given = statement.arguments(values)
        arguments = ", ".join(psycopg.sql.quote(value, connection) for value in given)
        executed = f"EXECUTE it ({arguments})" if arguments else "EXECUTE it"
        explained = f"EXPLAIN (ANALYZE, TIMING off, BUFFERS off, FORMAT json) {executed}"
        row = connection.execute(explained.encode()).fetchone()
    finally:
        connection.execute("DEALLOCATE it")
    assert row
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(found[0]["Plan"]))
