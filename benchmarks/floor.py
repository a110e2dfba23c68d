"""The floor: a bare ASGI function, psycopg's pool, msgspec. No auth, no rules, no log.

It trusts its client. A framework, a login or a check only adds to its costs, so a Python service
with this driver can get near its numbers, but past them only with fewer round trips.
"""

import os
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from taskcore.domain import tasks

PORT = 8101
# Numbers for words, as stored. It keeps no words for search, no numbers of an account, no trash.
_FIELDS = [field.name for field in fields(tasks.Task) if field.name != "deleted_at"]
_COLUMNS = ", ".join("edition" if name == "version" else name for name in _FIELDS)
_GET = f"SELECT {_COLUMNS} FROM tasks WHERE id = $1".encode()
# Counts the total of about a hundred tasks; ours is in the account's row, which it does without.
_LIST = (
    f"SELECT counted.total, page.* FROM (SELECT count(*) AS total"
    " FROM tasks WHERE owner_id = $1) AS counted LEFT JOIN LATERAL"
    f" (SELECT {_COLUMNS} FROM tasks WHERE owner_id = $1"
    " ORDER BY id DESC LIMIT $2 OFFSET $3) AS page ON true ORDER BY page.id DESC"
).encode()
_CREATE = (
    "INSERT INTO tasks (title, description, owner_id, created_at, updated_at)"
    f" VALUES ($1, $2, $3, $4, $4) RETURNING {_COLUMNS}"
).encode()
# One statement each; ours first reads the task to check its owner.
_EDIT = (
    "UPDATE tasks SET title = $1, edition = edition + 1, updated_at = $2 WHERE id = $3 "
    f"RETURNING {_COLUMNS}"
).encode()
_DELETE = b"DELETE FROM tasks WHERE id = $1"
_HEADERS = [(b"content-type", b"application/json")]


Task = msgspec.defstruct("Task", _FIELDS)


class Page(Struct):
    items: list[Struct]
    total: int
    skip: int
    limit: int
    next_cursor: str | None = None


class Draft(Struct):
    title: str
    description: str = ""


_encode = msgspec.json.Encoder().encode
_draft = msgspec.json.Decoder(Draft).decode
_pool: AsyncConnectionPool[Any]


async def _rows(statement: bytes, *values: object) -> list[tuple[Any, ...]]:
    async with _pool.connection() as connection:
        cursor = await AsyncRawCursor(connection).execute(statement, values, binary=True)
        return await cursor.fetchall() if cursor.description else []


async def _list(query: dict[str, str]) -> bytes:
    limit, skip = int(query["limit"]), int(query.get("skip", "0"))
    rows = await _rows(_LIST, int(query["owner_id"]), limit, skip)
    items = [Task(*row[1:]) for row in rows]
    return _encode(Page(items, rows[0][0], skip, limit))


async def _create(query: dict[str, str], body: bytes) -> bytes:
    draft, owner = _draft(body), int(query["owner_id"])
    (row,) = await _rows(_CREATE, draft.title, draft.description, owner, datetime.now(UTC))
    return _encode(Task(*row))


async def _respond(scope: Any, receive: Any) -> bytes:
    method, task_id = scope["method"], scope["path"].removeprefix("/tasks").strip("/")
    body = (await receive())["body"] if method in {"POST", "PUT"} else b""
    if not task_id:
        query = dict(parse_qsl(scope["query_string"].decode()))
        return await (_list(query) if method == "GET" else _create(query, body))
    if method == "GET":
        (row,) = await _rows(_GET, int(task_id))
    elif method == "PUT":
        (row,) = await _rows(_EDIT, _draft(body).title, datetime.now(UTC), int(task_id))
    else:
        await _rows(_DELETE, int(task_id))
        return b""
    return _encode(Task(*row))


async def application(scope: Any, receive: Any, send: Any) -> None:
    global _pool  # noqa: PLW0603 - one file, one process, one pool
    if scope["type"] == "lifespan":
        await receive()
        _pool = AsyncConnectionPool(
            os.environ["BENCH_DATABASE"],
            kwargs={"autocommit": True, "options": "-c search_path=floor"},
            min_size=10,
            open=False,
        )
        await _pool.open(wait=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await _pool.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = await _respond(scope, receive)
    status = 204 if scope["method"] == "DELETE" else 200
    await send({"type": "http.response.start", "status": status, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": body, "more_body": False})


if __name__ == "__main__":
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    Granian(
        "benchmarks.floor:application",
        port=PORT,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        log_access=False,
    ).serve()
