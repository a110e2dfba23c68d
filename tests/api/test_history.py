"""The history of tasks and what changes in an account, over HTTP, on both stores."""

import base64
from typing import Any

import pytest

from taskapi.task_views import MAX_PAGE_BYTES
from taskcore import LogPosition, UserId, cursors
from tests.api.people import Person, alike, broken, led_to, refused

pytestmark = pytest.mark.anyio

NOW = "2030-01-02T03:04:05.678901Z"


async def test_a_history_is_shown_page_by_page(ada: Person) -> None:
    task = await ada.task("Write")
    path = f"/tasks/{task['id']}"
    due = {"due_at": "2031-01-01T09:00:00+01:00", "time_zone": "Europe/Berlin", "labels": ["a"]}
    await ada.patch(path, due)
    await ada.patch(path, {"title": "Read"})
    first = await ada.get(f"{path}/history?limit=2")
    page = first.json()
    assert (page["total"], page["skip"], page["limit"]) == (3, 0, 2)
    latest, before = page["items"]
    assert latest == {
        "position": 3,
        "type": "task.updated",
        "at": NOW,
        "actor_id": ada.id,
        "version": 3,
        "changes": {"title": {"from": "Write", "to": "Read"}},
    }
    assert before["changes"] == {
        "due_at": {"from": None, "to": "2031-01-01T08:00:00Z"},
        "time_zone": {"from": None, "to": "Europe/Berlin"},
        "labels": {"from": [], "to": ["a"]},
    }
    assert led_to(first, "link").startswith(f"{path}/history?limit=2&cursor=")
    rest = (await ada.get(f"{path}/history?cursor={page['next_cursor']}")).json()
    assert [event["type"] for event in rest["items"]] == ["task.created"]
    assert rest["items"][0]["changes"] == {"title": {"from": None, "to": "Write"}}
    assert (rest["total"], rest["next_cursor"]) == (None, None)
    other = await ada.task("Other")
    answer = await ada.get(f"/tasks/{other['id']}/history?cursor={page['next_cursor']}")
    assert broken(answer, "cursor")["code"] == "cursor_mismatch"


async def test_a_history_tells_of_the_trash(ada: Person) -> None:
    task = await ada.task()
    assert (await ada.delete(f"/tasks/{task['id']}")).status_code == 204
    assert (await ada.post(f"/trash/{task['id']}/restore")).status_code == 200
    restored, trashed, _ = (await ada.get(f"/tasks/{task['id']}/history")).json()["items"]
    assert (restored["type"], trashed["type"]) == ("task.restored", "task.trashed")
    assert restored["changes"] == trashed["changes"] == {}


async def test_a_page_of_history_is_bounded(ada: Person) -> None:
    task = await ada.task("x", "😀" * 5000)
    for number in range(14):
        await ada.patch(f"/tasks/{task['id']}", {"description": f"{number}" + "😀" * 4990})
    found, cursor = [], ""
    while cursor is not None:
        answer = await ada.get(f"/tasks/{task['id']}/history?cursor={cursor}")
        assert len(answer.content) < MAX_PAGE_BYTES + 10_000
        page = answer.json()
        found += [event["version"] for event in page["items"]]
        assert page["limit"] == (100 if page["next_cursor"] is None else len(page["items"]))
        cursor = page["next_cursor"]
    assert found == list(range(15, 0, -1))


async def test_a_task_is_reverted(ada: Person) -> None:
    task = await ada.task("Write")
    path = f"/tasks/{task['id']}"
    await ada.patch(path, {"title": "Read", "priority": "high"})
    refused(
        await ada.ask("POST", f"{path}/revert", {"version": 1}, headers={"If-Match": '"1"'}),
        412,
        "stale_write",
    )
    answer = await ada.ask("POST", f"{path}/revert", {"version": 1}, headers={"If-Match": '"2"'})
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"3"'
    assert answer.json() == task | {"version": 3}
    refused(await ada.post(f"{path}/revert", {"version": 4}), 409, "history_gone")
    for version in (0, "1", None, 2**63, 1.5):
        broken(await ada.post(f"{path}/revert", {"version": version}), "/version")
    assert broken(await ada.post(f"{path}/revert", {}), "/version")["code"] == "required"


async def test_anothers_history_is_as_one_that_never_was(ada: Person, bob: Person) -> None:
    task = await ada.task()
    path = f"/tasks/{task['id']}/history"
    assert alike(await bob.get(path), await bob.get("/tasks/99/history"))
    assert (await ada.delete(f"/tasks/{task['id']}")).status_code == 204
    assert alike(await bob.get(path), await bob.get("/tasks/99/history"))
    assert [each["version"] for each in (await ada.get(path)).json()["items"]] == [2, 1]
    assert (await ada.delete(f"/trash/{task['id']}")).status_code == 204
    assert alike(await ada.get(path), await ada.get("/tasks/99/history"))
    for path in (f"/tasks/{task['id']}/revert", "/tasks/99/revert"):
        refused(await bob.post(path, {"version": 1}), 404, "not_found")


async def changes(person: Person, cursor: str, *, limit: int = 500) -> Any:
    answer = await person.get(f"/changes?cursor={cursor}&limit={limit}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def present(person: Person) -> str:
    page = await changes(person, "")
    assert (page["items"], page["has_more"]) == ([], False)
    cursor: str = page["cursor"]
    return cursor


async def test_changes_are_told_as_tasks_are_now(ada: Person, bob: Person) -> None:
    await ada.task("before")
    cursor = await present(ada)
    one, two = await ada.task("one"), await ada.task("two")
    await bob.task("Bob's")
    one = (await ada.patch(f"/tasks/{one['id']}", {"title": "One"})).json()
    await ada.delete(f"/tasks/{two['id']}")
    page = await changes(ada, cursor)
    assert page["items"] == [
        {"type": "task", "id": one["id"], "change": "upserted", "task": one},
        {"type": "task", "id": two["id"], "change": "removed", "task": None},
    ]
    assert page["has_more"] is False
    assert await changes(ada, page["cursor"]) == page | {"items": []}
    first = await changes(ada, cursor, limit=1)
    assert ([item["id"] for item in first["items"]], first["has_more"]) == ([one["id"]], True)


async def test_a_page_of_changes_is_bounded_and_leaves_out_nothing(ada: Person) -> None:
    cursor = await present(ada)
    titles = [f"{number}" for number in range(30)]
    for title in titles:
        await ada.task(title, "😀" * 5000)
    found: list[str] = []
    more = True
    while more:
        answer = await ada.get(f"/changes?cursor={cursor}")
        assert len(answer.content) < MAX_PAGE_BYTES + 10_000
        page = answer.json()
        found += [item["task"]["title"] for item in page["items"]]
        cursor, more = page["cursor"], page["has_more"]
    assert found == titles


async def test_cursors_of_others_and_damaged_ones_are_refused(ada: Person, bob: Person) -> None:
    cursor = await present(ada)
    for wrong, code in (
        (await present(bob), "cursor_mismatch"),
        (cursors.LABELS.at("x"), "cursor_mismatch"),
        (cursor[:-1], "wrong_type"),
        ("x", "wrong_type"),
        (encoded(f"changes {ada.id} 1 -1"), "wrong_type"),
        (encoded(f"changes {ada.id} 1 {2**63}"), "wrong_type"),
    ):
        answer = await ada.get(f"/changes?cursor={wrong}")
        assert broken(answer, "cursor")["code"] == code, wrong
    for limit in (0, 501, "x"):
        broken(await ada.get(f"/changes?limit={limit}"), "limit")


async def test_a_cursor_of_another_log_or_from_beyond_the_end_has_expired(ada: Person) -> None:
    await ada.task()
    places = cursors.changes(UserId(ada.id))
    end = places.read(await present(ada))
    assert end
    for place in (LogPosition(end.epoch + 1, 1), LogPosition(end.epoch, end.position + 1)):
        refused(await ada.get(f"/changes?cursor={places.at(place)}"), 410, "cursor_expired")


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
