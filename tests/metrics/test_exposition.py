"""The text that Prometheus reads, and what the parts of a server tell for it."""

import subprocess
import sys

import pytest
from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from taskapi.edge import Edge
from taskapi.housekeeping import Housekeeper
from taskapi.metrics.exposition import exposition
from taskapi.metrics.recorder import Recorder
from taskapi.metrics.series import ALL, BATCHES
from taskapi.metrics.sheets import _NAME_BYTES, Sheets
from taskcore.adapters.memory import memory_core
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.testing import ManualClock
from tests.api.conftest import app_over, opened
from tests.conftest import cheap_argon2
from tests.metrics.told import told

pytestmark = pytest.mark.anyio
ROUTE = 'method="GET",route="/livez"'


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_own() -> None:
    sheets = Sheets(1)
    recorder = Recorder(sheets.claim())
    for status, seconds in ((200, 0.001), (200, 0.0011), (503, 0.3), (200, 60.0)):
        recorder.request("GET", "/livez", status, seconds)
    found = told(exposition(sheets))
    name = "taskcore_request_duration_seconds"
    of = {limit: found[f'{name}_bucket{{{ROUTE},le="{limit}"}}'] for limit in (0.001, 0.0025, 5.0)}
    assert of == {0.001: 1, 0.0025: 2, 5.0: 3}
    assert found[f'{name}_bucket{{{ROUTE},le="+Inf"}}'] == found[f"{name}_count{{{ROUTE}}}"] == 4
    assert found[f"{name}_sum{{{ROUTE}}}"] == 0.001 + 0.0011 + 0.3 + 60
    assert found[f'taskcore_requests_total{{{ROUTE},status="200"}}'] == 3


def test_batches_are_told_by_their_sizes() -> None:
    sheets = Sheets(1)
    Recorder(sheets.claim()).publish({f"{BATCHES}:1": 5, f"{BATCHES}:3": 2, f"{BATCHES}:32": 1})
    found = told(exposition(sheets))
    name = f"taskcore_{BATCHES}"
    assert [found[f'{name}_bucket{{le="{n}"}}'] for n in (1, 2, 4, 16, 32)] == [5, 5, 7, 7, 8]
    assert found[f"{name}_sum"] == 5 + 6 + 32
    assert found[f"{name}_count"] == 8


async def test_each_number_of_the_parts_has_a_meaning_and_each_meaning_a_number(
    connections: Connections, clock: ManualClock
) -> None:
    core = memory_core(clock=clock)
    edge = app_over(core).asgi_handler
    assert isinstance(edge, Edge)
    store = PostgresStore(connections)
    store._shared.batches[2] = 1
    housekeeper = Housekeeper(core)
    housekeeper._removed["tasks"] = 1
    async with cheap_argon2() as hasher:
        parts = (edge, store, housekeeper, hasher)
        names = {name for part in parts for name in part.measures()} | set(await store.estimates())
    # What the recorder adds.
    names |= {"cpu_seconds", "stream_clients", "worker_starts"}
    assert {name.partition(":")[0] for name in names} == {
        BATCHES,
        *(each.name.removesuffix("_total") for each in ALL),
    }
    labelled = {each.name.removesuffix("_total") for each in ALL if each.label} | {BATCHES}
    assert {name.partition(":")[0] for name in names if ":" in name} == labelled


async def test_estimates_are_of_all_tables_and_count_none(connections: Connections) -> None:
    found = await PostgresStore(connections).estimates()
    assert {"rows:users", "rows:tasks", "rows:sessions", "rows:events"} <= found.keys()
    assert all(isinstance(rows, int) and rows >= 0 for rows in found.values())


def test_the_name_of_every_route_fits_into_a_row() -> None:
    app: Litestar = app_over(memory_core())
    longest = max(len(route.path) for route in app.routes)
    assert len("OPTIONS 503 ") + longest <= _NAME_BYTES


async def test_a_request_is_counted_by_its_route_and_never_by_its_path(clock: ManualClock) -> None:
    sheets = Sheets(1)
    core = memory_core(clock=clock)
    app = app_over(core)
    edge = app.asgi_handler
    assert isinstance(edge, Edge)
    edge._recorder = Recorder(sheets.claim())
    async with opened(app) as http:
        for path in ("/livez", "/api/v1/tasks/17", "/api/v1/tasks/18", "/x", "/y?token=z"):
            await http.get(path)
        await http.head("/livez")
    found = told(exposition(sheets))
    requests = {
        name.partition("{")[2]: n
        for name, n in found.items()
        if name.startswith("taskcore_requests_total")
    }
    assert requests == {
        'method="GET",route="/livez",status="200"}': 1,
        'method="HEAD",route="/livez",status="200"}': 1,
        'method="GET",route="/api/v1/tasks/{task_id}",status="401"}': 2,
        'method="GET",route="unmatched",status="404"}': 2,
    }


async def test_a_response_is_counted_before_its_client_has_it(clock: ManualClock) -> None:
    """Else a worker that is killed in between would have answered more than it has counted."""
    sheets = Sheets(1)
    app = app_over(memory_core(clock=clock))
    edge = app.asgi_handler
    assert isinstance(edge, Edge)
    edge._recorder = Recorder(sheets.claim())
    counted: list[float | None] = []

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                requests = f'taskcore_requests_total{{{ROUTE},status="200"}}'
                counted.append(told(exposition(sheets)).get(requests))
            await send(message)

        await edge(scope, receive, look)

    app.asgi_handler = observed
    async with opened(app) as http:
        for _ in range(2):
            await http.get("/livez")
    assert counted == [1, 2]


def test_without_an_address_nothing_of_this_is_imported() -> None:
    code = "import sys, taskapi.app; print([m for m in sys.modules if 'taskapi.metrics' in m])"
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
