"""Nobody writes what the operation does not offer."""

from typing import Any

import pytest

from tests.api.people import PASSWORD, Person, broken

pytestmark = pytest.mark.anyio

PRIVILEGED: dict[str, Any] = {
    "id": 1,
    "role": "admin",
    "is_active": False,
    "is_admin": True,
    "is_superuser": True,
    "owner_id": 1,
    "user_id": 1,
    "version": 99,
    "email": "other@example.org",
    "email_verified": True,
    "password": "another horse",
    "hashed_password": "x",
    "password_hash": "x",
    "created_at": "2000-01-01T00:00:00Z",
    "updated_at": "2000-01-01T00:00:00Z",
    "title": "x",
    "description": "x",
    "full_name": "x",
    "token": "x",
    "__proto__": {},
    "": "x",
}
# What each write takes, and a body that would succeed.
WRITES = [
    ("POST", "/auth/register", {"email": "x@example.org", "password": PASSWORD}, {"full_name"}),
    ("POST", "/auth/login", {"email": "root@example.org", "password": PASSWORD}, set()),
    ("POST", "/auth/refresh", {"refresh_token": "tcr_x"}, set()),
    ("PATCH", "/auth/me", {}, {"full_name"}),
    ("POST", "/auth/password", {"current_password": PASSWORD, "new_password": PASSWORD}, set()),
    ("POST", "/auth/delete-account", {"password": PASSWORD}, set()),
    ("POST", "/tasks", {"title": "x"}, {"description"}),
    ("PUT", "/tasks/{task}", {}, {"title", "description"}),
    ("PATCH", "/tasks/{task}", {}, {"title", "description"}),
    ("POST", "/users", {"email": "x@example.org", "password": PASSWORD}, {"full_name", "role"}),
    ("PATCH", "/users/{user}", {}, {"full_name", "role", "is_active"}),
]


async def test_what_a_body_does_not_offer_is_refused_and_changes_nothing(
    root: Person, ada: Person
) -> None:
    task = await root.task()
    before = await _everything(root)
    for method, path, body, offered in WRITES:
        for field, value in PRIVILEGED.items():
            if field in body or field in offered:
                continue
            there = path.format(task=task["id"], user=ada.id)
            answer = await root.ask(method, there, {**body, field: value})
            assert broken(answer, f"/{field}")["code"] == "unknown_field", (path, field)
    assert await _everything(root) == before


async def _everything(root: Person) -> Any:
    return [(await root.get(path)).json() for path in ("/users", "/tasks", "/auth/me")]


async def test_every_write_is_in_the_table(root: Person) -> None:
    document = (await root.get("/openapi.json")).json()
    writes = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    named = {"task": "{task_id}", "user": "{user_id}"}
    assert writes == {(method, path.format(**named)) for method, path, _, _ in WRITES}
