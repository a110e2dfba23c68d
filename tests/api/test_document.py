"""The OpenAPI document: valid, complete, and true."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, get_type_hints

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from taskapi.app import served_document
from taskapi.body_limits import LARGEST_BODY
from taskapi.problems import status_of
from taskapi.providers import ActorRequest, administers, anyone, logged_in
from taskcore import KeyInProgress, LogPosition, Role, TooMany, Unavailable, UserId, cursors
from taskcore.domain import rules
from taskcore.domain.rules import TextRule
from taskcore.usecases.changes import MAX_CHANGES
from taskcore.usecases.tasks import LABELS_OF_PAGE
from tests.api.conftest import SETTINGS, app_over, opened
from tests.api.doubles import FailingStore, failing_core
from tests.api.people import HEADERS, MISSING_ID, PASSWORD, V1, Person, join
from tests.conftest import ManualClock
from tests.guards import agree

Json = dict[str, Any]

PUBLIC, USER, ADMIN = "public", "user", "admin"
# Who may call what: every route, one by one.
ACCESS = {
    "POST /api/v1/auth/register": PUBLIC,
    "POST /api/v1/auth/login": PUBLIC,
    "POST /api/v1/auth/refresh": PUBLIC,
    "GET /api/v1/auth/me": USER,
    "PATCH /api/v1/auth/me": USER,
    "POST /api/v1/auth/delete-account": USER,
    "POST /api/v1/auth/password": USER,
    "POST /api/v1/auth/logout": USER,
    "POST /api/v1/auth/logout-all": USER,
    "GET /api/v1/auth/sessions": USER,
    "DELETE /api/v1/auth/sessions/{session_id}": USER,
    "GET /api/v1/auth/events": USER,
    "GET /api/v1/tasks": USER,
    "POST /api/v1/tasks": USER,
    "POST /api/v1/tasks/bulk": USER,
    "GET /api/v1/tasks/{task_id}": USER,
    "PUT /api/v1/tasks/{task_id}": USER,
    "PATCH /api/v1/tasks/{task_id}": USER,
    "DELETE /api/v1/tasks/{task_id}": USER,
    "GET /api/v1/tasks/{task_id}/history": USER,
    "POST /api/v1/tasks/{task_id}/revert": USER,
    "GET /api/v1/changes": USER,
    "GET /api/v1/changes/stream": USER,
    "GET /api/v1/labels": USER,
    "GET /api/v1/trash": USER,
    "POST /api/v1/trash/{task_id}/restore": USER,
    "DELETE /api/v1/trash/{task_id}": USER,
    "GET /api/v1/users": ADMIN,
    "POST /api/v1/users": ADMIN,
    "GET /api/v1/users/{user_id}": ADMIN,
    "PATCH /api/v1/users/{user_id}": ADMIN,
    "DELETE /api/v1/users/{user_id}": ADMIN,
    "DELETE /api/v1/users/{user_id}/sessions": ADMIN,
    "POST /api/v1/users/{user_id}/password": ADMIN,
    "GET /api/v1/audit": ADMIN,
    "GET /api/v1/openapi.json": PUBLIC,
    "GET /api/v1/docs": PUBLIC,
    "GET /api/v1/docs/assets/{name}": PUBLIC,
    "GET /api/v1/redoc": PUBLIC,
    "GET /": PUBLIC,
    "GET /livez": PUBLIC,
    "GET /readyz": PUBLIC,
}
NOT_OPERATIONS = {call for call in ACCESS if call == "GET /" or re.search("openapi|doc|z$", call)}
"""Routes of the documentation and of health checks, which the document leaves out."""

LIMITS = {"listLabels": LABELS_OF_PAGE, "listChanges": MAX_CHANGES}
"""How many items a page has at most, where it is not MAX_LIMIT."""

DOCUMENT: Json = json.loads(served_document(SETTINGS))


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def listed() -> Iterator[tuple[str, Json]]:
    """The operations with a level in ACCESS; one test names those without."""
    return ((call, operation) for call, operation in operations() if call in ACCESS)


def resolved(thing: Json) -> Json:
    if "$ref" not in thing:
        return thing
    found = DOCUMENT
    for step in thing["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def validator(schema: Json) -> Draft202012Validator:
    """For a schema of the document, with its references resolved."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def references(thing: object) -> Iterator[str]:
    if isinstance(thing, dict):
        if isinstance(thing.get("$ref"), str):
            yield thing["$ref"]
        for value in thing.values():
            yield from references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from references(value)


def test_it_is_an_openapi_document() -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31  # noqa: PLC0415 - takes a second

    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_names_of_the_operator_are_written_as_they_are() -> None:
    named = json.loads(served_document(replace(SETTINGS, app_name="Team View", app_version="View")))
    assert named["info"] == DOCUMENT["info"] | {"title": "Team View", "version": "View"}
    assert named | {"info": 0} == DOCUMENT | {"info": 0}
    assert not [name for name in DOCUMENT["components"]["schemas"] if name.endswith("View")]


def test_every_process_writes_the_same_document() -> None:
    """Otherwise its ETag would differ between workers, and the committed copy with every build."""
    program = [sys.executable, "-m", "taskcli", "openapi"]
    written = {subprocess.check_output(program) for _ in range(3)}  # noqa: S603 - ours
    assert len(written) == 1


def test_it_has_every_operation_and_nothing_else(any_app: Litestar) -> None:
    calls = {call for call, _ in handlers(any_app)}
    assert {call for call, _ in operations()} == calls - NOT_OPERATIONS


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = set(references(DOCUMENT))
    for reference in found:
        assert resolved({"$ref": reference})
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers", "examples")
        for name in DOCUMENT["components"][kind]
    }
    assert found == components


def test_every_operation_explains_itself() -> None:
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    for call, operation in operations():
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", operation["operationId"])
        assert re.fullmatch("[A-Z].*[^.]", operation["summary"]), call
        assert operation["description"], call
        assert [tag for tag in operation["tags"] if tags[tag]] == operation["tags"] != [], call
        for answer in operation["responses"].values():
            assert answer["description"]
    assert all(tags.values())


def test_every_parameter_explains_itself() -> None:
    for call, operation in operations():
        named = set(re.findall(r"{(\w+)}", call))
        parameters = operation.get("parameters", [])
        assert {p["name"] for p in parameters if p["in"] == "path"} == named
        assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters)
        for parameter in parameters:
            assert parameter["description"], (call, parameter["name"])
            assert parameter["required"] is (parameter["in"] == "path")
            Draft202012Validator.check_schema(parameter["schema"])
            assert "null" not in json.dumps(parameter["schema"])


def test_every_body_is_closed_and_has_an_example_that_fits() -> None:
    for call, operation in operations():
        if "requestBody" not in operation:
            continue
        assert operation["requestBody"]["required"] is True
        (media,) = operation["requestBody"]["content"].items()
        assert media[0] == "application/json"
        schema = resolved(media[1]["schema"])
        assert schema["additionalProperties"] is False, call
        assert schema["examples"]
        for example in schema["examples"]:
            validator(schema).validate(example)


def test_everything_shown_has_an_example_that_fits() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            validator(schema).validate(example)
        if "enum" not in schema:
            assert schema["examples"]


def test_refusals_are_problems_and_successes_are_json() -> None:
    for call, operation in operations():
        for status, answer in operation["responses"].items():
            assert "X-Request-Id" in answer["headers"]
            content = answer.get("content", {})
            if status in {"204", "304"}:
                assert not content
                continue
            (media,) = content.items()
            problem = ("application/problem+json", "#/components/schemas/Problem")
            is_problem = (media[0], media[1]["schema"].get("$ref")) == problem
            assert is_problem is (int(status) >= 400), call
        for status, header in (("401", "WWW-Authenticate"), ("503", "Retry-After")):
            assert header in operation["responses"].get(status, {"headers": header})["headers"]


def test_each_refusal_has_an_example_of_its_own() -> None:
    details = set()
    for call, operation in operations():
        for status, answer in operation["responses"].items():
            for media in answer.get("content", {}).values():
                for code, example in media.get("examples", {}).items():
                    shown = resolved(example)["value"]
                    validator(media["schema"]).validate(shown)
                    assert (shown["code"], str(shown["status"])) == (code, status), call
                    details.add((shown["detail"], json.dumps(shown.get("errors"))))
    assert len(details) > 20


def test_an_edit_is_shown_with_a_field_or_two() -> None:
    for _, operation in operations():
        schema = resolved(operation.get("requestBody", {}).get("content", {}).get(
            "application/json", {}).get("schema", {}))  # fmt: skip
        if schema and not schema.get("required"):
            assert 1 <= len(schema["examples"][0]) <= 2


def test_it_says_who_may_call_what() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "security" not in DOCUMENT
    for call, operation in listed():
        level = ACCESS[call]
        # An empty list is said, because a linter takes an operation without one for a mistake.
        assert operation["security"] == ([] if level == PUBLIC else [{"bearer": []}])
        # A login and a refresh are public, and refuse with 401 too.
        assert level == PUBLIC or "401" in operation["responses"]
        assert level != ADMIN or "403" in operation["responses"]


def test_operations_are_in_the_order_in_which_people_use_them() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    for used_in_turn in (
        "register logIn refresh me changeProfile listSessions logOut deleteAccount",
        "createTask listTasks getTask editTask deleteTask changeTasks listLabels listTrash",
        "restoreTask getTaskHistory revertTask listChanges createUser listUsers listEvents",
    ):
        expected = used_in_turn.split()
        assert [name for name in names if name in expected] == expected


def bounds(rule: TextRule) -> Json:
    return {"minLength": rule.min, "maxLength": rule.max}


def test_limits_are_those_of_the_domain() -> None:
    texts = {
        "title": rules.TITLE,
        "description": rules.DESCRIPTION,
        "full_name": rules.FULL_NAME,
        "time_zone": rules.TIME_ZONE,
        "email": rules.EMAIL,
        "password": rules.PASSWORD,
    }
    others = {"Credentials", "AccountDeletion", "Problem"}  # only compared, or something else
    seen = set()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            options = described.get("anyOf", [described])
            strings = [option for option in options if option.get("type") == "string"]
            if field in texts and name not in others:
                (text,) = strings
                assert bounds(texts[field]).items() <= text.items(), (name, field)
                seen.add(field)
            if field in {"id", "owner_id", "version"} and described.get("format") != "uuid":
                assert (described["minimum"], described["maximum"]) == (1, rules.MAX_ID)
    assert seen == set(texts)
    numbers = {"skip": (0, rules.MAX_SKIP), "limit": (1, rules.MAX_LIMIT)}
    numbers |= dict.fromkeys(["owner_id", "task_id", "user_id", "user"], (1, rules.MAX_ID))
    found = set()
    for _, operation in operations():
        for parameter in operation.get("parameters", []):
            most = LIMITS.get(operation["operationId"])
            if most and parameter["name"] == "limit":
                assert parameter["schema"]["maximum"] == most
            elif bound := numbers.get(parameter["name"]):
                schema = parameter["schema"]
                assert (schema["minimum"], schema["maximum"]) == bound
                found.add(parameter["name"])
    assert found == set(numbers)


def test_patterns_refuse_what_the_domain_refuses() -> None:
    for schema, field, rule in (
        ("TaskDraft", "title", rules.TITLE),
        ("TaskDraft", "description", rules.DESCRIPTION),
        ("Registration", "full_name", rules.FULL_NAME),
    ):
        described = DOCUMENT["components"]["schemas"][schema]["properties"][field]
        text = next(o for o in described.get("anyOf", [described]) if o.get("type") == "string")
        for number in (*range(0x110), 0x2028, 0xFEFF, 0x1F600):
            sample = f"a{chr(number)}b"
            fits = re.search(text["pattern"], sample) is not None
            assert fits is (rule.problem(sample) is None), (field, number)


def handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                yield f"{method} {route.path_format}", handler


@pytest.fixture
def any_app(clock: ManualClock) -> Litestar:
    core, _ = failing_core(clock)
    return app_over(core)


def test_every_route_is_meant_to_be_there(any_app: Litestar) -> None:
    """AZ-3: no route and no method but those of the table."""
    calls = {call for call, _ in handlers(any_app)}
    where = "ACCESS in tests/api/test_document.py"
    agree(calls, ACCESS, where, "add it with PUBLIC, USER or ADMIN")


def test_the_guard_of_each_route_is_what_the_table_says(any_app: Litestar) -> None:
    for call, handler in handlers(any_app):
        if call not in ACCESS:
            continue
        before = {PUBLIC: anyone, ADMIN: administers}.get(ACCESS[call], logged_in)
        assert handler.resolve_before_request() is before, call


def test_the_handlers_that_take_an_actor_are_those_behind_a_login(any_app: Litestar) -> None:
    asking = {
        call
        for call, handler in handlers(any_app)
        if ActorRequest in get_type_hints(handler.fn).values() and call in ACCESS
    }
    assert asking == {call for call, level in ACCESS.items() if level != PUBLIC}


class Reached:
    """Sends requests, checks each response against the document, and notes its status."""

    def __init__(self) -> None:
        self.statuses: set[str] = set()

    async def ask(self, person: Person, call: str, body: object = None, **more: Any) -> Any:
        """`more` for `Person.ask`, or the id in the path as `id`."""
        method, path = call.split(" ")
        there = path.removeprefix(V1)
        there = re.sub(r"{\w+}", str(more.pop("id", MISSING_ID)), there) + more.pop("query", "")
        answer = await person.ask(method, there, body, **more)
        described = DOCUMENT["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in described, (call, answer.text)
        assert answer.headers.items() >= HEADERS.items(), (call, answer.headers)
        assert not {"set-cookie", "x-powered-by"} & answer.headers.keys()
        documented = described[str(answer.status_code)]
        for name in documented["headers"].keys() - {"Idempotency-Replayed"}:
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


@pytest.fixture
async def failing(clock: ManualClock) -> AsyncIterator[tuple[Person, Person, FailingStore]]:
    core, store = failing_core(clock)
    async with opened(app_over(core)) as http:
        yield (
            await join(core, http, "root", Role.ADMIN),
            await join(core, http, "ada"),
            store,
        )


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
    reached, anybody = Reached(), Person(root.http)
    await _successes_and_states(reached, root, ada)
    await _bulks(reached, ada)
    for call, operation in listed():
        level, has_body = ACCESS[call], "requestBody" in operation
        person = anybody if level == PUBLIC else root
        if level != PUBLIC:
            await reached.ask(anybody, call)
            twice = [("Authorization", f"Bearer {root.token}")] * 2
            path = re.sub(r"{\w+}", "1", call.split(" ")[1])
            answer = await root.http.request(call.split(" ")[0], path, headers=twice)
            reached.statuses.add(f"{call} {answer.status_code}")
        if level == ADMIN:
            await reached.ask(ada, call)
        if has_body:
            await reached.ask(person, call, content=b"{")
            await reached.ask(person, call, content=b"{}", headers={"Content-Type": "text/plain"})
            await reached.ask(person, call, content=b"x" * (LARGEST_BODY + 1))
            await reached.ask(person, call, {"unknown": 1})
        elif "422" in operation["responses"]:
            await reached.ask(person, call, query="?limit=x")
        if "{" in call:
            await reached.ask(person, call, {} if has_body else None)
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
    agree(documented, seen, where, "provoke it, or take it out of MAY_REFUSE")


def _example(operation: Json) -> Any:
    if "requestBody" not in operation:
        return None
    media = operation["requestBody"]["content"]["application/json"]
    return resolved(media["schema"])["examples"][0]


async def _successes_and_states(reached: Reached, root: Person, ada: Person) -> None:
    ask, anybody = reached.ask, Person(root.http)
    bob = {"email": "bob@example.org", "password": PASSWORD}
    for _ in range(2):
        await ask(anybody, "POST /api/v1/auth/register", bob)
        await ask(root, "POST /api/v1/users", bob | {"email": "eve@example.org"})
    tokens = (await ask(anybody, "POST /api/v1/auth/login", bob)).json()
    await ask(anybody, "POST /api/v1/auth/login", bob | {"password": "wrong"})
    for token in (tokens["refresh_token"], "tcr_x"):
        await ask(anybody, "POST /api/v1/auth/refresh", {"refresh_token": token})
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
        tokens = (await ask(anybody, "POST /api/v1/auth/login", bob)).json()
        await ask(Person(root.http, tokens["access_token"]), call)
    tokens = (await ask(anybody, "POST /api/v1/auth/login", bob)).json()
    await ask(root, "POST /api/v1/auth/delete-account", {"password": PASSWORD})
    gone = Person(root.http, tokens["access_token"])
    await ask(gone, "POST /api/v1/auth/delete-account", {"password": PASSWORD})
    labelled = {"title": "x", "labels": ["home", "garden"]}
    task, other = [(await ask(ada, "POST /api/v1/tasks", labelled)).json()["id"] for _ in "ab"]
    await ask(ada, "GET /api/v1/tasks", query="?limit=1")
    await ask(ada, "GET /api/v1/tasks", query=f"?owner_id={MISSING_ID}")
    one = "/api/v1/tasks/{task_id}"
    await ask(ada, f"GET {one}", id=task)
    await ask(ada, f"GET {one}", id=task, headers={"If-None-Match": "*"})
    await _history_and_changes(ask, ada, task)
    for method, body in (("PUT", {"title": "y"}), ("PATCH", {"title": "z"}), ("DELETE", None)):
        await ask(ada, f"{method} {one}", body, id=task, headers={"If-Match": '"9"'})
        await ask(ada, f"{method} {one}", body, id=task)
    await ask(ada, "GET /api/v1/labels", query="?limit=1")
    await ask(ada, f"DELETE {one}", id=other)
    await ask(ada, "GET /api/v1/trash", query="?limit=1")
    for call in ("GET /api/v1/trash", "GET /api/v1/labels"):
        await ask(ada, call, query=f"?owner_id={MISSING_ID}")
    await ask(ada, "POST /api/v1/trash/{task_id}/restore", id=task)
    await ask(ada, f"DELETE {one}", id=task)
    await ask(ada, "DELETE /api/v1/trash/{task_id}", id=task)
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
    for version, held in ((1, '"9"'), (99, "*"), (1, "*")):
        revert = {"version": version}
        await ask(ada, f"POST {one}/revert", revert)
        await ask(ada, f"POST {one}/revert", revert, id=task, headers={"If-Match": held})
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
    await ask(root, call, {"one_time": True})
    made = await ask(root, call, {"one_time": True}, id=user_id)
    await ask(root, "DELETE /api/v1/users/{user_id}/sessions", id=user_id)
    again = {"email": "again@example.org", "password": made.json()["one_time_password"]}
    await ask(Person(root.http), "POST /api/v1/auth/login", again)


async def join_again(ask: Any, root: Person) -> int:
    body = {"email": "again@example.org", "password": PASSWORD}
    made: int = (await ask(root, "POST /api/v1/users", body)).json()["id"]
    return made


async def again(person: Person) -> Person:
    """The person with a new login, because some calls end a session."""
    credentials = {"email": person.email, "password": PASSWORD}
    tokens = (await Person(person.http).post("/auth/login", credentials)).json()
    return replace(person, token=tokens["access_token"])


@pytest.mark.anyio
async def test_access_is_what_the_table_says(
    failing: tuple[Person, Person, FailingStore],
) -> None:
    """AZ-3: 401 without a token, 403 for users where only administrators may, body unread."""
    root, ada, _ = failing
    anybody = Person(root.http)
    for call, level in ACCESS.items():
        method, path = call.split(" ")
        there = re.sub(r"{\w+}", str(MISSING_ID), path)
        statuses = []
        for person in (anybody, await again(ada), await again(root)):
            sent = {"Authorization": f"Bearer {person.token}"} if person.token else {}
            body = None if method == "GET" else {"unknown": 1}
            # Of a cursor that is none: a stream would not end.
            where = f"{there}?cursor=x" if there.endswith("/stream") else there
            answer = await root.http.request(method, where, headers=sent, json=body)
            statuses.append(answer.status_code)
        assert (statuses[0] == 401) is (level != PUBLIC), call
        assert (statuses[1] == 403) is (level == ADMIN), call
        assert not {401, 403} & set(statuses[2:]), call
