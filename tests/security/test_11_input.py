"""Malformed and hostile input, and the database behind it: rows IN of docs/security.md."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from taskcore.adapters.postgres import Connections
from taskcore.domain.pages import MAX_LIMIT_OF_CHANGES, MAX_LIMIT_OF_LABELS
from tests.api.served import Reply, exchange
from tests.security.site import PASSWORD, V1, Account, Site

LARGEST = 65536
LARGEST_BULK = 2**20
HUGE = ["9223372036854775808", "18446744073709551616", "1" + "0" * 30, "9" * 5000]
NO_NUMBERS = ["1e3", "1.5", "NaN", "Infinity", "0x10", "1_0", "%2B1", "%201", "x", "%00"]


class Operation(NamedTuple):
    """An operation of the document, on things that exist."""

    method: str
    path: str
    queries: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    """Fields whose schema takes a text and no number."""
    numbers: tuple[str, ...] = ()
    example: dict[str, Any] | None = None
    """A body of the document, where the operation takes one."""


class World(NamedTuple):
    """An administrator, a user and their task; all operations, and those with a body."""

    root: Account
    eve: Account
    task: int
    operations: list[Operation]
    writes: list[Operation]


LONG_PAGES = {"/labels": MAX_LIMIT_OF_LABELS, "/changes": MAX_LIMIT_OF_CHANGES}


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    root, eve = site.join(role="admin"), site.join()
    task = site.ask("POST", "/tasks", {"title": "x"}, token=eve.access).json["id"]
    ids = {"{task_id}": task, "{user_id}": eve.id, "{session_id}": uuid4()}
    document = site.ask("GET", "/openapi.json").json

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        return document["components"]["schemas"][name] if name else schema

    def types(schema: dict[str, Any]) -> set[str]:
        """The names of JSON types that it takes."""
        options = [resolved(option) for option in resolved(schema).get("anyOf", [schema])]
        named = [option.get("type", "string") for option in options]
        return {t for name in named for t in (name if isinstance(name, list) else [name])}

    def body(operation: dict[str, Any]) -> dict[str, Any]:
        (media,) = operation.get("requestBody", {}).get("content", {"": {"schema": {}}}).values()
        schema = resolved(media["schema"])
        fields = {name: types(field) for name, field in schema.get("properties", {}).items()}
        numbers = {name for name, of in fields.items() if of & {"integer", "number"}}
        texts = {name for name, of in fields.items() if "string" in of} - numbers
        (example,) = schema.get("examples", [None])[:1]
        return {"texts": tuple(texts), "numbers": tuple(numbers), "example": example}

    operations = [
        Operation(
            method.upper(),
            re.sub(r"\{\w+\}", lambda found: str(ids[found[0]]), path).removeprefix(V1),
            tuple(p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"),
            **body(operation),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not path.endswith("/stream")  # which would not end
    ]
    writes = [operation for operation in operations if operation.example is not None]
    assert {(op.method, op.path) for op in writes} >= {
        *(("POST", "/tasks"), ("PUT", f"/tasks/{task}"), ("PATCH", f"/users/{eve.id}")),
        *(("POST", "/auth/register"), ("POST", "/auth/login"), ("POST", "/auth/refresh")),
    }
    return World(root, eve, task, operations, writes)


def body_for(operation: Operation) -> dict[str, Any]:
    """One that might be taken."""
    body = dict(operation.example or {})
    return {
        name: PASSWORD
        if "password" in name
        else f"{uuid4().hex}@x.org"
        if name == "email"
        else value
        for name, value in body.items()
    }


def send(
    site: Site, world: World, operation: Operation, body: bytes, *lines: str, chunks: int = 0
) -> Reply:
    """As an administrator, byte by byte; in chunks of so many bytes if that is asked for."""
    framing = "Transfer-Encoding: chunked" if chunks else f"Content-Length: {len(body)}"
    lines = (*(lines or ("Content-Type: application/json",)), framing, "Connection: close")
    token = f"Authorization: Bearer {world.root.access}"
    first = f"{operation.method} {V1}{operation.path} HTTP/1.1"
    head = "\r\n".join((first, "Host: api.test", token, *lines, "", ""))
    if chunks:
        pieces = [body[start : start + chunks] for start in range(0, len(body), chunks)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    (answer,) = exchange(site.apis[0].port, head.encode("latin-1") + body)
    return answer


COMPARING = {"/auth/login", "/auth/refresh", "/auth/delete-account"}


def test_a_nul_is_refused_wherever_it_stands(site: Site, world: World) -> None:
    """IN-1: in each field of each body, in each query and each path, in a header."""
    token = world.root.access
    for operation in world.operations:
        for field in operation.texts:
            body = body_for(operation)
            for value in (f"{body.get(field)}\x00", "\x00"):
                answer = site.ask(
                    operation.method, operation.path, body | {field: value}, token=token
                )
                # What is only compared is simply wrong.
                compared = operation.path in COMPARING or field == "current_password"
                assert answer.status == (401 if compared else 422), (operation, field)
        for name in (*operation.queries, "unknown"):
            for query in (f"{name}=%00", f"{name}=1&{name}=a%00b", f"{name}%00=1"):
                there = f"{operation.path}?{query}"
                assert site.ask(operation.method, there, token=token).status == 422, there
        for spelling in ("%00", "1%00", f"{world.task}%00"):
            there = re.sub("[0-9][0-9a-f-]*", spelling, operation.path)
            if there != operation.path:
                assert (
                    site.ask(operation.method, there, body_for(operation), token=token).status
                    == 404
                ), there
    for header in ("User-Agent: a\x00b", "X-Request-Id: \x00", "If-None-Match: \x00"):
        assert send(site, world, Operation("GET", "/tasks"), b"", header).status == 400


def test_a_number_in_a_query_has_a_range(site: Site, world: World) -> None:
    """IN-2: whatever column it would be compared with, and whatever Python would read as one."""
    largest = {"skip": 10_000, "limit": 100, "owner_id": 2**63 - 1, "user": 2**63 - 1}
    numbers = [(op.path, name) for op in world.operations for name in largest if name in op.queries]
    assert {name for _, name in numbers} == set(largest)
    for path, name in numbers:
        most = LONG_PAGES.get(path, largest[name]) if name == "limit" else largest[name]
        low, high = int(name != "skip"), most
        for number in (low, high, low - 1, -(2**63), high + 1, *HUGE, *NO_NUMBERS, ""):
            there = f"{path}?{name}={number}"
            status = site.ask("GET", there, token=world.root.access).status
            assert status == (200 if number in (low, high) else 422), there


def test_a_number_in_a_body_is_no_text(site: Site, world: World) -> None:
    """IN-2: 400 or 422 for any number as a text, and for one out of every range anywhere."""
    beyond = ("1e400", "NaN", "-Infinity", *HUGE)
    assert any(operation.texts for operation in world.writes)
    for operation in world.writes:
        for field in (*operation.texts, *operation.numbers):
            small = ("1", "-1", "1e3", "1.5") if field in operation.texts else ()
            for number in (*small, *beyond):
                text = json.dumps(body_for(operation) | {field: "?"}).replace('"?"', number)
                answer = send(site, world, operation, text.encode())
                assert answer.status in {400, 422}, (operation, field, number)


def test_an_id_has_one_spelling_and_a_range(site: Site, world: World) -> None:
    """IN-2, IN-8: what Python would read as the number too names nothing, however it is asked."""
    for thing, known in (("tasks", world.task), ("users", world.eve.id)):
        n, digits = str(known), [int(digit) for digit in str(known)]
        foreign = [quote("".join(chr(zero + d) for d in digits)) for zero in (0xFF10, 0x660)]
        spellings = [
            *(f"+{n}", f"%20{n}", f"{n}%20", f"0{n}", f"{n}_0", f"{n}.0", f"{n}%0A", f"{n};x"),
            *(f"0x{n}", f"{n},{n}", f"{n}e0", f"-{n}", f".{n}", f"%2B{n}", f"{n}%09", f"%2F{n}"),
        ]
        beyond = ["0", "-1", str(2**31), str(2**32 + known), str(2**63 - 1)]
        found = [op for op in world.operations if f"{thing}/{n}" in op.path]
        paths = [(op.method, op.path, body_for(op)) for op in found]
        assert {method for method, _, _ in paths} >= {"GET", "PATCH", "DELETE"}
        for spelling in (*spellings, *foreign, *beyond, *HUGE, *NO_NUMBERS):
            for method, path, body in paths:
                there = path.replace(f"{thing}/{n}", f"{thing}/{spelling}")
                answer = site.ask(method, there, body, token=world.root.access)
                assert answer.status == 404, (method, there)
        assert site.ask("GET", f"/{thing}/{n}", token=world.root.access).status == 200


def test_a_body_has_a_largest_size_however_it_comes(site: Site, world: World) -> None:
    """IN-3: 64 KiB, and 1 MiB of a bulk, on every operation, counted where no length is told."""
    for operation in world.writes:
        largest = LARGEST_BULK if operation.path == "/tasks/bulk" else LARGEST
        for size, status in ((largest, 422), (largest + 1, 413), (4 * largest, 413)):
            body = b'{"unknown":"' + b"x" * (size - 14) + b'"}'
            assert len(body) == size
            for chunks in (0, 8192, size):
                answer = send(site, world, operation, body, chunks=chunks)
                assert answer.status == status, (operation, size, chunks)


BODIES = {
    400: [
        *(b"[" * 60_000, b"[" * 30_000 + b"]" * 30_000, b'{"a":' * 12_000),
        *(b'{"title":"\xff"}', b'{"\xc3\x28":1}', b'{"title":"\xed\xa0\x80"}', b'{"a":"\\ud800"}'),
        *('{"title":"x"}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"unknown":' + b"[" * 60_000),
        *(b"{} x", b"{}{}", b"{},", b"{", b'{"title":"x', b"{'title':'x'}", b"{} // no", b" "),
        *(b'{"title":NaN}', b'{"title":-Infinity}', b"title=x", b"\x00", b"{\x00}"),
    ],
    422: [b"", b"null", b"[]", b"[{}]", b'"title"', b"1", b"true", b'{"unknown":1}'],
}


@pytest.mark.parametrize("status", BODIES)
def test_a_body_that_is_no_object_is_refused(site: Site, world: World, status: int) -> None:
    """IN-4: nested, broken, cut off, followed by something, or something else; never an error."""
    for operation in world.writes:
        for body in BODIES[status]:
            answer = send(site, world, operation, body)
            assert answer.status == status, (operation, body[:80])
            assert answer.headers["content-type"] == "application/problem+json"


NAME = "Content-Type: "
NO_JSON = (
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""),
    *("*/*", "text/json", "application/jsonx", "application/msgpack", "application/json, text/x"),
    *("application/json; charset=utf-16", f"application/json\r\n{NAME}text/plain"),
    *("application/json\r\nContent-Encoding: gzip", "application/\xff"),
)


def test_a_body_is_json_and_of_a_repeated_field_the_last_counts(site: Site, world: World) -> None:
    """IN-5: 415 for every other name, or none; of a field given twice the last one is taken."""
    for operation in world.writes:
        for line in ("X-None: x", *(NAME + media_type for media_type in NO_JSON)):
            answer = send(site, world, operation, b"{}", line)
            assert answer.status == 415, (operation, line)
    task = Operation("PATCH", f"/tasks/{world.task}")
    assert send(site, world, task, b'{"title":"a","title":"x"}').json["title"] == "x"
    assert send(site, world, task, b'{"title":"x","title":""}').status == 422


@pytest.mark.parametrize(
    "end", ["' OR 1=1--", '"; DROP TABLE tasks; --', "\\'; --", " $1 %s :x {0}"]
)
def test_a_text_never_becomes_a_statement(site: Site, world: World, end: str) -> None:
    """IN-6: it comes back as it was sent, and is not in what the database was asked."""
    token, text = world.root.access, f"canary{end}"
    made = site.ask("POST", "/tasks", {"title": text, "description": text}, token=token)
    assert (made.status, made.json["title"], made.json["description"]) == (201, text, text)
    named = site.ask("PATCH", "/auth/me", {"full_name": text}, token=token)
    assert (named.status, named.json["full_name"]) == (200, text)
    assert site.log_in(text, text).status == 401
    assert site.refresh(text).status == 401
    asked = "SELECT query FROM pg_stat_activity WHERE application_name = 'taskcore' AND query != ''"
    queries = [query for (query,) in site.sql(asked)]
    assert any("$1" in query for query in queries)
    assert not any("canary" in query for query in queries)


def test_a_filter_takes_its_own_words_alone(site: Site, world: World) -> None:
    """IN-6: no wildcard, no expression; an address that looks like SQL matches no account."""
    for address in ("'or'1'='1@example.org", "%@example.org", "_@example.org", "*@example.org"):
        answer = site.ask("GET", f"/users?email={quote(address)}", token=world.root.access)
        assert (answer.status, answer.json["total"]) == (200, 0), address
    for there in (
        "/users?email",
        "/users?role",
        "/users?is_active",
        "/audit?event",
        "/audit?since",
    ):
        for text in ("' OR 1=1--", "%", "_", "\\", "", "null", "role", "admin' --"):
            answer = site.ask("GET", f"{there}={quote(text)}", token=world.root.access)
            assert answer.status == 422, (there, text)


@pytest.fixture
def fault(site: Site) -> Iterator[None]:
    """A task may make the database fail in the way that it describes."""
    site.sql(
        "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'canary: of the database' USING ERRCODE = NEW.description; END $$"
    )
    site.sql(
        "CREATE TRIGGER fault BEFORE INSERT ON tasks FOR EACH ROW"
        " WHEN (NEW.title = 'canary: fault') EXECUTE FUNCTION fault()"
    )
    yield
    site.sql("DROP FUNCTION fault CASCADE")


@pytest.mark.usefixtures("fault")
def test_what_the_database_refuses_has_an_answer_of_ours(site: Site, world: World) -> None:
    """IN-7: by its SQLSTATE; what we do not know is 500 with an id, and its words stay inside."""
    for states, status, code in (
        ("22001 22003 22021 22P02 22P05 2201X 23502 23514", 422, "invalid"),
        ("23503 23505", 409, "conflict"),
        ("40001 40P01 55P03 57014 53100 53200", 503, "unavailable"),
        ("42501", 503, "rights_missing"),
        ("P0001 42601 XX000", 500, "internal_error"),
    ):
        for state in states.split():
            body = {"title": "canary: fault", "description": state}
            answer = site.ask("POST", "/tasks", body, token=world.root.access)
            assert (answer.status, answer.json["code"]) == (status, code), state
            assert b"canary" not in answer.body
            assert ("retry-after" in answer.headers) is (status == 503)
            said = [line for line in site.apis[0].log.splitlines() if "request.failed" in line]
            assert (status == 500) is any(answer.json["request_id"] in line for line in said)


def test_a_text_has_its_limits_and_is_kept_as_it_was_sent(site: Site, world: World) -> None:
    """IN-9: in code points; no control characters, no escaping; the database knows the limits."""
    token, mark = world.eve.access, "<script>alert(1)</script> &amp; \u202e \U0001f600 e\u0301"
    there = f"/tasks/{world.task}"
    for field, low, high in (("title", 1, 255), ("description", 0, 5000), ("full_name", 0, 255)):
        path = "/auth/me" if field == "full_name" else there
        for text in (mark, "\U0001f600" * high, "x" * low, "a\tb\r\nc", " x "):
            answer = site.ask("PATCH", path, {field: text}, token=token)
            assert (answer.status, answer.json[field]) == (200, text)
        wrong = ["x" * (high + 1), "\U0001f600" * (high + 1), *([""] if low else [])]
        controls = [*range(9), 11, 12, *range(14, 32), *range(127, 160)]
        for text in (*wrong, *(f"a{chr(number)}b" for number in controls)):
            answer = site.ask("PATCH", path, {field: text}, token=token)
            assert answer.status == 422, (field, ascii(text))
        table = "users" if field == "full_name" else "tasks"
        for text in wrong:
            with pytest.raises(psycopg.errors.CheckViolation):
                site.sql(f"UPDATE {table} SET {field} = %s", text)  # noqa: S608 - our own names
    site.ask("PATCH", there, {"title": "x"}, token=token)


def test_no_statement_and_no_lock_is_waited_for_long(site: Site, world: World) -> None:
    """IN-10: the server ends what takes too long, on every connection of ours; others go on."""

    async def shown() -> dict[str, str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        async with Connections(site.conninfo) as connections, connections.borrow() as link:
            rows = {n: await link.connection.execute(f"SHOW {n}".encode()) for n in names}
            return {name: (await cursor.fetchall())[0][0] for name, cursor in rows.items()}

    assert [*asyncio.run(shown()).values()] == ["2s", "1s", "5s"]
    with closing(psycopg.connect(site.conninfo)) as other:
        other.execute("LOCK TABLE tasks")
        answer = site.ask("GET", "/tasks", token=world.root.access)
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        assert site.me(world.root.access) == 200
    assert site.ask("GET", "/tasks", token=world.root.access).status == 200


def test_headers_have_a_largest_size(site: Site, world: World) -> None:
    """IN-11: 16 KiB together, on every operation, before any is parsed."""
    for operation in world.operations:
        for lines in (("X-Filling: " + "x" * LARGEST,), ["X-F: " + "x" * 1000] * 17):
            assert send(site, world, operation, b"", *lines).status == 431, operation
    for size, status in ((15_000, 200), (16_384, 431)):
        line = "X-Filling: " + "x" * size
        assert send(site, world, Operation("GET", "/tasks"), b"", line).status == status
