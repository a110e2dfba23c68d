"""The floor: a bare ASGI function, psycopg's pool, msgspec. No auth, no rules, no log.

It trusts every word of its client. Whatever a framework, a login or a check adds comes on top, so
a Python service with this driver gets near its numbers and never past them, unless it asks the
database less often.
"""

import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

PORT = 8101
_COLUMNS = "id, title, description, owner_id, version, created_at, updated_at"
_GET = f"SELECT {_COLUMNS} FROM tasks WHERE id = $1".encode()
# The total is counted, as there are a hundred; ours is kept by triggers, which this table lacks.
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
# One statement each, where ours also reads whose the task is before it decides.
_EDIT = (
    "UPDATE tasks SET title = $1, version = version + 1, updated_at = $2 WHERE id = $3 "
    f"RETURNING {_COLUMNS}"
).encode()
_DELETE = b"DELETE FROM tasks WHERE id = $1"
_HEADERS = [(b"content-type", b"application/json")]


class Task(Struct):
    id: int
    title: str
    description: str
    owner_id: int
    version: int
    created_at: datetime
    updated_at: datetime


class Page(Struct):
    items: list[Task]
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


async def _answer(scope: Any, receive: Any) -> bytes:
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
    body = await _answer(scope, receive)
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
