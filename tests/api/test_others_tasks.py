"""Other people's tasks: for users they do not exist, administrators look after all of them."""

import json

import pytest

from tests.api.people import MISSING_ID, Person, alike, refused

pytestmark = pytest.mark.anyio

BODIES = [
    b"{}",
    b'{"title":"x"}',
    b'{"title":""}',
    b'{"title":5}',
    b'{"owner_id":1}',
    b"[]",
    b"",
    b"{",
    b"\xff",
    b"[" * 60_000,
    b"x" * 70_000,
    json.dumps({"title": "x" * 256}).encode(),
    json.dumps({"title": "a\x00b"}).encode(),
]
TAGS = ["*", '"1"', '"2"', 'W/"1"', "garbage"]


async def test_nothing_tells_another_users_task_from_a_missing_one(
    ada: Person, bob: Person
) -> None:
    theirs = f"/tasks/{(await bob.task())['id']}"
    missing = f"/tasks/{MISSING_ID}"
    for method in ("GET", "HEAD", "DELETE", "POST", "OPTIONS"):
        assert alike(await ada.ask(method, theirs), await ada.ask(method, missing))
    refused(await ada.get(theirs), 404, "not_found")
    refused(await ada.delete(theirs), 404, "not_found")
    for method in ("PUT", "PATCH"):
        refused(await ada.ask(method, theirs, {"title": "mine"}), 404, "not_found")
        for content in BODIES:
            one = await ada.ask(method, theirs, content=content)
            assert alike(one, await ada.ask(method, missing, content=content)), content
    for tag in TAGS:
        for method, header, body in (
            ("GET", "If-None-Match", None),
            ("PUT", "If-Match", {"title": "mine"}),
            ("PATCH", "If-Match", {}),
            ("DELETE", "If-Match", None),
        ):
            one = await ada.ask(method, theirs, body, headers={header: tag})
            refused(one, 404, "not_found")
            assert alike(one, await ada.ask(method, missing, body, headers={header: tag}))
    assert (await bob.get(theirs)).json()["version"] == 1


async def test_nothing_tells_it_of_a_task_that_was_deleted_either(ada: Person, bob: Person) -> None:
    path = f"/tasks/{(await bob.task())['id']}"
    before = await ada.get(path)
    assert (await bob.delete(path)).is_success
    assert alike(before, await ada.get(path))


async def test_lists_and_totals_count_ones_own(ada: Person, bob: Person) -> None:
    await ada.task("hers")
    for number in range(3):
        await bob.task(str(number))
    for query in ("", f"?owner_id={ada.id}", "?skip=0&limit=100"):
        page = (await ada.get(f"/tasks{query}")).json()
        assert [task["title"] for task in page["items"]] == ["hers"]
        assert page["total"] == 1


async def test_a_user_who_names_another_owner_is_refused(ada: Person, bob: Person) -> None:
    await bob.task()
    answers = [await ada.get(f"/tasks?owner_id={owner}") for owner in (bob.id, MISSING_ID)]
    for answer in answers:
        refused(answer, 403, "forbidden")
    assert alike(*answers)


async def test_an_administrator_sees_everybodys_or_one_owners(
    root: Person, ada: Person, bob: Person
) -> None:
    hers, his, roots = await ada.task("hers"), await bob.task("his"), await root.task("root's")
    assert (await root.get("/tasks")).json()["items"] == [roots, his, hers]
    for person, task in ((ada, hers), (bob, his), (root, roots)):
        page = (await root.get(f"/tasks?owner_id={person.id}")).json()
        assert (page["items"], page["total"]) == ([task], 1)
    assert (await root.get(f"/tasks?owner_id={MISSING_ID}")).json()["items"] == []


async def test_an_administrator_looks_after_everybodys_tasks(root: Person, ada: Person) -> None:
    task = await ada.task()
    path = f"/tasks/{task['id']}"
    assert (await root.get(path)).json() == task
    for number, method in enumerate(("PUT", "PATCH"), start=2):
        edited = (await root.ask(method, path, {"title": method})).json()
        assert edited["title"] == method
        assert (edited["owner_id"], edited["version"]) == (ada.id, number)
    assert (await root.delete(path)).status_code == 204
    refused(await ada.get(path), 404, "not_found")


async def test_a_former_administrator_sees_others_tasks_no_more(root: Person, ada: Person) -> None:
    path = f"/tasks/{(await ada.task())['id']}"
    assert (await root.patch(f"/users/{ada.id}", {"role": "admin"})).is_success
    assert (await ada.patch(f"/users/{root.id}", {"role": "user"})).is_success
    assert alike(await root.get(path), await root.get(f"/tasks/{MISSING_ID}"))
    refused(await root.delete(path), 404, "not_found")
