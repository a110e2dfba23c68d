"""Every statement: the server accepts it, it gets all its arguments, and it uses an index."""

import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

import psycopg
import pytest

from taskcore.adapters import postgres
from taskcore.adapters.postgres import (
    audit,
    events,
    leftovers,
    rate_limits,
    sessions,
    task_filters,
    task_lists,
    tasks,
    trash,
    users,
)
from taskcore.adapters.postgres.conninfo import conninfo
from taskcore.adapters.postgres.statements import BatchedStatement, Statement
from taskcore.adapters.postgres.task_filters import Shape
from taskcore.adapters.postgres.task_rows import WRITTEN
from taskcore.domain.ids import MAX_ID
from taskcore.domain.task_orders import Sort
from tests.conftest import migrated_database
from tests.postgres.plans import OWNER_PARAMS, OWNERS, Db, add_people, add_tasks, nodes, plan

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
# Pages are built when they are first read, one for each set of filters.
PAGES: dict[str, Statement] = {}
for one, two, three, counted in product((False, True), repeat=4):
    names = [n for n, on in (("email", one), ("role", two), ("is_active", three)) if on]
    PAGES[f"users._page {names} {counted}"] = users._page(frozenset(names), counted=counted)
    page = sessions._page(of_user=one, counted=counted)
    PAGES[f"sessions._page {one} {counted}"] = page
    page = audit._page(of_user=one, of_event=two, counted=counted)
    PAGES[f"audit._page {one} {two} {counted}"] = page
# Filters are joined by AND, so that each one alone and all together stand for the others.
CHOSEN = [frozenset[str](), *(frozenset({name}) for name in task_filters._FILTERS)]
# Built by the tests, because that takes seconds, and every process of the run collects them.
LISTS: dict[str, Shape] = {}
for chosen, sort, words, goes_on in product(
    [*CHOSEN, frozenset(task_filters._FILTERS)], Sort, (False, True), (False, True)
):
    if words or sort is not Sort.RELEVANCE:
        is_counted = not (goes_on and (chosen or words))
        shape = Shape(chosen, sort, words, goes_on, counted=is_counted)
        LISTS[f"task_lists._slice {sorted(chosen)} {sort} {words} {goes_on}"] = shape
STATEMENTS |= PAGES | {f"rate_limits._acquire {n}": rate_limits._acquire(n) for n in (1, 3)}
NAMES = [*STATEMENTS, *LISTS]


@cache
def named(name: str) -> Statement:
    return task_lists._slice(LISTS[name]) if name in LISTS else STATEMENTS[name]


def test_the_statements_are_found() -> None:
    found = {name.partition(".")[0] for name in STATEMENTS}
    missing = {"audit", "rate_limits", "sessions", "store", "tasks", "users"} - found
    assert not missing, f"{missing}: has no Statement among its constants, so none is tested"


@pytest.fixture(scope="module")
def bare(database_url: str) -> Iterator[Db]:
    """The schema, without any rows."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("name", NAMES)
def test_the_server_accepts_it_with_the_arguments_we_pass(name: str, bare: Db) -> None:
    statement = named(name)
    prepared = bare.pgconn.prepare(b"", statement.sql)
    assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message
    described = bare.pgconn.describe_prepared(b"")
    values = {name: f"value of {name}" for name in statement._names}
    arguments = statement.arguments(values)
    assert len(arguments) == described.nparams
    expected: list[Any] = [values[name] for name in statement._names]
    if isinstance(statement, BatchedStatement):  # an array for each, of one request
        expected = [[value] for value in expected]
    assert arguments == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_argument_is_a_bug_and_not_a_null(name: str) -> None:
    statement = named(name)
    for missing in set(statement._names) - set(statement._fixed):
        values = dict.fromkeys(statement._names, 1)
        del values[missing]
        with pytest.raises(KeyError):
            statement.arguments(values)


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_depends_on_lower_case_or_collation(name: str) -> None:
    sql = repr(named(name)).lower().replace('collate "c"', "")  # by bytes, everywhere the same
    for word in ("lower(", "upper(", "ilike", " like ", "collate", "citext"):
        assert word not in sql, f"{name}: compare keys that the domain has normalized, without it"


def test_a_page_orders_its_rows_whatever_the_plan() -> None:
    for of_tasks in (
        task_lists._PAGE_OF_OWNER,
        task_lists._PAGE_OF_ALL,
        sessions._FIND_ACTOR_AND_PAGE,
    ):
        assert repr(of_tasks).endswith("ORDER BY batch.number, page.id DESC")
    last = {"users": "id", "sessions": "last_used_at DESC, page.id", "audit": "at DESC, page.id"}
    for name, statement in PAGES.items():
        order = last[name.partition(".")[0]]
        assert repr(statement).endswith(f"ORDER BY page.{order} DESC"), name


@pytest.fixture(scope="module")
def full(database_url: str) -> Iterator[Db]:
    """Twenty thousand tasks of a hundred owners, in mixed order."""
    with (
        migrated_database(database_url, is_searched=False) as url,
        psycopg.connect(conninfo(url), autocommit=True) as connection,
    ):
        add_people(connection, 100)
        add_tasks(connection, ("1 + (n * 7919) % 100", 20_000))
        connection.execute(
            "INSERT INTO sessions (id, user_id)"
            " SELECT gen_random_uuid(), 1 + n % 100 FROM generate_series(1, 5000) n"
        )
        connection.execute(
            "INSERT INTO refresh_tokens (digest, session_id, nonce)"
            " SELECT sha256(id::text::bytea), id, '' FROM sessions"
        )
        connection.execute("VACUUM ANALYZE")
        yield connection


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("skip", [0, 20])
def test_the_list_of_an_owner_is_read_from_the_index_in_its_order(
    full: Db, skip: int, *, generic: bool
) -> None:
    values: dict[str, Any] = {"owner_id": 7, "before": MAX_ID, "skip": skip, "limit": 20}
    found = plan(full, task_lists._PAGE_OF_OWNER, generic=generic, **values)
    indexes = {node.get("Index Name") for node in found if "Scan" in node["Node Type"]}
    assert indexes - {None} <= {"tasks_created_idx", "streams_pkey"}
    (page,) = [node for node in found if node["Node Type"] == "Limit"]
    assert page["Actual Rows"] == 20
    # It stops when the page is full, and sorts at most the page itself.
    assert "Sort" not in {node["Node Type"] for node in nodes(page)}
    for node in found:
        if node["Node Type"] == "Sort":
            assert node["Actual Rows"] <= 20
    # The hundred rows of `streams` may be scanned.
    assert {n["Relation Name"] for n in found if n["Node Type"] == "Seq Scan"} <= {"streams"}


@pytest.mark.parametrize("generic", [False, True])
def test_the_list_of_all_tasks_is_read_from_the_index_in_its_order(
    full: Db, *, generic: bool
) -> None:
    found = plan(full, task_lists._PAGE_OF_ALL, generic=generic, before=MAX_ID, skip=0, limit=20)
    (page,) = [node for node in found if node["Node Type"] == "Limit"]
    # The users are those of removed accounts, which are read once.
    kinds = {node["Node Type"] for node in nodes(page) if node.get("Relation Name") != "users"}
    assert kinds <= {"Limit", "Index Scan", "Subquery Scan"}


@pytest.mark.parametrize("generic", [False, True])
def test_a_batch_of_leftovers_reads_no_tasks_but_its_own(full: Db, *, generic: bool) -> None:
    with full.transaction(force_rollback=True):
        full.execute("UPDATE users SET removed_at = now() WHERE id = 7")
        values: dict[str, Any] = {"owner_id": 7, "upto": 10_000, "limit": 50}
        found = plan(full, leftovers._REMOVE, generic=generic, **values)
    read = [
        node
        for node in found
        if node.get("Relation Name") in {"tasks", "task_words"} and "Scan" in node["Node Type"]
    ]
    assert len(read) == 3  # to find the tasks, to delete them, and their words
    for node in read:
        assert "Index Name" in node
        assert (node["Actual Rows"] * node["Actual Loops"], node["Actual Loops"]) == (50, 1)
        assert not node.get("Rows Removed by Filter")


@pytest.mark.parametrize("generic", [False, True])
def test_expired_sessions_are_found_by_their_index_and_nothing_else_is_read(
    full: Db, *, generic: bool
) -> None:
    with full.transaction(force_rollback=True):
        full.execute(
            "UPDATE sessions SET expires_at = '2020-01-01' WHERE id IN"
            " (SELECT id FROM sessions LIMIT 70)"
        )
        values: dict[str, Any] = {"now": datetime(2021, 1, 1, tzinfo=UTC), "limit": 50}
        found = plan(full, sessions._REMOVE_EXPIRED, generic=generic, **values)
    read = [node for node in found if node.get("Relation Name") == "sessions"]
    assert "Seq Scan" not in {node["Node Type"] for node in read}
    (scan,) = [node for node in read if node.get("Index Name") == "sessions_expires_at_idx"]
    assert (scan["Actual Rows"], scan["Actual Loops"]) == (50, 1)


@pytest.mark.parametrize("generic", [False, True])
def test_a_refresh_reads_none_of_the_tokens_that_the_session_has_used(
    full: Db, *, generic: bool
) -> None:
    row = full.execute("SELECT id, sha256(id::text::bytea) FROM sessions LIMIT 1").fetchone()
    assert row
    with full.transaction(force_rollback=True):
        full.execute(
            "INSERT INTO refresh_tokens (digest, session_id, nonce, used_at, superseded)"
            " SELECT sha256(n::text::bytea), %s, '', now(), true FROM generate_series(1, 20000) n",
            [row[0]],
        )
        full.execute("ANALYZE refresh_tokens")
        values = ROTATION | {"session_id": row[0], "used": row[1]}
        found = plan(full, sessions._ROTATE, generic=generic, **values)
    read = [
        node
        for node in found
        if node.get("Relation Name") == "refresh_tokens" and "Scan" in node["Node Type"]
    ]
    assert len(read) == 2  # the presented token, and those that it supersedes
    for node in read:
        assert (node["Actual Rows"], node.get("Rows Removed by Filter", 0)) == (1, 0)


LIMIT = 31  # a user of `listed` has 30 sessions, all of which are sorted


@pytest.fixture(scope="module", params=OWNER_PARAMS)
def owned(request: pytest.FixtureRequest, database_url: str) -> Iterator[Db]:
    owners, parts = OWNERS[request.param]
    with (
        migrated_database(database_url, is_searched=False) as url,
        psycopg.connect(conninfo(url), autocommit=True) as connection,
    ):
        add_people(connection, owners)
        add_tasks(connection, *parts)
        connection.execute("VACUUM ANALYZE")
        yield connection


def rows_read(found: list[dict[str, Any]]) -> int:
    """The most rows that a scan of the page reads, those that it drops included."""
    pages = [below for node in found if node["Node Type"] == "Limit" for below in nodes(node)]
    scans = [node for node in pages if "Index Cond" in node or "Relation Name" in node]
    assert scans
    return max(
        int(node["Actual Rows"])
        + int(node.get("Rows Removed by Filter", 0))
        + int(node.get("Rows Removed by Index Recheck", 0))
        for node in scans
    )


@pytest.mark.parametrize("generic", [False, True])
def test_no_owner_is_delayed_by_the_tasks_of_others(owned: Db, *, generic: bool) -> None:
    """Few owners or many, with many tasks or none, on the first page, far down, and in a batch."""
    for owner, skip, requests in ((1, 0, 1), (2, 0, 1), (2, 0, 16), (7, 0, 1), (7, 10_000, 1)):
        for before in (MAX_ID, 15_000):
            values = {"owner_id": owner, "before": before, "skip": skip, "limit": LIMIT}
            for statement in (task_lists._PAGE_OF_OWNER, task_lists._PAGE_OF_ALL):
                batch = [values] * requests
                found = plan(owned, statement, generic=generic, requests=batch)
                assert rows_read(found) <= skip + LIMIT, values


@pytest.mark.parametrize("generic", [False, True])
def test_a_page_read_with_the_session_is_read_as_any_page(owned: Db, *, generic: bool) -> None:
    with owned.transaction(force_rollback=True):
        inserted = "INSERT INTO sessions (id, user_id) VALUES (gen_random_uuid(), %s) RETURNING id"
        people = {row[0] for row in owned.execute("SELECT id FROM users WHERE id IN (1, 2, 7)")}
        assert people >= {1, 2}
        for owner, requests in product(people, (1, 16)):
            row = owned.execute(inserted, [owner]).fetchone()
            assert row
            values = {"id": row[0], "now": datetime(2026, 1, 1, tzinfo=UTC), "limit": LIMIT}
            batch = [values] * requests
            found = plan(owned, sessions._FIND_ACTOR_AND_PAGE, generic=generic, requests=batch)
            assert rows_read(found) <= LIMIT, values


@pytest.mark.parametrize("generic", [False, True])
def test_a_page_of_the_log_reads_what_it_shows(owned: Db, *, generic: bool) -> None:
    """However many events the account has before, behind and beside them."""
    owned.execute("VACUUM ANALYZE")  # the planner knows the events, and which pages all may see
    for owner, after in ((1, 0), (2, 0), (7, 0), (7, 300)):
        values: dict[str, Any] = {"owner_id": owner, "limit": LIMIT, "after": after}
        values |= {"task_id": owner, "before": MAX_ID, "skip": 0}
        for statement in (events._CHANGES, events._HISTORY):
            found = plan(owned, statement, generic=generic, **values)
            assert "Incremental Sort" not in {node["Node Type"] for node in found}
            assert rows_read(found) <= LIMIT, (owner, statement)


@pytest.fixture(scope="module")
def listed(database_url: str) -> Iterator[Db]:
    """Thirty thousand users, events and sessions, of which the rare ones are the oldest."""
    with (
        migrated_database(database_url, is_searched=False) as url,
        psycopg.connect(conninfo(url), autocommit=True) as connection,
    ):
        connection.execute("SET statement_timeout = 0")
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password, role, is_active)"
            " SELECT n || '@x.org', n || '@x.org', 'h',"
            " CASE WHEN n <= 30 THEN 'admin' ELSE 'user' END, n > 30"
            " FROM generate_series(1, 30000) n"
        )
        connection.execute(
            "INSERT INTO audit_events (event, at, actor, actor_id, user_id, detail)"
            " SELECT CASE WHEN n <= 30 THEN 'logout' ELSE 'login.failed' END,"
            " now() - 30000 * interval '1 s' + n * interval '1 s', 'user',"
            " CASE WHEN n <= 30 THEN 2 ELSE 1 END, CASE WHEN n % 2 = 0 THEN 1 END, '{}'"
            " FROM generate_series(1, 30000) n"
        )
        connection.execute(
            "INSERT INTO sessions (id, user_id, expires_at)"
            " SELECT gen_random_uuid(), 1 + n % 1000, now() + interval '1 d'"
            " FROM generate_series(1, 30000) n"
        )
        connection.execute("VACUUM ANALYZE")
        yield connection


NOW = datetime.now(UTC)
FILTERS: dict[str, list[dict[str, Any]]] = {
    "users": [
        *({}, {"role": "admin"}, {"role": "user"}, {"is_active": False}, {"is_active": True}),
        *({"role": "admin", "is_active": True}, {"role": "user", "is_active": False}),
        *({"email": "7@x.org"}, {"email": "7@x.org", "role": "user", "is_active": True}),
    ],
    "audit": [
        *({}, {"user_id": 1}, {"user_id": 2}, {"user_id": 3}, {"event": "logout"}),
        *({"event": "login.failed"}, {"event": "user.deleted"}, {"since": NOW}),
        *({"since": NOW, "user_id": 1}, {"since": NOW, "event": "login.failed"}),
    ],
    "sessions": [{"user_id": 7}],
}
CASES = [(kind, filters) for kind, each in FILTERS.items() for filters in each]


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize(("kind", "filters"), CASES)
def test_a_filtered_page_reads_what_it_shows(
    listed: Db, kind: str, filters: dict[str, Any], *, generic: bool
) -> None:
    """Rare rows far down are found without all that lie above them; so is the lack of any."""
    names = frozenset(filters)
    for skip, counted in ((0, False), (0, True), (10_000, False)):
        if kind == "users":
            statement = users._page(names, counted=counted)
            values = filters | {"before": MAX_ID}
        elif kind == "audit":
            of = {"of_user": "user_id" in names, "of_event": "event" in names}
            statement = audit._page(**of, counted=counted)
            at, number = audit._BEYOND_ALL
            values = {"since": audit._ALWAYS, "at_before": at, "id_before": number} | filters
        else:
            statement = sessions._page(of_user=True, counted=counted)
            used, number_ = sessions._BEYOND_ALL
            values = filters | {"now": NOW, "used_before": used, "id_before": number_}
        found = plan(listed, statement, generic=generic, skip=skip, limit=LIMIT, **values)
        assert rows_read(found) <= skip + LIMIT, (filters, skip)


ONE = {"owner_id": 7, "task_id": 7}
PURGED = ONE | {"actor_id": 7, "at": NOW}
MOVED = ONE | {"actor_id": 7} | {"previous": 1, "edition": 2, "updated_at": NOW, "words": "'7:x'"}
SAVED = dict.fromkeys(WRITTEN) | MOVED | {"title": "x", "description": "", "labels": ""}
SAVED["changes"] = "{}"
ROTATION = {
    "last_used_at": "2026-01-01",
    "expires_at": "2026-02-01",
    "ip": None,
    "user_agent": None,
    "digest": bytes(32),
    "nonce": b"nonce",
}


def test_the_actor_and_the_owner_of_a_token_are_looked_up_by_key(
    full: Db,
) -> None:
    row = full.execute("SELECT id, sha256(id::text::bytea) FROM sessions LIMIT 1").fetchone()
    assert row
    for statement, values in (
        (sessions._FIND_ACTOR, {"id": row[0], "now": datetime(2026, 1, 1, tzinfo=UTC)}),
        (
            sessions._FIND_ACTOR_AND_PAGE,
            {"id": row[0], "now": datetime(2026, 1, 1, tzinfo=UTC), "limit": 20},
        ),
        (sessions._FIND_BY_TOKEN, {"digest": row[1]}),
        (sessions._ROTATE, ROTATION | {"session_id": row[0], "used": row[1]}),
        (sessions._END, {"id": row[0]}),
        (users._FIND_BY_EMAIL, {"key": "7@x.org"}),
        (users._LOCK_ADMINS, {}),
        *((tasks._GET, ONE), (tasks._OWNER_OF, ONE), (tasks._LOCK, ONE)),
        *((tasks._SAVE, SAVED), (tasks._SAVE_WORDS, SAVED), (tasks._TRASH, SAVED)),
        *((trash._GET, ONE), (trash._OWNER_OF, ONE), (trash._PURGE, PURGED)),
        (trash._RESTORE, MOVED),
    ):
        with full.transaction(force_rollback=True):
            found = plan(full, statement, generic=True, **values)
        scanned = {node.get("Relation Name") for node in found if node["Node Type"] == "Seq Scan"}
        # The rows of a hundred users and of the slots may be scanned; larger tables need an index.
        message = f"{statement}: scans a table; add an index to it in schema.py"
        assert scanned <= {"users", "streams", "totals"}, message
