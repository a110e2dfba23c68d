"""All accounts, for administrators."""

import json
from urllib.parse import quote

import pytest

from taskcore import Core, Role
from tests.api.people import MISSING_ID, Person, broken, join, refused
from tests.conftest import ManualClock
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio

USER = {"id", "email", "full_name", "role", "is_active", "time_zone", "created_at", "updated_at"}


async def test_an_administrator_creates_accounts_of_any_role(
    anonymous: Person, root: Person
) -> None:
    for email, more in (
        ("a@x.org", {}),
        ("b@x.org", {"full_name": "Bob", "role": "user", "time_zone": "Asia/Tokyo"}),
        ("c@x.org", {"full_name": None, "role": "admin"}),
    ):
        body = {"email": email, "password": PASSWORD, **more}
        answer = await root.post("/users", body)
        assert answer.status_code == 201
        user = answer.json()
        assert set(user) == USER
        shown = {"full_name": None, "role": "user", "is_active": True, "time_zone": "UTC"}
        shown |= {"email": email} | more
        assert shown.items() <= user.items()
        assert (await root.get(f"/users/{user['id']}")).json() == user
        grant = await anonymous.post("/auth/login", {"email": email, "password": PASSWORD})
        assert grant.json()["user"] == user


async def test_an_address_has_one_account(root: Person, ada: Person) -> None:
    body = {"email": ada.email.title(), "password": PASSWORD}
    refused(await root.post("/users", body), 409, "email_taken")


async def test_a_role_is_one_of_two(root: Person, ada: Person) -> None:
    for role in ("root", "", "ADMIN", " admin", 1, None, ["admin"]):
        body = {"email": "x@example.org", "password": PASSWORD, "role": role}
        assert broken(await root.post("/users", body), "/role")
        assert broken(await root.patch(f"/users/{ada.id}", {"role": role}), "/role")
    assert (await root.get("/users?role=admin")).json()["total"] == 1


async def test_a_flag_is_true_or_false_and_nothing_like_it(root: Person, ada: Person) -> None:
    flags: list[object] = [0, 1, "false", "true", "", None, [], 0.0]
    for flag in flags:
        answer = await root.patch(f"/users/{ada.id}", {"is_active": flag})
        code = "not_nullable" if flag is None else "wrong_type"
        assert broken(answer, "/is_active")["code"] == code
    assert (await ada.get("/auth/me")).json()["is_active"] is True


async def test_a_list_is_an_envelope_newest_first(root: Person, ada: Person, bob: Person) -> None:
    page = (await root.get("/users")).json()
    ids = [user["id"] for user in page["items"]]
    assert ids == sorted((root.id, ada.id, bob.id), reverse=True)
    assert {name: page[name] for name in ("total", "skip", "limit")} == {
        "total": 3,
        "skip": 0,
        "limit": 100,
    }
    assert set(page) == {"items", "total", "skip", "limit", "next_cursor"}
    assert all(set(user) == USER for user in page["items"])
    page = (await root.get("/users?skip=1&limit=1")).json()
    assert [user["id"] for user in page["items"]] == ids[1:2]
    assert (page["total"], page["skip"], page["limit"]) == (3, 1, 1)


async def test_a_list_can_be_filtered(root: Person, ada: Person, bob: Person) -> None:
    assert (await root.patch(f"/users/{bob.id}", {"is_active": False})).is_success
    for query, found in [
        (f"email={ada.email}", [ada]),
        (f"email={quote(ada.email.upper())}", [ada]),
        ("email=ad@example.org", []),
        ("email=%25@example.org", []),
        ("role=admin", [root]),
        ("role=user&is_active=true", [ada]),
        ("is_active=false", [bob]),
        ("is_active=False", [bob]),
        ("is_active=false&role=admin", []),
    ]:
        page = (await root.get(f"/users?{query}")).json()
        assert [user["id"] for user in page["items"]] == [person.id for person in found], query
        assert page["total"] == len(found)


async def test_an_invalid_filter_is_refused(root: Person) -> None:
    for query in (
        *[f"is_active={word}" for word in ("", "null", "1", "0", "yes", "tru", "%00")],
        *[f"role={word}" for word in ("", "null", "root", "user,admin", "%F0%9F%98%80", "%00")],
        *[f"email={word}" for word in ("", "null", "ada", "a@b", "a%00b@x.org")],
        *[f"skip={word}" for word in ("-1", "10001", "x")],
        *[f"limit={word}" for word in ("0", "101", "x")],
    ):
        broken(await root.get(f"/users?{query}"), query.partition("=")[0])


async def test_changing_an_account_leaves_omitted_fields_as_they_are(
    root: Person, ada: Person, clock: ManualClock
) -> None:
    path = f"/users/{ada.id}"
    user = (await root.get(path)).json()
    clock.advance(seconds=1)
    assert (await root.patch(path, {})).json() == user
    user["updated_at"] = "2030-01-02T03:04:06.678901Z"
    for change in (
        {"full_name": "Countess"},
        {"role": "admin"},
        {"is_active": False},
        {"full_name": None},
        {"time_zone": "Asia/Tokyo"},
        {"role": "user", "is_active": True, "full_name": "Ada", "time_zone": "UTC"},
    ):
        answer = await root.patch(path, change)
        assert answer.status_code == 200
        user |= change
        assert answer.json() == user
        assert (await root.get(path)).json() == user


async def test_an_invalid_change_changes_nothing(root: Person, ada: Person) -> None:
    before = (await root.get(f"/users/{ada.id}")).json()
    for body, where in (
        ({"full_name": "x" * 256}, "/full_name"),
        ({"full_name": 5, "role": "admin"}, "/full_name"),
        ({"is_active": False, "password": "correct horse"}, "/password"),
        ({"is_active": False, "id": 9}, "/id"),
        ({"time_zone": "Mars/Olympus", "is_active": False}, "/time_zone"),
        ([], ""),
    ):
        broken(await root.ask("PATCH", f"/users/{ada.id}", content=json.dumps(body)), where)
    assert (await root.get(f"/users/{ada.id}")).json() == before


async def test_a_missing_account_is_not_found(root: Person) -> None:
    for method, body in (("GET", None), ("PATCH", {"full_name": "x"}), ("DELETE", None)):
        refused(await root.ask(method, f"/users/{MISSING_ID}", body), 404, "not_found")


async def test_deleting_an_account_deletes_its_tasks(
    root: Person, ada: Person, bob: Person
) -> None:
    await ada.task("hers")
    await bob.task("his")
    assert (await root.delete(f"/users/{ada.id}")).status_code == 204
    refused(await root.get(f"/users/{ada.id}"), 404, "not_found")
    refused(await root.delete(f"/users/{ada.id}"), 404, "not_found")
    refused(await ada.get("/tasks"), 401, "invalid_token")
    assert await root.titles() == ["his"]


async def test_the_last_administrator_stays(root: Person, ada: Person, core: Core) -> None:
    path = f"/users/{root.id}"
    for change in ({"role": "user"}, {"is_active": False}, {"role": "user", "is_active": False}):
        refused(await root.patch(path, change), 409, "last_admin")
    refused(await root.delete(path), 409, "last_admin")
    assert (await root.get("/auth/me")).json()["role"] == "admin"
    # An inactive administrator does not count.
    other = await join(core, root.http, "other", Role.ADMIN)
    assert (await root.patch(f"/users/{other.id}", {"is_active": False})).is_success
    refused(await root.delete(path), 409, "last_admin")
    # Of two administrators one may be demoted, and then not the other.
    assert (await root.patch(f"/users/{ada.id}", {"role": "admin"})).is_success
    assert (await ada.patch(path, {"role": "user"})).status_code == 200
    refused(await ada.patch(f"/users/{ada.id}", {"role": "user"}), 409, "last_admin")


async def test_a_deactivated_account_is_refused_at_once(
    anonymous: Person, root: Person, ada: Person
) -> None:
    task = await ada.task()
    assert (await root.patch(f"/users/{ada.id}", {"is_active": False})).is_success
    refused(await ada.get("/auth/me"), 401, "invalid_token")
    refused(await ada.put(f"/tasks/{task['id']}", {"title": "x"}), 401, "invalid_token")
    refresh = await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token})
    refused(refresh, 401, "invalid_token")
    login = await anonymous.post("/auth/login", {"email": ada.email, "password": PASSWORD})
    refused(login, 401, "invalid_credentials")
    # The tasks stay, and the account can be activated again.
    assert (await root.get(f"/tasks/{task['id']}")).json() == task
    assert (await root.patch(f"/users/{ada.id}", {"is_active": True})).is_success
    login = await anonymous.post("/auth/login", {"email": ada.email, "password": PASSWORD})
    assert login.status_code == 200


async def test_a_new_role_applies_from_the_next_request(root: Person, ada: Person) -> None:
    refused(await ada.get("/users"), 403, "forbidden")
    assert (await root.patch(f"/users/{ada.id}", {"role": "admin"})).is_success
    assert (await ada.get("/users")).status_code == 200
    assert (await ada.patch(f"/users/{root.id}", {"role": "user"})).is_success
    for method, path in (("GET", "/users"), ("DELETE", f"/users/{ada.id}")):
        refused(await root.ask(method, path), 403, "forbidden")


FOR_ADMINISTRATORS = [
    ("GET", "/users"),
    ("POST", "/users"),
    ("GET", "/users/{id}"),
    ("PATCH", "/users/{id}"),
    ("DELETE", "/users/{id}"),
]


async def test_users_are_refused_on_administrators_routes(ada: Person, bob: Person) -> None:
    for method, path in FOR_ADMINISTRATORS:
        for user_id in (ada.id, bob.id, MISSING_ID, "x"):
            refused(await ada.ask(method, path.format(id=user_id)), 403, "forbidden")
    assert (await bob.get("/auth/me")).status_code == 200


async def test_clients_without_permission_are_refused_before_their_body_is_read(
    anonymous: Person, ada: Person
) -> None:
    for content in (b"", b"{", b"\xff", b"[" * 60_000, b"x" * 70_000, b'{"role":"admin"}'):
        for method, path in (("POST", "/users"), ("PATCH", f"/users/{ada.id}")):
            refused(await ada.ask(method, path, content=content), 403, "forbidden")
        for method, path in (
            ("POST", "/users"),
            ("POST", "/tasks"),
            ("PUT", "/tasks/1"),
            ("PATCH", "/auth/me"),
            ("POST", "/auth/delete-account"),
        ):
            refused(await anonymous.ask(method, path, content=content), 401, "unauthenticated")


async def test_clients_without_permission_are_refused_before_their_query_is_checked(
    anonymous: Person, ada: Person
) -> None:
    refused(await ada.get("/users?limit=x"), 403, "forbidden")
    refused(await anonymous.get("/tasks?limit=x"), 401, "unauthenticated")
