"""Idempotency-Key over HTTP, on both stores."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from taskcore import Core
from taskcore.usecases import idempotency
from tests.api.access import ACCESS, ADMIN, PUBLIC, REQUESTS, call_of
from tests.api.documented import operations
from tests.api.people import V1, Person, broken, led_to, refused
from tests.factories import PASSWORD
from tests.guards import agree
from tests.test_policy_matrix import IN_TRASH, filled

pytestmark = pytest.mark.anyio

KEYED = {
    call: operation
    for call, operation in operations()
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", []))
}


TASK = {"title": "Buy milk", "labels": ["home"]}
# For every call that takes a key: the action of the table of policies, and its request. Of two, the
# first: a replay does not show a one-time password again.
CALLS = {
    call: (action, *request)
    for action, request in reversed(REQUESTS)
    if (call := call_of(*request[:2])) in KEYED
}


async def prepared(call: str, root: Person, ada: Person) -> tuple[Person, str, str, Any]:
    """Who sends the request of the call, and its method, path and body.

    Makes what it names: a task of Ada's, in the trash if it has to be there, and a user.
    """
    action, method, path, body = CALLS[call]
    task = (await ada.task())["id"]
    if action in IN_TRASH:
        await ada.delete(f"/tasks/{task}")
    number = (await root.get("/users")).json()["total"]
    draft = {"email": f"user{number}@example.org", "password": PASSWORD}
    user = (await root.post("/users", draft)).json()["id"]
    names = {"task": task, "user": user, "email": draft["email"]}
    person = root if ACCESS[call] == ADMIN else ada
    return person, method, path.format(**names), filled(body, names)


async def keyed(
    person: Person,
    key: str = "k",
    body: object = TASK,
    *,
    call: str = "POST",
    path: str = "/tasks",
    **headers: str,
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await person.ask(call, path, body, headers={"Idempotency-Key": key} | named)


def same(first: httpx.Response, other: httpx.Response) -> bool:
    """Whether the other is a replay of the first: all but the id of the request is the same."""
    mine, theirs = dict(first.headers), dict(other.headers)
    marked = theirs.pop("idempotency-replayed", None)
    for headers in (mine, theirs):
        del headers["x-request-id"]
    return (first.status_code, first.content, mine, "true") == (
        other.status_code,
        other.content,
        theirs,
        marked,
    )


def test_every_writing_call_outside_of_auth_takes_a_key() -> None:
    writing = {
        call
        for call, level in ACCESS.items()
        if not call.startswith(("GET", "POST /api/v1/auth", "PATCH /api/v1/auth"))
        and not call.startswith("DELETE /api/v1/auth")
        and level != PUBLIC
    }
    agree(
        writing,
        KEYED,
        "the operations with Idempotency-Key",
        "add @once to its handler",
        outlived="and is not known: add its request to OVER_HTTP in tests/test_policy_matrix.py; or"
        " it reads, or is below /auth: take @once off its handler",
    )
    for call, operation in KEYED.items():
        success = min(operation["responses"])
        assert "Idempotency-Replayed" in operation["responses"][success]["headers"]
        assert {"409", "422", "429"} <= operation["responses"].keys(), call
        assert "outcome_unknown" in operation["responses"]["503"]["description"]


@pytest.mark.parametrize("call", CALLS)
async def test_a_request_with_a_key_is_done_once(call: str, root: Person, ada: Person) -> None:
    person, method, path, body = await prepared(call, root, ada)
    first = await keyed(person, "k", body, call=method, path=path)
    assert first.is_success, first.text
    assert "idempotency-replayed" not in first.headers
    for _ in range(2):
        assert same(first, await keyed(person, "k", body, call=method, path=path))
    if "id}" in call:
        other = re.sub(r"\d+", r"1\g<0>", path)
        answer = await keyed(person, "k", body, call=method, path=other)
        refused(answer, 422, "idempotency_key_reused")


async def test_a_replay_shows_the_first_answer_whatever_has_happened_since(ada: Person) -> None:
    first = await keyed(ada)
    assert led_to(first) == f"/tasks/{first.json()['id']}"
    assert first.headers["etag"] == '"1"'
    path = f"/tasks/{first.json()['id']}"
    await ada.patch(path, {"title": "Buy bread"})
    await ada.delete(path)
    assert same(first, await keyed(ada))
    assert same(first, await keyed(ada, '"k"'))
    assert await ada.titles() == []


async def test_twins_are_done_once(ada: Person, bob: Person) -> None:
    answers = await asyncio.gather(*(keyed(ada) for _ in range(8)), *(keyed(bob) for _ in range(8)))
    for twins, person in ((answers[:8], ada), (answers[8:], bob)):
        (first,) = [answer for answer in twins if "idempotency-replayed" not in answer.headers]
        assert all(same(first, twin) for twin in twins if twin is not first)
        assert first.json()["owner_id"] == person.id
        assert await person.titles() == ["Buy milk"]


async def test_a_twin_that_waits_too_long_is_told_to_come_back(
    core: Core, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", 0.01)
    begun, go_on = asyncio.Event(), asyncio.Event()
    create = type(core.tasks).create

    async def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await create(self, *args, **kwargs)

    monkeypatch.setattr(type(core.tasks), "create", slow)
    first = asyncio.create_task(keyed(ada))
    await begun.wait()
    answer = await keyed(ada)
    refused(answer, 409, "idempotency_in_progress")
    assert answer.headers["retry-after"] == "1"
    go_on.set()
    assert same(await first, await keyed(ada))


async def test_a_key_belongs_to_one_request(ada: Person) -> None:
    task = (await keyed(ada)).json()
    there = f"/tasks/{task['id']}"
    others: list[tuple[object, dict[str, Any]]] = [
        ({**TASK, "title": "Buy bread"}, {}),
        (TASK, {"call": "PATCH", "path": there}),
        (TASK, {"call": "PUT", "path": there}),
        (None, {"call": "DELETE", "path": there}),
    ]
    for body, more in others:
        answer = await keyed(ada, body=body, **more)
        (error,) = refused(answer, 422, "idempotency_key_reused")["errors"]
        assert error["parameter"] == "Idempotency-Key"
    # What has the same content in other bytes is another request: no guess is made.
    spaced = '{"title":  "Buy milk", "labels": ["home"]}'
    answer = await ada.ask("POST", "/tasks", content=spaced, headers={"Idempotency-Key": "k"})
    refused(answer, 422, "idempotency_key_reused")
    edit: dict[str, Any] = {"call": "PATCH", "path": there, "body": {"title": "x"}}
    await keyed(ada, "edit", **edit, If_Match='"1"')
    refused(await keyed(ada, "edit", **edit), 422, "idempotency_key_reused")
    refused(await keyed(ada, "edit", **edit, If_Match='"2"'), 422, "idempotency_key_reused")
    assert (await keyed(ada, "edit", **edit, If_Match='"1"')).json()["version"] == 2


async def test_a_refusal_is_not_kept(ada: Person) -> None:
    task = await ada.task()
    there = f"/tasks/{task['id']}"
    edit = {"call": "PATCH", "path": there}
    for _ in range(2):
        broken(await keyed(ada, body={"title": ""}), "/title")
        refused(await keyed(ada, body={"title": "x"}, **edit, If_Match='"9"'), 412, "stale_write")
        refused(await keyed(ada, call="DELETE", path="/tasks/99999", body=None), 404, "not_found")
    assert (await keyed(ada)).status_code == 201


async def test_a_key_says_nothing_to_others(ada: Person, bob: Person) -> None:
    """AZ-15: keys are each user's own; another's request neither fails nor sees an answer."""
    first, other = await keyed(ada), await keyed(bob)
    assert other.status_code == 201
    assert (other.json()["owner_id"], first.json()["owner_id"]) == (bob.id, ada.id)
    assert same(other, await keyed(bob))
    assert (await keyed(bob, "k2", body={"title": "his"})).status_code == 201
    assert (await keyed(ada, "k2", body={"title": "hers"})).status_code == 201


async def test_a_replay_needs_the_rights_of_now(core: Core, root: Person, ada: Person) -> None:
    """AZ-16: a kept answer needs a login and the role that the route asks for, as any other."""
    del core
    path = f"/users/{ada.id}"
    change: dict[str, Any] = {"call": "PATCH", "path": path, "body": {"full_name": "Countess"}}
    await root.patch(path, {"role": "admin"})
    assert (await keyed(ada, **change)).status_code == 200
    await root.patch(path, {"role": "user"})
    refused(await keyed(ada, **change), 403, "forbidden")
    assert (await keyed(ada, "own")).status_code == 201
    await ada.post("/auth/logout")
    refused(await keyed(ada, "own"), 401, "invalid_token")


@pytest.mark.parametrize(
    "key", ["", '""', '"k', '"k"l', '"k";x=1', '"a b"', '"a\\b"', "a b", "a, b", "k" * 256, "\x80"]
)
async def test_a_malformed_key_is_refused_before_anything_is_done(ada: Person, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {ada.token}".encode())]
    headers.append((b"Idempotency-Key", key.encode("latin-1")))
    answer = await ada.http.post(f"{V1}/tasks", headers=headers, json=TASK)
    assert broken(answer, "Idempotency-Key")["code"] == "malformed_key"
    assert await ada.titles() == []


async def test_a_quoted_key_is_the_same_as_a_bare_one(ada: Person) -> None:
    for bare, quoted in (("k", '"k"'), ("k" * 255, f'"{"k" * 255}"'), ("a\\b", '"a\\\\b"')):
        assert same(await keyed(ada, bare), await keyed(ada, quoted))


async def test_reading_and_auth_ignore_a_key(ada: Person) -> None:
    for key in ("k", "a b"):
        assert (await keyed(ada, key, None, call="GET")).status_code == 200
    for _ in range(2):
        answer = await keyed(ada, "k", {"full_name": "x"}, call="PATCH", path="/auth/me")
        assert answer.status_code == 200
        assert "idempotency-replayed" not in answer.headers


async def test_the_log_tells_what_was_done_and_what_was_replayed(
    ada: Person, events: list[Any]
) -> None:
    await keyed(ada)
    await keyed(ada)
    told = [(event["event"], event.get("replayed")) for event in events]
    assert told == [("task.created", None), ("request", None), ("request", True)]
