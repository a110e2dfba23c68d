"""Every status that the document names occurs, and each answer is as it says."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from taskapi.body_limits import LARGEST_BODY
from taskapi.problems import status_of
from taskcore import KeyInProgress, LogPosition, TooMany, Unavailable, UserId, cursors
from tests.api.access import ACCESS, BODIES, PUBLIC, REQUESTS, call_of
from tests.api.documented import DOCUMENT, Json, listed, resolved, validator
from tests.api.doubles import FailingStore
from tests.api.people import HEADERS, MISSING_ID, V1, Person, again
from tests.factories import PASSWORD
from tests.guards import agree
from tests.test_policy_matrix import CASES, FORBIDDEN, IN_TRASH, filled


class Reached:
    """Sends requests, checks each response against the document, and notes its status."""

    def __init__(self) -> None:
        self.statuses: set[str] = set()

    async def ask(self, person: Person, call: str, body: object = None, **more: Any) -> Any:
        """`more` is for `Person.ask`, or the id in the path as `id`."""
        method, path = call.split(" ")
        there = path.removeprefix(V1)
        there = re.sub(r"{\w+}", str(more.pop("id", MISSING_ID)), there) + more.pop("query", "")
        return self._noted(call, await person.ask(method, there, body, **more))

    async def request(
        self, person: Person, request: tuple[str, str, Any], names: dict[str, object], **more: Any
    ) -> None:
        """One of REQUESTS, with these names in its braces. `more` is for `Person.ask`."""
        method, path, body = request
        sent = filled(body, names)
        answer = await person.ask(method, path.format(**names), sent, **more)
        self._noted(call_of(method, path), answer)

    def _noted(self, call: str, answer: httpx.Response) -> httpx.Response:
        method, path = call.split(" ")
        described = DOCUMENT["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in described, (call, answer.text)
        assert answer.headers.items() >= HEADERS.items(), (call, answer.headers)
        assert not {"set-cookie", "x-powered-by"} & answer.headers.keys()
        documented = described[str(answer.status_code)]
        absent = {"Idempotency-Replayed"}
        if '"next_cursor":null' in answer.text:
            absent.add("Link")
        for name in documented["headers"].keys() - absent:
            assert name.lower() in answer.headers
        if "content" in documented:
            (schema,) = [media["schema"] for media in documented["content"].values()]
            if "text/event-stream" not in documented["content"]:
                validator(schema).validate(answer.json())
            if answer.is_error:
                (media,) = documented["content"].values()
                assert answer.json()["code"] in media["examples"], call
        self.statuses.add(f"{call} {answer.status_code}")
        return answer


async def _task(person: Person, action: str) -> int:
    """The id of a new one, in the trash if the action looks for it there."""
    task: int = (await person.task())["id"]
    if action in IN_TRASH:
        await person.delete(f"/tasks/{task}")
    return task


async def _requests_for_a_task(reached: Reached, ada: Person) -> None:
    """Each of the table of policies; a write to a version that is not the stored one, too."""
    for action, request in REQUESTS:
        if "{task}" not in request[1]:
            continue
        task = await _task(ada, action)
        if request[0] != "GET":
            await reached.request(ada, request, {"task": task}, headers={"If-Match": '"9"'})
        await reached.request(ada, request, {"task": task})


async def _forbidden(reached: Reached, root: Person, ada: Person) -> None:
    """Each of the table of policies that is forbidden to users, or to administrators."""
    for action, request in REQUESTS:
        for case in CASES:
            if (case.action, case.outcome) != (action, FORBIDDEN) or case.role == "system":
                continue
            person, other = (root, ada) if case.role == "admin" else (ada, root)
            owner = other if case.whose == "another's" else person
            names: dict[str, object] = {"task": MISSING_ID, "user": MISSING_ID, "email": "x@y.org"}
            if case.whose != "missing":
                names |= {"user": owner.id, "task": await _task(owner, action)}
            await reached.request(person, request, names)


async def _bulks(reached: Reached, ada: Person) -> None:
    call = "POST /api/v1/tasks/bulk"
    create: Json = {"op": "create", "task": {"title": "x"}}
    made = await reached.ask(ada, call, {"operations": [create]})
    stale = {"op": "delete", "id": made.json()["items"][0]["id"], "version": 9}
    for operation in (stale, {"op": "delete", "id": MISSING_ID}):
        await reached.ask(ada, call, {"operations": [operation]})


@pytest.mark.anyio
async def test_every_documented_status_occurs(
    failing: tuple[Person, Person, FailingStore],
) -> None:
    """HD-1, BR-6, CS-1: each with the security headers, no cookie, and nothing that is cached."""
    root, ada, store = failing
    reached, stranger = Reached(), Person(root.http)
    await _successes_and_states(reached, root, ada)
    await _requests_for_a_task(reached, ada)
    await _forbidden(reached, root, ada)
    await _bulks(reached, ada)
    for call, operation in listed():
        level, has_body = ACCESS[call], "requestBody" in operation
        person = stranger if level == PUBLIC else root
        if level != PUBLIC:
            await reached.ask(stranger, call)
            twice = [("Authorization", f"Bearer {root.token}")] * 2
            path = re.sub(r"{\w+}", "1", call.split(" ")[1])
            answer = await root.http.request(call.split(" ")[0], path, headers=twice)
            reached.statuses.add(f"{call} {answer.status_code}")
        if has_body:
            await reached.ask(person, call, content=b"{")
            await reached.ask(person, call, content=b"{}", headers={"Content-Type": "text/plain"})
            await reached.ask(person, call, content=b"x" * (LARGEST_BODY + 1))
            await reached.ask(person, call, {"unknown": 1})
        elif "422" in operation["responses"]:
            await reached.ask(person, call, query="?limit=x")
        if "{" in call:  # an id that is missing
            await reached.ask(person, call, BODIES[call])
        for error in (RuntimeError("x"), Unavailable(), TooMany(), KeyInProgress()):
            status = "500" if isinstance(error, RuntimeError) else str(status_of(type(error)))
            takes_key = "Idempotency-Replayed" in json.dumps(operation)
            if status not in operation["responses"] or (status == "409" and not takes_key):
                continue
            store.error = error
            await reached.ask(person, call, _example(operation))
            store.error = None
    documented = {f"{call} {status}" for call, found in listed() for status in found["responses"]}
    where = "what test_every_documented_status_occurs has seen"
    seen = {status for status in reached.statuses if status.rpartition(" ")[0] in ACCESS}
    undocumented = "but the document has it not: add its refusal to MAY_REFUSE of its handler"
    agree(
        documented,
        seen,
        where,
        "provoke it, or take it out of MAY_REFUSE",
        outlived=undocumented,
    )


def _example(operation: Json) -> Any:
    if "requestBody" not in operation:
        return None
    media = operation["requestBody"]["content"]["application/json"]
    return resolved(media["schema"])["examples"][0]


async def _successes_and_states(reached: Reached, root: Person, ada: Person) -> None:
    ask, stranger = reached.ask, Person(root.http)
    bob = {"email": "bob@example.org", "password": PASSWORD}
    for _ in range(2):
        await ask(stranger, "POST /api/v1/auth/register", bob)
        await ask(root, "POST /api/v1/users", bob | {"email": "eve@example.org"})
    tokens = (await ask(stranger, "POST /api/v1/auth/login", bob)).json()
    await ask(stranger, "POST /api/v1/auth/login", bob | {"password": "wrong"})
    for token in (tokens["refresh_token"], "tcr_x"):
        await ask(stranger, "POST /api/v1/auth/refresh", {"refresh_token": token})
    await ask(ada, "GET /api/v1/auth/me")
    await ask(ada, "PATCH /api/v1/auth/me", {"full_name": "Ada"})
    bob_in = Person(root.http, tokens["access_token"])
    change = {"current_password": PASSWORD, "new_password": PASSWORD}
    await ask(bob_in, "POST /api/v1/auth/password", change)
    await ask(bob_in, "POST /api/v1/auth/password", change | {"current_password": "wrong"})
    await ask(bob_in, "GET /api/v1/auth/events", query="?limit=1")
    sessions = (await ask(bob_in, "GET /api/v1/auth/sessions")).json()["items"]
    one = "DELETE /api/v1/auth/sessions/{session_id}"
    await ask(bob_in, one, id=sessions[0]["id"])
    for call in ("POST /api/v1/auth/logout", "POST /api/v1/auth/logout-all"):
        tokens = (await ask(stranger, "POST /api/v1/auth/login", bob)).json()
        await ask(Person(root.http, tokens["access_token"]), call)
    tokens = (await ask(stranger, "POST /api/v1/auth/login", bob)).json()
    await ask(root, "POST /api/v1/auth/delete-account", {"password": PASSWORD})
    gone = Person(root.http, tokens["access_token"])
    await ask(gone, "POST /api/v1/auth/delete-account", {"password": PASSWORD})
    labelled = {"title": "x", "labels": ["home", "garden"]}
    task, other = [(await ask(ada, "POST /api/v1/tasks", labelled)).json()["id"] for _ in "ab"]
    await ask(ada, "GET /api/v1/tasks", query="?limit=1")
    one = "/api/v1/tasks/{task_id}"
    await ask(ada, f"GET {one}", id=task, headers={"If-None-Match": "*"})
    await _history_and_changes(ask, ada, task)
    await ask(ada, f"DELETE {one}", id=task)
    await ask(ada, "GET /api/v1/labels", query="?limit=1")
    await ask(ada, f"DELETE {one}", id=other)
    await ask(ada, "GET /api/v1/trash", query="?limit=1")
    await ask(root, "GET /api/v1/users", query="?limit=1")
    one = "/api/v1/users/{user_id}"
    await ask(root, f"GET {one}", id=ada.id)
    await ask(root, f"PATCH {one}", {"full_name": "x"}, id=ada.id)
    await ask(root, f"PATCH {one}", {"role": "user"}, id=root.id)
    await ask(root, f"DELETE {one}", id=root.id)
    await ask(root, "GET /api/v1/audit", query="?limit=1")
    eve = await join_again(ask, root)
    await _one_time_password(ask, root, eve)
    await ask(root, f"DELETE {one}", id=eve)


async def _history_and_changes(ask: Any, ada: Person, task: int) -> None:
    one = "/api/v1/tasks/{task_id}"
    await ask(ada, f"PATCH {one}", {"title": "w"}, id=task)
    await ask(ada, f"GET {one}/history", id=task, query="?limit=1")
    await ask(ada, f"POST {one}/revert", {"version": 99}, id=task)
    cursor = (await ask(ada, "GET /api/v1/changes")).json()["cursor"]
    beyond = cursors.changes(UserId(ada.id)).at(LogPosition(1, 99))
    for place in (cursor, beyond):
        await ask(ada, "GET /api/v1/changes", query=f"?cursor={place}")
    follower = await again(ada)
    stream = asyncio.create_task(ask(follower, "GET /api/v1/changes/stream"))
    for _ in range(500):  # rounds of the event loop, until the stream has begun
        await asyncio.sleep(0)
    await follower.post("/auth/logout")  # which ends it
    await stream


async def _one_time_password(ask: Any, root: Person, user_id: int) -> None:
    call = "POST /api/v1/users/{user_id}/password"
    made = await ask(root, call, {"one_time": True}, id=user_id)
    await ask(root, "DELETE /api/v1/users/{user_id}/sessions", id=user_id)
    again = {"email": "again@example.org", "password": made.json()["one_time_password"]}
    await ask(Person(root.http), "POST /api/v1/auth/login", again)


async def join_again(ask: Any, root: Person) -> int:
    body = {"email": "again@example.org", "password": PASSWORD}
    made: int = (await ask(root, "POST /api/v1/users", body)).json()["id"]
    return made
