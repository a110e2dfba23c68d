"""Which pages of other origins may read answers, and what they may send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from taskapi.app import create_app
from taskcore import Core
from tests.api.conftest import ORIGIN, SETTINGS, opened
from tests.api.people import V1, Person
from tests.api.test_protocol import NOWHERE, RESOURCES

# On one store only: none of this depends on the store.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]

ALLOWED = [ORIGIN, "http://localhost:3000"]
STRANGE = [
    "null",
    "*",
    "",
    "http://app.example.org",
    "https://app.example.org.evil.example",
    "https://evil-app.example.org",
    "https://app.example.org:8443",
    "https://app.example.org:443",
    "https://app.example.org/",
    "https://APP.example.org",
    "https://app.example.org,https://evil.example",
    "http://localhost",
    "http://localhost:30001",
    "http://localhost:3000.evil.example",
    "file://",
]
SENT = {
    *("authorization", "content-type", "if-match", "if-none-match", "idempotency-key"),
    *("last-event-id", "x-request-id", "traceparent", "tracestate", "baggage", "sentry-trace"),
}
EXPOSED = {
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "retry-after",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
    "www-authenticate",
}


async def test_only_listed_origins_may_read_an_answer(anonymous: Person, ada: Person) -> None:
    for origin in ALLOWED + STRANGE:
        for answer in (
            await ada.get("/tasks", origin=origin),
            await anonymous.get("/tasks", origin=origin),
            await ada.get("/nowhere", origin=origin),
            await ada.ask("BREW", "/tasks", headers={"Origin": origin}),
            await ada.ask("POST", "/tasks", content=b"{", headers={"Origin": origin}),
        ):
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
            if origin in ALLOWED:
                assert answer.headers["access-control-allow-origin"] == origin
                exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
                assert set(exposed) == EXPOSED
            else:
                assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_preflight_of_a_listed_origin_lists_what_it_may_send(anonymous: Person) -> None:
    preflight = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,if-match",
    }
    for origin in ALLOWED + STRANGE:
        for path, allow in RESOURCES.items():
            answer = await anonymous.ask("OPTIONS", path, headers={"Origin": origin} | preflight)
            assert (answer.status_code, answer.headers["allow"]) == (204, allow)
            assert answer.headers["vary"] == "Origin"
            if origin not in ALLOWED:
                assert not [name for name in answer.headers if name.startswith("access-control")]
                continue
            assert answer.headers["access-control-allow-origin"] == origin
            may = answer.headers["access-control-allow-methods"].split(", ")
            assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} == set(may)
            sent = answer.headers["access-control-allow-headers"].lower().split(", ")
            assert set(sent) == SENT
            assert int(answer.headers["access-control-max-age"]) > 0


async def test_a_preflight_succeeds_wherever_the_request_itself_is_refused(
    anonymous: Person,
) -> None:
    """Otherwise a browser keeps the refusal from the page (Fetch standard, CORS-preflight)."""
    refused_paths = [
        *NOWHERE,
        *(f"/tasks/{'x' * 300}", f"/tasks?q={'x' * 5000}", "/tasks?q=%00", "/tasks?q=%ff"),
    ]
    asks = {"Access-Control-Request-Method": "GET"}
    for path in refused_paths:
        for origin in ALLOWED:
            answer = await anonymous.ask("OPTIONS", path, headers=asks | {"Origin": origin})
            assert answer.status_code == 204, path
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-headers"]
            answer = await anonymous.get(path, origin=origin)
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.is_error
        for headers in ({"Origin": ALLOWED[0]}, asks, asks | {"Origin": STRANGE[0]}):
            answer = await anonymous.ask("OPTIONS", path, headers=headers)
            assert answer.is_error, (path, headers)


async def test_a_page_may_send_the_headers_that_the_operator_names(core: Core) -> None:
    settings = replace(SETTINGS, cors_headers=("X-Tenant", "b3"))

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        yield core

    async with opened(create_app(opener, settings)) as http:
        headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        answer = await http.options(f"{V1}/tasks", headers=headers)
    sent = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert set(sent) == SENT | {"x-tenant", "b3"}
