"""A client cannot write what the operation does not offer."""

from collections.abc import Collection
from typing import Any

import pytest

from taskcore.adapters.memory import MemoryStore
from taskcore.domain.tasks import NewTaskFields, TaskChanges
from taskcore.domain.users import ProfileChanges, UserChanges
from taskcore.ports import Store
from tests.api.access import REQUESTS, call_of
from tests.api.documented import DOCUMENT, operations, resolved
from tests.api.people import V1, Person, broken
from tests.factories import PASSWORD
from tests.guards import agree
from tests.test_policy_matrix import filled

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> Store:
    """In memory alone: what is tested here is decided before a store is asked."""
    return MemoryStore()


# Every property of every schema, and names that other software would take.
FIELDS = {name for schema in DOCUMENT["components"]["schemas"].values() for name in
          schema.get("properties", {})} | {
    *("is_admin", "is_superuser", "user_id", "email_verified", "hashed_password", "password_hash"),
    *("Role", "ROLE", "role ", "role[]", "user.role", "isActive", "$set", "__proto__", "token", ""),
}  # fmt: skip
# Bodies that would succeed, for each write: those of the table of policies, and of public calls.
BODIES: dict[str, list[dict[str, Any]]] = {
    "POST /auth/register": [{"email": "x@example.org", "password": PASSWORD}],
    "POST /auth/login": [{"email": "root@example.org", "password": PASSWORD}],
    "POST /auth/refresh": [{"refresh_token": "tcr_x"}],
}
for _, (method, path, body) in REQUESTS:
    if body is not None:
        BODIES.setdefault(call_of(method, path).replace(V1, ""), []).append(body)
TASK, PROFILE = TaskChanges.__annotations__, ProfileChanges.__annotations__
ACCOUNT = UserChanges.__annotations__ | PROFILE
# What else a write may offer. It may offer less of that.
MORE: dict[str, Collection[str]] = {
    "POST /auth/register": PROFILE,
    "POST /auth/login": {"new_password"},
    "PATCH /auth/me": PROFILE,
    "POST /tasks": TASK,
    "PUT /tasks/{task_id}": TASK,
    "PATCH /tasks/{task_id}": TASK,
    "POST /users": ACCOUNT,
    "PATCH /users/{user_id}": ACCOUNT,
}  # what an operation of a bulk may hold is tested in test_bulk.py


def offers() -> dict[str, set[str]]:
    """What each write takes, by the document."""
    return {
        call.replace(V1, ""): set(resolved(media["schema"])["properties"])
        for call, operation in operations()
        for media in operation.get("requestBody", {"content": {}})["content"].values()
    }


def shows() -> dict[str, set[str]]:
    """The fields of what each write answers with, by the document."""
    return {
        call.replace(V1, ""): set(resolved(media["schema"]).get("properties", ()))
        for call, operation in operations()
        for status, answer in operation["responses"].items()
        if status in {"200", "201"}
        for media in answer["content"].values()
    }


def test_a_write_offers_what_it_is_meant_to_offer() -> None:
    """AZ-7: nothing but what a domain type of changes has, and the credentials."""
    where = "OVER_HTTP in tests/test_policy_matrix.py"
    agree(offers(), BODIES, where, "add its request with a body")
    where = "MORE in tests/api/test_mass_assignment.py"
    assert offers().keys() >= MORE.keys(), where
    for call, offered in offers().items():
        sent = {field for body in BODIES[call] for field in body}
        unmeant = offered - sent - set(MORE.get(call, ()))
        assert not unmeant, f"{call} offers {unmeant}: if it may, add it to {where}"
        assert offered >= sent, call
    for draft, fields in (("POST /tasks", NewTaskFields), ("PATCH /tasks/{task_id}", TaskChanges)):
        where = f"the body of {draft} (taskapi/task_views.py)"
        outlived = f"but not in {fields.__name__} (taskcore/domain/tasks.py): remove one, or add it"
        agree(
            fields.__annotations__, offers()[draft], where, "add it to the type", outlived=outlived
        )


async def test_what_a_body_does_not_offer_is_refused_and_changes_nothing(
    root: Person, ada: Person
) -> None:
    """AZ-7: 422 for every other field, however it is spelt, and for those only shown."""
    task = await root.task()
    before, shown = await _everything(root), shows()
    names = {"task": task["id"], "email": "x@example.org"}
    for call, offered in offers().items():
        if call not in BODIES:
            continue
        method, path = call.format(task_id=task["id"], user_id=ada.id).split(" ")
        body = filled(BODIES[call][0], names)
        for field in FIELDS - offered:
            answer = await root.ask(method, path, {**body, field: "x"})
            code = "read_only" if field in shown.get(call, ()) else "unknown_field"
            assert broken(answer, f"/{field}")["code"] == code, (path, field)
    assert await _everything(root) == before


async def test_queries_and_other_headers_write_nothing(root: Person, ada: Person) -> None:
    """AZ-7: neither a query nor a header that names another method."""
    task = await ada.task()
    before = await _everything(root)
    override = {"X-HTTP-Method-Override": "DELETE"}
    for path, name in (("/auth/me", "role"), (f"/tasks/{task['id']}", "owner_id")):
        assert (await ada.ask("PATCH", path, {}, headers=override)).status_code == 200
        answer = await ada.ask("PATCH", f"{path}?{name}=1", {}, headers=override)
        assert broken(answer, name)["code"] == "unknown_parameter"
    assert await _everything(root) == before


async def _everything(root: Person) -> Any:
    return [(await root.get(path)).json() for path in ("/users", "/tasks", "/auth/me")]
