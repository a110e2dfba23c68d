"""Tasks of other users: no response tells one from a missing task."""

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
    """AZ-5: the same bytes for every method, body and tag, whatever the task is."""
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
            assert one.status_code in {404, 400}  # 400 for a header that is malformed
            assert alike(one, await ada.ask(method, missing, body, headers={header: tag}))
    assert (await bob.get(theirs)).json()["version"] == 1


async def test_a_deleted_task_looks_like_another_users(ada: Person, bob: Person) -> None:
    path = f"/tasks/{(await bob.task())['id']}"
    before = await ada.get(path)
    assert (await bob.delete(path)).is_success
    assert alike(before, await ada.get(path))


async def test_a_user_who_names_another_owner_is_refused(ada: Person, bob: Person) -> None:
    """AZ-5: with the same bytes for an owner who exists and one who does not."""
    await bob.task()
    answers = [await ada.get(f"/tasks?owner_id={owner}") for owner in (bob.id, MISSING_ID)]
    for answer in answers:
        refused(answer, 403, "forbidden")
    assert alike(*answers)
