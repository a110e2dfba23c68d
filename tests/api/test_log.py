"""What the log contains about requests, and what it must never contain."""

from typing import Any

import pytest

from tests.api.people import V1, Person
from tests.factories import PASSWORD

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]


def lines(events: list[Any]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "request"]


async def test_every_request_has_one_line_with_its_route(ada: Person, events: list[Any]) -> None:
    task = await ada.task()
    events.clear()
    for method, path, route, status, user in [
        ("GET", f"/tasks/{task['id']}", "/api/v1/tasks/{task_id}", 200, ada.id),
        ("HEAD", f"/tasks/{task['id']}?a=canary", "/api/v1/tasks/{task_id}", 422, ada.id),
        ("GET", "/tasks/canary", "/api/v1/tasks/{task_id}", 404, ada.id),
        ("GET", "/tasks?limit=canary", "/api/v1/tasks", 422, ada.id),
        ("GET", "/users", "/api/v1/users", 403, ada.id),
        ("GET", "/canary", "unmatched", 404, None),
        ("DELETE", "/tasks", "unmatched", 405, None),
        ("OPTIONS", "/tasks", "unmatched", 204, None),
        ("GET", "/tasks//canary", "unmatched", 404, None),
    ]:
        events.clear()
        answer = await ada.ask(method, path)
        (line,) = lines(events)
        assert line.pop("duration_ms") >= 0
        assert line == {
            "event": "request",
            "log_level": "info",
            "method": method,
            "route": route,
            "status": status,
            "user_id": user,
            "client": "127.0.0.1",
            "request_id": answer.headers["x-request-id"],
        }
        assert "canary" not in repr(events)


async def test_a_line_is_short_however_long_the_request(
    anonymous: Person, events: list[Any]
) -> None:
    """A long line could be split in a pipe, and long lines fill the disk."""
    await anonymous.http.request("M" * 30_000, "/x" * 10_000, headers={"User-Agent": "x" * 9000})
    (line,) = lines(events)
    assert line["method"] == "M" * 16
    assert len(repr(line)) < 500


async def test_the_line_of_an_anonymous_request_has_no_user(
    anonymous: Person, events: list[Any]
) -> None:
    await anonymous.get("/tasks")
    (line,) = lines(events)
    assert (line["status"], line["user_id"]) == (401, None)


async def test_health_checks_are_not_logged(anonymous: Person, events: list[Any]) -> None:
    for path in ("/livez", "/readyz"):
        await anonymous.http.get(path)
    assert events == []


async def test_changes_of_accounts_and_tasks_are_logged_with_ids_only(
    anonymous: Person, root: Person, events: list[Any]
) -> None:
    ada_id = (await anonymous.post("/auth/register", SECRET)).json()["id"]
    tokens = (await anonymous.post("/auth/login", _credentials())).json()
    ada = Person(root.http, tokens["access_token"])
    task = await ada.task("canary-title", "canary-description")
    path = f"/tasks/{task['id']}"
    await ada.put(path, {"title": "canary-other"})
    await ada.delete(path)
    await ada.patch("/auth/me", {"full_name": "canary-other"})
    await root.patch(f"/users/{ada_id}", {"is_active": False})
    await root.patch(f"/users/{ada_id}", {"is_active": True})
    again = (await anonymous.post("/auth/login", _credentials())).json()  # all her sessions ended
    ada = Person(root.http, again["access_token"])
    await ada.post("/auth/delete-account", {"password": SECRET["password"]})
    made = (await root.post("/users", SECRET)).json()["id"]
    await root.delete(f"/users/{made}")
    logged = [
        {key: value for key, value in event.items() if key not in {"request_id", "log_level"}}
        for event in events
        if event["event"] != "request"
    ]
    assert logged == [
        {"event": "account.registered", "user_id": ada_id},
        {"event": "login.succeeded", "user_id": ada_id},
        {"event": "task.created", "task_id": task["id"], "by": ada_id},
        {"event": "task.changed", "task_id": task["id"], "by": ada_id, "fields": ["title"]},
        {"event": "task.deleted", "task_id": task["id"], "by": ada_id},
        {"event": "account.changed", "user_id": ada_id, "fields": ["full_name"]},
        {"event": "account.changed", "user_id": ada_id, "by": root.id, "fields": ["is_active"]},
        {"event": "account.changed", "user_id": ada_id, "by": root.id, "fields": ["is_active"]},
        {"event": "login.succeeded", "user_id": ada_id},
        {"event": "account.deleted", "user_id": ada_id},
        {"event": "account.created", "user_id": made, "role": "user", "by": root.id},
        {"event": "account.deleted", "user_id": made, "by": root.id},
    ]
    assert "canary" not in repr(events)
    for token in (tokens["access_token"], again["refresh_token"], root.token):
        assert str(token) not in repr(events)


SECRET = {
    "email": "canary@example.org",
    "password": "canary horse",
    "full_name": "canary-name",
}


def _credentials(**other: str) -> dict[str, str]:
    return {"email": SECRET["email"], "password": SECRET["password"]} | other


async def test_refused_credentials_are_not_logged(
    anonymous: Person, ada: Person, events: list[Any]
) -> None:
    await anonymous.post("/auth/login", _credentials())
    await anonymous.post("/auth/login", {"email": ada.email, "password": "canary horse"})
    await anonymous.post("/auth/refresh", {"refresh_token": "canary"})
    await Person(ada.http, "canary").get("/tasks")
    await anonymous.http.get(f"{V1}/tasks?access_token=canary", headers={"Cookie": "canary=1"})
    await anonymous.ask("POST", "/auth/login", content=b'{"email":"canary')
    await anonymous.ask("POST", "/auth/login", content=b'{"email":"canary\xff')
    await anonymous.post("/auth/login", {"canary": 1})
    await ada.post("/auth/delete-account", {"password": "canary"})
    refusals = [event["event"] for event in events if event["log_level"] == "warning"]
    assert refusals[:3] == ["login.refused", "login.refused", "refresh.refused"]
    assert "canary" not in repr(events)
    assert PASSWORD not in repr(events)
