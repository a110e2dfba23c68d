"""A client cannot write what the operation does not offer."""

from collections.abc import Collection
from typing import Any

import pytest

from taskcore.adapters.memory import MemoryStore
from taskcore.domain.tasks import NewTaskFields, TaskChanges
from taskcore.domain.users import ProfileChanges, UserChanges
from taskcore.ports import Store
from tests.api.documented import DOCUMENT, operations, resolved
from tests.api.people import Person, broken
from tests.factories import PASSWORD
from tests.guards import agree

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
# A body that would succeed, and what else the write may offer. What the document offers must be
# among those; it may be less.
TASK, PROFILE = TaskChanges.__annotations__, ProfileChanges.__annotations__
ACCOUNT = UserChanges.__annotations__ | PROFILE
WRITES: dict[str, tuple[dict[str, Any], Collection[str]]] = {
    "POST /auth/register": ({"email": "x@example.org", "password": PASSWORD}, PROFILE),
    "POST /auth/login": ({"email": "root@example.org", "password": PASSWORD}, {"new_password"}),
    "POST /auth/refresh": ({"refresh_token": "tcr_x"}, ()),
    "PATCH /auth/me": ({}, PROFILE),
    "POST /auth/password": ({"current_password": PASSWORD, "new_password": PASSWORD}, ()),
    "POST /auth/delete-account": ({"password": PASSWORD}, ()),
    "POST /tasks": ({"title": "x"}, TASK),
    # What an operation may hold is tested in test_bulk.py.
    "POST /tasks/bulk": ({"operations": [{"op": "restore", "id": 1}]}, ()),
    "PUT /tasks/{task_id}": ({}, TASK),
    "PATCH /tasks/{task_id}": ({}, TASK),
    "POST /tasks/{task_id}/revert": ({"version": 1}, {"version"}),
    "POST /users": ({"email": "x@example.org", "password": PASSWORD}, ACCOUNT),
    "PATCH /users/{user_id}": ({}, ACCOUNT),
    "POST /users/{user_id}/password": ({"password": PASSWORD}, {"one_time"}),
}


def offers() -> dict[str, set[str]]:
    """What each write takes, by the document."""
    return {
        call.replace("/api/v1", ""): set(resolved(media["schema"])["properties"])
        for call, operation in operations()
        for media in operation.get("requestBody", {"content": {}})["content"].values()
    }


def shows() -> dict[str, set[str]]:
    """The fields of what each write answers with, by the document."""
    return {
        call.replace("/api/v1", ""): set(resolved(media["schema"]).get("properties", ()))
        for call, operation in operations()
        for status, answer in operation["responses"].items()
        if status in {"200", "201"}
        for media in answer["content"].values()
    }


def test_a_write_offers_what_it_is_meant_to_offer() -> None:
    """AZ-7: nothing but what a domain type of changes has, and the credentials."""
    where = "WRITES in tests/api/test_mass_assignment.py"
    agree(offers(), WRITES, where, "add it with a body and what else it may offer")
    for call, offered in offers().items():
        body, more = WRITES[call]
        unmeant = offered - {*body, *more}
        assert not unmeant, f"{call} offers {unmeant}: if it may, add it to {where}"
        assert offered >= set(body), call
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
    for call, offered in offers().items():
        if call not in WRITES:
            continue
        method, path = call.format(task_id=task["id"], user_id=ada.id).split(" ")
        for field in FIELDS - offered:
            answer = await root.ask(method, path, {**WRITES[call][0], field: "x"})
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
