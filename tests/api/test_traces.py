"""Traces of requests, by a real SDK: what they are made of, and what they never hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from litestar import Litestar, get
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from taskapi.app import create_app
from taskapi.telemetry.traces import Traces
from taskcore import Core
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.postgres import PostgresStore, TracedConnections
from taskcore.adapters.postgres.tracing import REQUESTS, summary
from taskcore.testing import CheapHasher, ManualClock
from taskcore.testing.cores import core_on
from tests.api.conftest import SETTINGS, opened
from tests.api.people import V1, Person, join
from tests.api.streaming import streaming
from tests.canaries import leaks
from tests.conftest import emptied
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Recorded:
    """A provider whose spans stay in memory."""

    def __init__(self, **options: Any) -> None:
        provider = TracerProvider(**options, shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(provider)

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended since the last call, by their beginning."""
        found = sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self._exporter.clear()
        return found

    def tree(self, trace: str = TRACE) -> list[str]:
        """Names of the spans of the trace, indented by their depth; of a statement, only `sql`."""
        spans = {id_of(span): span for span in self.spans() if trace_of(span) == trace}

        def depth(span: ReadableSpan) -> int:
            parent = spans.get(f"{span.parent.span_id:016x}") if span.parent else None
            return 0 if parent is None else 1 + depth(parent)

        return [
            "  " * depth(span) + ("sql" if span.kind is SpanKind.CLIENT else span.name)
            for span in spans.values()
        ]


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


@get("/bug", sync_to_thread=False)
def bug() -> None:
    raise ValueError("canary")


def app_of(core: Core, recorded: Recorded) -> Litestar:
    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        yield core

    app = create_app(opener, SETTINGS, traces=recorded.traces)
    app.register(bug)
    return app


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
async def core(database_url: str, recorded: Recorded, clock: ManualClock) -> AsyncIterator[Core]:
    emptied(database_url)
    tracer = recorded.traces.tracer
    async with TracedConnections(tracer, database_url, size=10, pooler=False) as connections:
        store = PostgresStore(connections, tracer=tracer)
        yield core_on(store, clock=clock, hasher=CheapHasher(), tracer=tracer)


@pytest.fixture
def app(core: Core, recorded: Recorded) -> Litestar:
    return app_of(core, recorded)


@pytest.fixture
def forget(ada: Person, recorded: Recorded) -> None:
    del ada
    recorded.spans()


async def test_a_request_holds_its_use_cases_and_they_their_statements(
    ada: Person, recorded: Recorded, events: list[Any], forget: None
) -> None:
    del forget
    body = {"title": "Write the letter"}
    answer = await ada.ask("POST", "/tasks", body, headers={"traceparent": TRACEPARENT})
    assert answer.status_code == 201
    spans = recorded.spans()
    first = spans[0]
    assert (first.name, first.kind) == (f"POST {V1}/tasks", SpanKind.SERVER)
    assert first.parent
    assert f"{first.parent.span_id:016x}" == PARENT
    assert first.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": f"{V1}/tasks",
        "http.response.status_code": 201,
    }
    assert {trace_of(span) for span in spans} == {TRACE}
    statement = next(span for span in spans if span.name.startswith("INSERT tasks"))
    assert statement.kind is SpanKind.CLIENT
    assert statement.attributes
    assert "$1" in str(statement.attributes["db.query.text"])
    assert REQUESTS not in statement.attributes
    # The line of the request, and any other of it.
    assert {event["trace_id"] for event in events} == {TRACE}
    await ada.ask("GET", "/tasks?skip=1", headers={"traceparent": TRACEPARENT})
    assert recorded.tree() == [
        f"GET {V1}/tasks",
        "  sessions.authenticate",
        "    sql",
        "  tasks.page",
        "    sql",
    ]


async def test_a_request_with_a_key_is_one_tree(
    ada: Person, recorded: Recorded, forget: None
) -> None:
    del forget
    headers = {"traceparent": TRACEPARENT, "Idempotency-Key": "one"}
    await ada.ask("POST", "/tasks", {"title": "x"}, headers=headers)
    tree = recorded.tree()
    assert [line for line in tree if "sql" not in line] == [
        f"POST {V1}/tasks",
        "  sessions.authenticate",
        "  idempotency.once",
        "    tasks.create",
    ]
    assert "      sql" in tree


async def test_a_statement_that_requests_share_is_a_span_of_each(
    ada: Person, recorded: Recorded, forget: None
) -> None:
    del forget
    task = await ada.task()
    recorded.spans()
    await asyncio.gather(*(ada.get(f"/tasks/{task['id']}") for _ in range(6)))
    spans = recorded.spans()
    requests = [span for span in spans if span.kind is SpanKind.SERVER]
    statements = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert len({trace_of(span) for span in requests}) == 6
    assert {trace_of(span) for span in statements} == {trace_of(span) for span in requests}
    sizes = [(span.attributes or {}).get(REQUESTS) for span in statements]
    assert any(sizes)


async def test_what_people_type_is_in_no_span(
    core: Core, http: httpx.AsyncClient, recorded: Recorded
) -> None:
    """LG-8: nor in the attributes of a refusal or an error, nor an address or a request id."""
    root = await join(core, http, "root")
    ada = await join(core, http, "canary", full_name="Canary Lovelace")
    task = await ada.task("canary title", "canary text")
    there = f"/tasks/{task['id']}"
    for method, path, body in [
        ("PATCH", there, {"title": "canary", "labels": ["canary"]}),
        ("PATCH", there, {"title": ""}),
        ("GET", "/tasks?search=canary&label=canary", None),
        ("GET", "/tasks/canary?canary=canary", None),
        ("GET", "/canary", None),
        ("GET", "/users", None),
        ("POST", "/auth/login", {"email": "canary@example.org", "password": PASSWORD}),
        ("POST", "/auth/login", {"email": "canary@example.org", "password": "wrong horse"}),
        ("POST", "/auth/register", {"email": "canary@example.org", "password": PASSWORD}),
        ("POST", "/auth/refresh", {"refresh_token": ada.refresh_token}),
        ("POST", "/tasks/bulk", {"operations": [{"op": "create", "task": {"title": "canary"}}]}),
        ("DELETE", there, None),
        ("DELETE", "/auth/me", {"password": PASSWORD}),
    ]:
        headers = {"User-Agent": "canary", "X-Request-Id": "canary", "Cookie": "a=canary"}
        await ada.ask(method, path, body, headers=headers)
    await root.http.get("/bug?canary")
    told = "\n".join(span.to_json() for span in recorded.spans())
    assert "sessions.log_in" in told
    assert leaks(told) == []
    assert "canary" not in told.lower()
    assert "127.0.0.1" not in told


async def test_a_fault_of_ours_marks_its_spans_and_a_refusal_does_not(
    ada: Person, recorded: Recorded, forget: None
) -> None:
    del forget
    await ada.get("/tasks/999999")
    request, *inner = recorded.spans()
    assert request.status.status_code is StatusCode.UNSET
    found = [span.attributes for span in inner if span.name == "tasks.get"]
    assert found == [{"error.type": "not_found"}]
    await ada.http.get("/bug")
    (request,) = recorded.spans()
    assert request.status.status_code is StatusCode.ERROR
    assert request.status.description is None
    assert request.attributes
    assert request.attributes["error.type"] == "500"
    assert request.events == ()


@pytest.mark.parametrize("header", ["", "x", f"00-{TRACE}", f"ff-{TRACE}-{PARENT}-01", "0" * 9999])
async def test_without_a_sound_traceparent_a_trace_begins(
    header: str, ada: Person, recorded: Recorded, events: list[Any], forget: None
) -> None:
    del forget
    await ada.ask("GET", "/tasks", headers={"traceparent": header})
    first = recorded.spans()[0]
    assert first.parent is None
    (line,) = events
    assert line["trace_id"] == trace_of(first) != TRACE


async def test_of_a_trace_that_is_not_sampled_the_log_has_the_id(
    clock: ManualClock, events: list[Any]
) -> None:
    recorded = Recorded(sampler=ALWAYS_OFF)
    core = core_on(MemoryStore(), clock=clock, tracer=recorded.traces.tracer)
    async with opened(app_of(core, recorded)) as http:
        ada = await join(core, http, "ada")
        events.clear()
        await ada.ask("GET", "/tasks", headers={"traceparent": TRACEPARENT})
        assert [event["trace_id"] for event in events] == [TRACE]
    assert recorded.spans() == []


async def test_the_span_of_a_stream_ends_when_it_begins(
    app: Litestar, ada: Person, recorded: Recorded, forget: None
) -> None:
    del forget
    async with streaming(app, ada) as stream:
        await stream.start()
        assert await stream.event()
        names = [span.name for span in recorded.spans()]
        assert names == [
            f"GET {V1}/changes/stream",
            "sessions.authenticate",
            "SELECT sessions users",
        ]
        await ada.task("x")
        assert await stream.event()
        assert {span.name for span in recorded.spans() if span.parent is None} == {
            f"POST {V1}/tasks"
        }


async def test_health_checks_are_not_traced(http: httpx.AsyncClient, recorded: Recorded) -> None:
    for path in ("/livez", "/readyz"):
        await http.get(path)
    assert recorded.spans() == []


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT tasks.id FROM tasks WHERE tasks.id = $1", "SELECT tasks"),
        ("SELECT a.b FROM t JOIN u ON t.x = u.x JOIN t AS v ON true", "SELECT t u"),
        ("WITH w AS (SELECT x FROM t) SELECT x FROM w", "SELECT t"),
        ("WITH w AS MATERIALIZED (UPDATE t SET x = $1) INSERT INTO u (x) VALUES ($2)", None),
        ("DELETE FROM t WHERE x IN (SELECT x FROM u)", "DELETE t"),
        ("SELECT x FROM t FOR UPDATE", "SELECT t"),
        ("SELECT x FROM unnest($1) AS batch JOIN t ON true", "SELECT t"),
        ("SELECT clock_timestamp()", "SELECT"),
    ],
)
def test_a_statement_is_named_by_what_it_writes_or_else_reads(sql: str, name: str | None) -> None:
    assert summary(sql) == (name or "UPDATE t INSERT u")
