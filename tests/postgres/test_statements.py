"""Every statement: the server accepts it, it gets all its arguments, and it uses an index."""

import json
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import psycopg
import pytest

from taskcore.adapters import postgres
from taskcore.adapters.postgres import sessions, tasks, upgrade, users
from taskcore.adapters.postgres.statements import BatchedStatement, Statement
from taskcore.domain.rules import MAX_ID
from tests.conftest import new_database

MODULES = {
    found.name: import_module(f"{postgres.__name__}.{found.name}")
    for found in pkgutil.iter_modules(postgres.__path__)
}
# Every statement that is a constant of its module: a new one is found by itself.
STATEMENTS = {
    f"{module}.{name.lower()}": value
    for module, content in MODULES.items()
    for name, value in vars(content).items()
    if isinstance(value, Statement)
}


def test_the_statements_are_found() -> None:
    found = {name.partition(".")[0] for name in STATEMENTS}
    missing = {"audit", "limits", "sessions", "store", "tasks", "users"} - found
    assert not missing, f"{missing}: has no Statement among its constants, so none is tested"


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_server_accepts_it_with_the_arguments_we_pass(name: str, database_url: str) -> None:
    statement = STATEMENTS[name]
    with psycopg.connect(database_url) as connection:
        prepared = connection.pgconn.prepare(b"it", statement.sql)
        assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message
        described = connection.pgconn.describe_prepared(b"it")
    values = {name: f"value of {name}" for name in statement._names}
    arguments = statement.arguments(values)
    assert len(arguments) == described.nparams
    expected: list[Any] = [values[name] for name in statement._names]
    if isinstance(statement, BatchedStatement):  # an array for each, of one request
        expected = [[value] for value in expected]
    assert arguments == expected


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_missing_argument_is_a_bug_and_not_a_null(name: str) -> None:
    statement = STATEMENTS[name]
    for missing in set(statement._names) - set(statement._fixed):
        values = dict.fromkeys(statement._names, 1)
        del values[missing]
        with pytest.raises(KeyError):
            statement.arguments(values)


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_depends_on_lower_case_or_collation(name: str) -> None:
    sql = repr(STATEMENTS[name]).lower()
    for word in ("lower(", "upper(", "ilike", " like ", "collate", "citext"):
        assert word not in sql, f"{name}: compare keys that the domain has normalized, without it"


def test_a_page_orders_its_rows_whatever_the_plan() -> None:
    for statement in (tasks._PAGE_OF_OWNER, tasks._PAGE_OF_ALL):
        assert repr(statement).endswith("ORDER BY batch.number, page.id DESC")
    assert repr(users._PAGE).endswith("ORDER BY page.id DESC")


@pytest.fixture(scope="module")
def full(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Twenty thousand tasks of a hundred owners, in mixed order."""
    with new_database(database_url) as url:
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO users (email, email_key, hashed_password)"
                " SELECT n || '@x.org', n || '@x.org', 'h' FROM generate_series(1, 100) n"
            )
            connection.execute(
                "INSERT INTO tasks (title, owner_id)"
                " SELECT 'x', 1 + (n * 7919) % 100 FROM generate_series(1, 20000) n"
            )
            connection.execute(
                "INSERT INTO sessions (id, user_id)"
                " SELECT gen_random_uuid(), 1 + n % 100 FROM generate_series(1, 5000) n"
            )
            connection.execute(
                "INSERT INTO refresh_tokens (digest, session_id, nonce)"
                " SELECT sha256(id::text::bytea), id, '' FROM sessions"
            )
            connection.execute(
                "INSERT INTO task_counts (owner_id, slot, count)"
                " SELECT n, 0, 1 FROM generate_series(1000, 9000) n"
            )
            connection.execute("VACUUM ANALYZE")
            yield connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def plan(
    connection: psycopg.Connection[Any], statement: Statement, *, generic: bool, **values: object
) -> list[dict[str, Any]]:
    mode = "force_generic_plan" if generic else "force_custom_plan"
    connection.execute(f"SET plan_cache_mode = {mode}")
    connection.execute(b"PREPARE it AS " + statement.sql)
    try:
        arguments = ", ".join(
            psycopg.sql.quote(value, connection) for value in statement.arguments(values)
        )
        executed = f"EXECUTE it ({arguments})" if arguments else "EXECUTE it"
        explained = f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {executed}"
        row = connection.execute(explained.encode()).fetchone()
    finally:
        connection.execute("DEALLOCATE it")
    assert row
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(found[0]["Plan"]))


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("skip", [0, 20])
def test_the_list_of_an_owner_is_read_from_the_index_in_its_order(
    full: psycopg.Connection[Any], skip: int, *, generic: bool
) -> None:
    found = plan(
        full,
        tasks._PAGE_OF_OWNER,
        generic=generic,
        owner_id=7,
        upto=MAX_ID,
        skip=skip,
        limit=20,
    )
    indexes = {node.get("Index Name") for node in found if "Scan" in node["Node Type"]}
    assert indexes - {None} == {"tasks_owner_id_id_idx", "task_counts_pkey"}
    (page,) = [node for node in found if node["Node Type"] == "Limit"]
    assert page["Actual Rows"] == 20
    # It stops when the page is full, and sorts at most the page itself.
    assert "Sort" not in {node["Node Type"] for node in nodes(page)}
    for node in found:
        if node["Node Type"] == "Sort":
            assert node["Actual Rows"] <= 20
    assert "Seq Scan" not in {node["Node Type"] for node in found}


@pytest.mark.parametrize("generic", [False, True])
def test_the_list_of_all_tasks_is_read_from_the_index_in_its_order(
    full: psycopg.Connection[Any], *, generic: bool
) -> None:
    found = plan(full, tasks._PAGE_OF_ALL, generic=generic, upto=MAX_ID, skip=0, limit=20)
    (page,) = [node for node in found if node["Node Type"] == "Limit"]
    assert {node["Node Type"] for node in nodes(page)} <= {"Limit", "Index Scan", "Subquery Scan"}


ROTATION = {
    "last_used_at": "2026-01-01",
    "expires_at": "2026-02-01",
    "ip": None,
    "user_agent": None,
    "digest": bytes(32),
    "nonce": b"nonce",
}


def test_the_actor_and_the_owner_of_a_token_are_looked_up_by_key(
    full: psycopg.Connection[Any],
) -> None:
    row = full.execute("SELECT id, sha256(id::text::bytea) FROM sessions LIMIT 1").fetchone()
    assert row
    for statement, values in (
        (sessions._FIND_ACTOR, {"id": row[0], "now": datetime(2026, 1, 1, tzinfo=UTC)}),
        (sessions._FIND_BY_TOKEN, {"digest": row[1]}),
        (sessions._ROTATE, ROTATION | {"session_id": row[0], "used": row[1]}),
        (sessions._END, {"id": row[0]}),
        (users._FIND_BY_EMAIL, {"key": "7@x.org"}),
        (users._LOCK_ADMINS, {}),
        (tasks._GET, {"id": 7}),
        (tasks._REMOVE, {"task_id": 7, "previous": 1}),
    ):
        found = plan(full, statement, generic=True, **values)
        scanned = {node.get("Relation Name") for node in found if node["Node Type"] == "Seq Scan"}
        # The hundred users may be scanned; larger tables need an index.
        assert scanned <= {"users"}, f"{statement}: scans a table; add an index to it in schema.py"
