"""Failures of the server: the store is away, the code has a bug, or the load is too high."""

import asyncio
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from litestar import Litestar
from litestar.types import Receive, Scope, Send

import taskapi.app
from taskapi.edge import Edge
from taskcore import NotMigrated, Unavailable
from tests.api.conftest import ORIGIN, SETTINGS, app_over, opened
from tests.api.documented import operations, resolved
from tests.api.doubles import FailingStore, HeldHasher, failing_core, held_core
from tests.api.people import MISSING_ID, V1, Person, join, refused
from tests.conftest import ManualClock
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3a"
IDS = {
    "task_id": MISSING_ID,
    "user_id": MISSING_ID,
    "session_id": "0b0f6f0a-3c1c-4d0b-9a55-2f9f4c1f8a11",
}


def every_operation() -> Iterator[tuple[str, str, Any]]:
    """Its method, path and body, by the document and its examples."""
    for call, operation in operations():
        method, _, path = call.partition(" ")
        body = None
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            body = resolved(content["schema"])["examples"][0]
        yield method, path.removeprefix(V1).format(**IDS), body


EVERYTHING = [call for call in every_operation() if call[1] not in {"/livez", "/readyz"}]


@pytest.fixture
async def failing(clock: ManualClock) -> AsyncIterator[tuple[Person, FailingStore]]:
    """A logged-in client, and the store, which a test makes fail."""
    core, store = failing_core(clock)
    async with opened(app_over(core)) as http:
        yield await join(core, http, "ada"), store


async def test_every_operation_is_503_while_the_store_is_away(
    failing: tuple[Person, FailingStore],
) -> None:
    ada, store = failing
    store.error = Unavailable("The database does not answer; try again", retry_after=2.3)
    for method, path, body in EVERYTHING:
        answer = await ada.ask(method, path, body, headers={"Origin": ORIGIN})
        refused(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "3"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
    store.error = None
    assert (await ada.get("/auth/me")).status_code == 200


async def test_readyz_follows_the_store_and_livez_does_not(
    failing: tuple[Person, FailingStore],
) -> None:
    ada, store = failing
    for error in (Unavailable(), NotMigrated()):
        store.error = error
        answer = await ada.http.get("/readyz")
        refused(answer, 503, error.code)
        assert answer.headers["retry-after"] == "1"
        for path in ("/livez", f"{V1}/docs", f"{V1}/openapi.json"):
            assert (await ada.http.get(path)).status_code == 200
    store.error = None
    assert (await ada.http.get("/readyz")).status_code == 200


async def test_readiness_is_checked_once_for_all_who_ask_at_the_same_time(
    failing: tuple[Person, FailingStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, store = failing
    checks = 0

    async def check(_: FailingStore) -> None:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0.05)
        raise Unavailable

    monkeypatch.setattr(FailingStore, "check", check)
    answers = await asyncio.gather(*(ada.http.get("/readyz") for _ in range(9)))
    assert {answer.status_code for answer in answers} == {503}
    assert checks == 1
    assert (await ada.http.get("/readyz")).status_code == 503
    assert checks == 2
    assert store.error is None


async def test_a_bug_shows_no_detail_except_the_request_id(
    failing: tuple[Person, FailingStore], events: list[Any]
) -> None:
    ada, store = failing
    store.error = RuntimeError(CANARY)
    for number, (method, path, body) in enumerate(EVERYTHING):
        events.clear()
        headers = {"X-Request-Id": f"request-{number}", "Origin": ORIGIN}
        answer = await ada.ask(method, path, body, headers=headers)
        refused(answer, 500, "internal_error")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        for word in (CANARY, "RuntimeError", "Traceback", "taskapi", "litestar", ".py"):
            assert word not in answer.text
        (failure,) = [event for event in events if event["event"] == "request.failed"]
        assert failure["log_level"] == "error"
        assert failure["request_id"] == f"request-{number}"
        assert CANARY in "".join(traceback.format_exception(failure["exc_info"]))
        assert [e["status"] for e in events if e["event"] == "request"] == [500]


async def test_a_bug_outside_litestar_is_reported_the_same_way(
    app: Litestar, events: list[Any]
) -> None:
    async def broken(scope: Scope, _: Receive, __: Send) -> None:
        raise RuntimeError(CANARY + scope["path"])

    app.asgi_handler = Edge(broken, SETTINGS, in_flight=9)
    async with opened(app) as http:
        for method in ("GET", "POST", "OPTIONS"):
            events.clear()
            answer = await http.request(method, "/x")
            problem = refused(answer, 500, "internal_error")
            assert CANARY not in answer.text
            assert [event["event"] for event in events] == ["request.failed", "request"]
            assert {event["request_id"] for event in events} == {problem["request_id"]}
            assert events[-1]["status"] == 500


async def test_a_bug_in_the_middle_of_a_response_ends_the_connection(
    app: Litestar, events: list[Any]
) -> None:
    async def broken(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(CANARY)

    app.asgi_handler = Edge(broken, SETTINGS, in_flight=9)
    async with opened(app) as http:
        with pytest.raises(RuntimeError, match=CANARY):
            await http.get("/x")
    assert [event["event"] for event in events] == ["request.failed", "request"]


class Crowd:
    """Logins that wait for the hasher."""

    def __init__(self, ada: Person, hasher: HeldHasher) -> None:
        self.ada, self._hasher = ada, hasher

    async def comes(self, size: int) -> list[asyncio.Task[httpx.Response]]:
        body = {"email": self.ada.email, "password": PASSWORD}
        anonymous = Person(self.ada.http)
        logins = [asyncio.create_task(anonymous.post("/auth/login", body)) for _ in range(size)]
        with anyio.fail_after(5):
            for _ in logins:
                await self._hasher.holds.acquire()
        return logins

    def goes(self) -> None:
        self._hasher.go_on.set()


@pytest.fixture
async def crowd(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    """With two requests served at a time."""
    monkeypatch.setattr(taskapi.app, "IN_FLIGHT", 2)
    core, hasher = held_core(clock)
    async with opened(app_over(core)) as http:
        hasher.go_on.set()
        ada = await join(core, http, "ada")
        hasher.go_on.clear()
        await hasher.holds.acquire()
        yield Crowd(ada, hasher)


async def test_requests_beyond_the_limit_are_refused_at_once(crowd: Crowd) -> None:
    logins = await crowd.comes(2)
    before = time.perf_counter()
    for method, path in (("GET", "/tasks"), ("OPTIONS", "/tasks"), ("HEAD", "/nowhere")):
        answer = await crowd.ada.ask(method, path, headers={"Origin": ORIGIN})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert time.perf_counter() - before < 0.5
    refused(await crowd.ada.get("/tasks"), 503, "overloaded")
    # Health checks must pass: to restart a busy process would make the load worse.
    for path in ("/livez", "/readyz"):
        assert (await crowd.ada.http.get(path)).status_code == 200
    crowd.goes()
    assert [answer.status_code for answer in await asyncio.gather(*logins)] == [200, 200]
    assert (await crowd.ada.get("/tasks")).status_code == 200


async def test_a_cancelled_request_makes_room_for_another(crowd: Crowd) -> None:
    for _ in range(3):
        for login in await crowd.comes(2):
            login.cancel()
            with suppress(asyncio.CancelledError):
                await login
    assert (await crowd.ada.get("/tasks")).status_code == 200


def test_a_traceback_on_a_terminal_shows_no_variables() -> None:
    program = """
import sys, structlog
from taskapi import logs
style, secret = sys.argv[1:]
logs.configure("DEBUG", style)
def log_in(password, headers):
    raise RuntimeError("x")
try:
    log_in(secret, {"Authorization": secret})
except RuntimeError as error:
    structlog.get_logger().error("request.failed", exc_info=error, password=secret)
"""
    for style in ("console", "json"):
        run = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", program, style, CANARY], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert "RuntimeError" in run.stderr
        assert "log_in" in run.stderr
        assert "***" in run.stderr
        assert CANARY not in run.stdout + run.stderr


_ONE_LINE = """
import sys, structlog
from taskapi import logs
logs.configure("INFO", sys.argv[1])
structlog.get_logger().info("request")
"""


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_log_line_is_one_write_so_that_workers_do_not_mix_lines(style: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps writes apart
    with ours, theirs:
        command = [sys.executable, "-c", _ONE_LINE, style]
        subprocess.run(command, stderr=theirs.fileno(), check=True)  # noqa: S603 - ours
        ours.setblocking(False)
        assert ours.recv(65536).endswith(b"\n")
        with pytest.raises(BlockingIOError):
            ours.recv(65536)
