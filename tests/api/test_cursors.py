"""Every list is read on by cursor: the same over HTTP, whatever it lists."""

from typing import Any

import pytest

from taskcore.domain.tasks import TaskId
from taskcore.ports import ReadAhead
from taskcore.usecases import sessions
from tests.api.people import Person, broken, led_to
from tests.conftest import ManualClock

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("query", "limit"),
    [("", 100), ("?limit=7", 7)]
    + [(query, None) for query in ("?limit=0", "?limit=1e1", "?limit=", "?skip=0", "?limit=7&q=x")],
)
async def test_the_first_page_of_a_plain_list_is_read_with_the_session(
    ada: Person, monkeypatch: pytest.MonkeyPatch, query: str, limit: int | None
) -> None:
    seen: list[int | None] = []

    def noted(task_id: TaskId | None = None, *, first_page: int | None = None) -> ReadAhead:
        seen.append(first_page)
        return ReadAhead(task_id, first_page=first_page)

    monkeypatch.setattr(sessions, "ReadAhead", noted)
    answer = await ada.get(f"/tasks{query}")
    assert seen == ([] if limit is None else [limit])
    if limit is not None:
        assert answer.json() == (await ada.get(f"/tasks?skip=0&limit={limit}")).json()


LISTS = ("/tasks", "/users", "/audit", "/auth/events")
FILTERED = (
    *("/tasks?owner_id={ada}", "/users?role=user&is_active=true", "/audit?user={ada}"),
    "/audit?event=user.created&since=2030-01-01T00:00:00%2B00:00",
)


@pytest.fixture(autouse=True)
async def filled(root: Person, ada: Person, bob: Person, clock: ManualClock) -> None:
    for person in (root, ada, bob):
        for number in range(2):
            clock.advance(seconds=1)
            await person.task(f"{number}")
            await root.patch(f"/users/{ada.id}", {"full_name": f"{person.id} {number}"})


async def pages(person: Person, path: str, limit: int) -> list[Any]:
    """All pages by cursor; each `Link` must lead to the same page."""
    start = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    found, there, cursor = [], start, ""
    while True:
        answer = await person.get(f"{start}&cursor={cursor}")
        same = await person.get(there)
        page = answer.json()
        assert page["items"] == same.json()["items"]
        found.append(page)
        cursor = page["next_cursor"]
        if cursor is None:
            assert "link" not in answer.headers
            return found
        there = led_to(answer, "link")


@pytest.mark.parametrize("path", [*LISTS, *FILTERED])
async def test_a_list_is_read_on_by_cursor_or_by_link(root: Person, ada: Person, path: str) -> None:
    path = path.format(ada=ada.id)
    whole = (await root.get(path)).json()
    assert whole["total"] == len(whole["items"]) > 1
    assert whole["next_cursor"] is None
    for limit in (1, 2, 3):
        found = await pages(root, path, limit)
        assert [item for page in found for item in page["items"]] == whole["items"]
        always = whole["total"] if "/tasks" in path else None
        totals = [page["total"] for page in found]
        assert totals == [whole["total"], *[always] * (len(found) - 1)]


async def test_a_cursor_is_of_one_list(root: Person) -> None:
    cursors = {path: (await root.get(f"{path}?limit=1")).json()["next_cursor"] for path in LISTS}
    assert len(set(cursors.values())) == len(LISTS)
    for path in LISTS:
        for other, cursor in cursors.items():
            answer = await root.get(f"{path}?cursor={cursor}")
            if other == path:
                assert answer.is_success
            else:
                assert broken(answer, "cursor")["code"] == "cursor_mismatch"


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_that_no_page_gave_is_refused(root: Person, path: str) -> None:
    cursor = (await root.get(f"{path}?limit=1")).json()["next_cursor"]
    for wrong in ("x", "null", f"{cursor}=", f"%20{cursor}", "A" * 3000):
        assert broken(await root.get(f"{path}?cursor={wrong}"), "cursor")["code"] == "wrong_type"


@pytest.mark.parametrize("path", LISTS)
async def test_who_skips_too_far_is_told_of_cursors(root: Person, path: str) -> None:
    assert (await root.get(f"{path}?skip=10000")).is_success
    problem = broken(await root.get(f"{path}?skip=10001"), "skip")
    assert problem["code"] == "out_of_range"
    assert problem["detail"].endswith("from 0 to 10000; read on with a cursor")
