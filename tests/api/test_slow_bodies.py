"""A body that takes its time: who sends it is looked at again when it is there, on both stores."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_type_hints

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from taskapi import providers
from taskcore.usecases.sessions import Sessions
from tests.api.access import ACCESS, ADMIN, PUBLIC, REQUESTS, call_of
from tests.api.people import V1, Person, again, led_to, refused
from tests.conftest import ManualClock
from tests.factories import PASSWORD
from tests.guards import agree
from tests.test_policy_matrix import filled

pytestmark = pytest.mark.anyio

Meanwhile = Callable[[], Awaitable[object]]
WITH_BODY = {call_of(*request[:2]): request for _, request in REQUESTS if request[2] is not None}
BULK = {"operations": [{"op": "create", "task": {"title": "late"}}]}


class Slow:
    """Sends bodies in two pieces, between which so many seconds pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = providers.FRESH_FOR + 0.01

    async def ask(
        self,
        person: Person,
        method: str,
        path: str,
        body: object,
        meanwhile: Meanwhile,
        **headers: str,
    ) -> httpx.Response:
        content = json.dumps(body).encode()

        async def pieces() -> AsyncIterator[bytes]:
            yield content[:1]
            await meanwhile()
            self.now += self.takes
            yield content[1:]

        sent = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await person.http.request(method, V1 + path, headers=sent, content=pieces())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(providers, "monotonic", lambda: slow.now)
    return slow


async def nothing() -> None:
    pass


def ended(person: Person) -> Meanwhile:
    return lambda: person.post("/auth/logout-all")


def with_body(app: Litestar) -> set[str]:
    """The calls of logged-in users whose handler takes a body."""
    return {
        call
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if ACCESS.get(call := f"{method} {route.path_format}", PUBLIC) != PUBLIC
        if "data" in get_type_hints(handler.fn)
    }


async def test_a_session_that_ends_while_a_body_arrives_writes_nothing(
    slow: Slow, app: Litestar, ada: Person, root: Person
) -> None:
    """AZ-1: 401 for every call with a body, as for a request that begins afterwards."""
    agree(with_body(app), WITH_BODY, "OVER_HTTP in tests/test_policy_matrix.py", "add its request")
    task = await ada.task()
    names = {"task": task["id"], "user": ada.id, "email": "new@example.org"}
    for call, (method, path, body) in WITH_BODY.items():
        person = await again(root if ACCESS[call] == ADMIN else ada)
        late = filled(body, names)
        answer = await slow.ask(person, method, path.format(**names), late, ended(person))
        refused(answer, 401, "invalid_token")
    ada = await again(ada)
    assert (await ada.get("/tasks")).json()["items"] == [task]
    assert (await ada.get("/auth/me")).json()["full_name"] == "Ada Lovelace"
    assert (await (await again(root)).get("/users")).json()["total"] == 2


async def test_an_access_token_that_expires_while_a_body_arrives_is_refused(
    slow: Slow, clock: ManualClock, ada: Person
) -> None:
    async def expire() -> None:
        clock.advance(minutes=31)

    refused(await slow.ask(ada, "POST", "/tasks/bulk", BULK, expire), 401, "token_expired")


async def test_a_role_that_changes_while_a_body_arrives_counts(
    slow: Slow, ada: Person, bob: Person, root: Person
) -> None:
    """AZ-2: downward and upward; a call of administrators is refused as any other."""
    await again(ada)
    task = await bob.task()
    path = f"/tasks/{task['id']}"

    def becomes(role: str) -> Meanwhile:
        return lambda: root.patch(f"/users/{ada.id}", {"role": role})

    async def bulk(role: str) -> httpx.Response:
        edit = {"op": "update", "id": task["id"], "changes": {"title": role}}
        return await slow.ask(ada, "POST", "/tasks/bulk", {"operations": [edit]}, becomes(role))

    async def edit(role: str) -> httpx.Response:
        return await slow.ask(ada, "PATCH", path, {"title": role}, becomes(role))

    for send in (bulk, edit):
        answer = await send("admin")
        assert answer.is_success, answer.text
        refused(await send("user"), 404, "not_found")
        assert (await bob.get(path)).json()["title"] == "admin"
    await becomes("admin")()
    draft = {"email": "new@example.org", "password": PASSWORD}
    refused(await slow.ask(ada, "POST", "/users", draft, becomes("user")), 403, "forbidden")
    assert (await root.get("/users")).json()["total"] == 3


async def test_a_refused_request_takes_no_key(slow: Slow, ada: Person) -> None:
    """Neither one with a body that its handler takes nor one whose body only makes it the same."""
    task = await ada.task("early")
    for method, path in (("POST", "/tasks"), ("DELETE", f"/tasks/{task['id']}")):
        person = await again(ada)
        body = {"title": "late"}
        answer = await slow.ask(person, method, path, body, ended(person), idempotency_key=method)
        refused(answer, 401, "invalid_token")
        other = await again(ada)
        assert await other.titles() == ["early"]
        same_key = {"Idempotency-Key": method}
        answer = await other.ask("POST", "/tasks", {"title": method}, headers=same_key)
        assert answer.status_code == 201, answer.text
        assert "Idempotency-Replayed" not in answer.headers
        await other.delete(led_to(answer).removeprefix(V1))


async def test_a_body_that_takes_its_time_is_served(slow: Slow, ada: Person) -> None:
    """With what is there by then: the task that was read before the body has changed since."""
    path = f"/tasks/{(await ada.task())['id']}"

    async def edit() -> None:
        assert (await ada.patch(path, {"description": "first"})).is_success

    answer = await slow.ask(ada, "PATCH", path, {"title": "second"}, edit, if_match='"2"')
    assert answer.is_success, answer.text
    now: Any = answer.json()
    assert (now["title"], now["description"], now["version"]) == ("second", "first", 3)


async def test_only_a_slow_body_costs_a_second_look(
    slow: Slow, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    authenticate = Sessions.authenticate

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return await authenticate(*args, **options)

    monkeypatch.setattr(Sessions, "authenticate", counted)
    for takes, expected in ((providers.FRESH_FOR, 1), (providers.FRESH_FOR + 0.01, 2)):
        looks, slow.takes = 0, takes
        answer = await slow.ask(ada, "POST", "/tasks", {"title": "x"}, nothing)
        assert (answer.status_code, looks) == (201, expected)
