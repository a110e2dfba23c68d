"""Tasks over HTTP."""

import json
from base64 import urlsafe_b64encode

import pytest

from taskapi.task_views import MAX_PAGE_BYTES, TaskDraft, TaskView, fitting_tasks
from taskcore.domain.ids import MAX_ID
from tests.api.people import MISSING_ID, Person, broken, led_to, refused
from tests.conftest import ManualClock
from tests.factories import a_task

pytestmark = pytest.mark.anyio


async def test_creating_shows_the_task_and_where_it_is(ada: Person) -> None:
    body = {"title": "Write the letter", "description": "Two pages\n\tby hand"}
    answer = await ada.post("/tasks", body)
    assert answer.status_code == 201
    task = answer.json()
    assert list(task) == list(TaskView.__struct_fields__)
    assert type(task["id"]) is int
    assert task == task | body | {
        "id": task["id"],
        "owner_id": ada.id,
        "version": 1,
        "created_at": "2030-01-02T03:04:05.678901Z",
        "updated_at": "2030-01-02T03:04:05.678901Z",
    }
    assert answer.headers["etag"] == '"1"'
    assert led_to(answer) == f"/tasks/{task['id']}"
    there = await ada.get(led_to(answer))
    assert there.status_code == 200
    assert there.json() == task
    assert there.headers["etag"] == '"1"'


async def test_the_description_is_optional(ada: Person) -> None:
    assert (await ada.post("/tasks", {"title": "x"})).json()["description"] == ""


async def test_text_is_stored_as_it_was_sent(ada: Person) -> None:
    title = " <b>é</b> e\u0301 \U0001f600 \u202e ' OR 1=1;-- % _ \\ null "
    task = await ada.task(title, "\r\n\u2028\ufeff")
    assert (task["title"], task["description"]) == (title, "\r\n\u2028\ufeff")
    assert (await ada.get(f"/tasks/{task['id']}")).json() == task


async def test_the_longest_texts_fit_in_the_longest_body(ada: Person) -> None:
    title, description = "\U0001f600" * 255, "\U0001f600" * 5000
    content = json.dumps({"title": title, "description": description})  # 12 characters for each
    assert len(content) > 63_000
    answer = await ada.ask("POST", "/tasks", content=content)
    assert answer.status_code == 201
    assert (answer.json()["title"], answer.json()["description"]) == (title, description)


BROKEN = [
    ({}, "/title", "required"),
    ({"description": "x"}, "/title", "required"),
    ({"title": ""}, "/title", "too_short"),
    ({"title": "x" * 256}, "/title", "too_long"),
    ({"title": "a\x00b"}, "/title", "control_character"),
    ({"title": "a\x85b"}, "/title", "control_character"),
    ({"title": 5}, "/title", "wrong_type"),
    ({"title": True}, "/title", "wrong_type"),
    ({"title": None}, "/title", "not_nullable"),
    ({"title": "x", "description": "x" * 5001}, "/description", "too_long"),
    ({"title": "x", "description": "a\x1bb"}, "/description", "control_character"),
    ({"title": "x", "description": None}, "/description", "not_nullable"),
    ({"title": "x", "description": ["x"]}, "/description", "wrong_type"),
    ({"title": "x", "done": True}, "/done", "unknown_field"),
    ({"title": "x", "version": 2}, "/version", "read_only"),
    ({"title": "x", "a.b/c~d`e": 1}, "/a.b~1c~0d`e", "unknown_field"),
    ([], "", "required"),
    ([{"title": "x"}], "", "required"),
    ("title", "", "required"),
    (None, "", "required"),
    (3, "", "required"),
]


async def test_creating_says_which_rule_is_broken(ada: Person) -> None:
    for body, where, code in BROKEN:
        answer = await ada.ask("POST", "/tasks", content=json.dumps(body))
        assert broken(answer, where)["code"] == code
    assert await ada.titles() == []


async def test_a_field_that_is_unknown_is_answered_with_those_that_are_taken(ada: Person) -> None:
    taken = ", ".join(TaskDraft.__struct_fields__)
    draft = {"title": "x", "done": True}
    for path, body, where in (
        ("/tasks", draft, "/done"),
        (
            "/tasks/bulk",
            {"operations": [{"op": "create", "task": draft}]},
            "/operations/0/task/done",
        ),
    ):
        error = broken(await ada.post(path, body), where)
        assert error["detail"] == f"is not a field of this object, which takes {taken}"
    bulk = {"operations": [{"op": "create", "title": "x"}]}
    assert broken(await ada.post("/tasks/bulk", bulk), "/operations/0/title")["detail"] == (
        "is not a field of this object, which takes op=create, task; or op=update, id, changes,"
        " version; or op=delete, id, version; or op=restore, id"
    )


async def test_a_version_in_an_edit_is_answered_with_the_header_for_it(ada: Person) -> None:
    path, header = f"/tasks/{(await ada.task())['id']}", "send it as If-Match"
    for method in ("PUT", "PATCH"):
        error = broken(await ada.ask(method, path, {"version": 1}), "/version")
        assert (error["code"], header in error["detail"]) == ("read_only", True)
    error = broken(await ada.post("/tasks", {"title": "x", "version": 1}), "/version")
    assert (error["code"], header in error["detail"]) == ("read_only", False)


async def test_all_broken_rules_are_reported_together(ada: Person) -> None:
    answer = await ada.post("/tasks", {"title": "", "description": "x" * 5001})
    errors = refused(answer, 422, "invalid")["errors"]
    assert [error["pointer"] for error in errors] == ["/title", "/description"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_leaves_omitted_fields_as_they_are(
    ada: Person, method: str, clock: ManualClock
) -> None:
    task = await ada.task("Write", "Two pages")
    path = f"/tasks/{task['id']}"
    clock.advance(seconds=1)
    for version, change in enumerate(({"title": "Post"}, {"description": ""}), start=2):
        answer = await ada.ask(method, path, change)
        assert answer.status_code == 200
        task |= change | {"version": version, "updated_at": "2030-01-02T03:04:06.678901Z"}
        assert answer.json() == task
        assert answer.headers["etag"] == f'"{version}"'
        assert (await ada.get(path)).json() == task


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_that_changes_nothing_keeps_the_version(
    ada: Person, method: str, clock: ManualClock
) -> None:
    task = await ada.task()
    clock.advance(seconds=1)
    for body in ({}, {"title": task["title"]}):
        answer = await ada.ask(method, f"/tasks/{task['id']}", body)
        assert answer.status_code == 200
        assert answer.json() == task
        assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_says_which_rule_is_broken_and_changes_nothing(
    ada: Person, method: str
) -> None:
    task = await ada.task()
    for body, where, code in BROKEN:
        if code == "required" and where:
            continue  # an edit requires no field
        answer = await ada.ask(method, f"/tasks/{task['id']}", content=json.dumps(body))
        assert broken(answer, where)["code"] == code
    assert (await ada.get(f"/tasks/{task['id']}")).json() == task


async def test_the_merge_patch_media_type_is_accepted(ada: Person) -> None:
    task = await ada.task()
    headers = {"Content-Type": "application/merge-patch+json; charset=UTF-8"}
    answer = await ada.ask("PATCH", f"/tasks/{task['id']}", {"title": "x"}, headers=headers)
    assert answer.json()["title"] == "x"


async def test_a_deleted_task_is_gone(ada: Person) -> None:
    task, kept = await ada.task(), await ada.task("kept")
    path = f"/tasks/{task['id']}"
    answer = await ada.delete(path)
    assert answer.status_code == 204
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        refused(await ada.ask(method, path, {} if method[0] == "P" else None), 404, "not_found")
    assert (await ada.get("/tasks")).json()["items"] == [kept]


async def test_a_list_is_an_envelope_newest_first(ada: Person) -> None:
    made = [await ada.task(str(number)) for number in range(3)]
    answer = await ada.get("/tasks")
    assert answer.status_code == 200
    envelope = {"total": 3, "skip": 0, "limit": 100, "next_cursor": None}
    assert answer.json() == {"items": made[::-1]} | envelope
    assert "link" not in answer.headers


async def test_an_empty_list_is_an_envelope_too(ada: Person) -> None:
    envelope = {"total": 0, "skip": 0, "limit": 100, "next_cursor": None}
    assert (await ada.get("/tasks")).json() == {"items": []} | envelope


async def test_a_list_comes_in_pages_that_know_the_total(ada: Person) -> None:
    for number in range(5):
        await ada.task(str(number))
    for skip, limit, titles in [
        (0, 2, ["4", "3"]),
        (2, 2, ["2", "1"]),
        (4, 2, ["0"]),
        (5, 2, []),
        (10_000, 1, []),
        (0, 100, ["4", "3", "2", "1", "0"]),
    ]:
        page = (await ada.get(f"/tasks?skip={skip}&limit={limit}")).json()
        assert [task["title"] for task in page.pop("items")] == titles
        assert (page.pop("next_cursor") is None) is ("0" in titles or not titles)
        assert page == {"total": 5, "skip": skip, "limit": limit}


async def read_on(person: Person, path: str) -> list[str]:
    """The titles of all pages by cursor; each `Link` must lead to the same page."""
    titles: list[str] = []
    next_page, cursor = f"{path}&cursor=", ""
    while True:
        answer = await person.get(f"{path}&cursor={cursor}")
        same = await person.get(next_page)
        page = answer.json()
        assert same.json() == page
        titles += [task["title"] for task in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            assert "link" not in answer.headers
            return titles
        next_page = led_to(answer, "link")


async def test_a_cursor_leads_to_the_next_page(ada: Person, root: Person) -> None:
    for number in range(5):
        await ada.task(str(number))
    await root.task("of root")
    for limit in (1, 2, 5, 100):
        assert await read_on(ada, f"/tasks?limit={limit}") == ["4", "3", "2", "1", "0"]
        mine = f"/tasks?limit={limit}&owner_id={ada.id}"
        assert await read_on(root, mine) == ["4", "3", "2", "1", "0"]
    assert await read_on(root, "/tasks?limit=2") == ["of root", "4", "3", "2", "1", "0"]


async def test_a_page_of_many_bytes_ends_early(ada: Person) -> None:
    for number in range(40):
        await ada.post("/tasks", {"title": f"{number}", "description": "\N{PARTY POPPER}" * 5000})
    first = await ada.get("/tasks?limit=40")
    assert 30 < len(first.json()["items"]) < 40
    assert len(first.content) < MAX_PAGE_BYTES + 1000
    assert first.json()["limit"] == len(first.json()["items"])
    assert await read_on(ada, "/tasks?limit=40") == [f"{39 - number}" for number in range(40)]


def test_a_page_has_room_for_a_hundred_tasks_of_letters() -> None:
    task = a_task(id=MAX_ID, title="x" * 255, description="x" * 5000)
    assert fitting_tasks([task] * 100) == 100


async def test_tasks_created_or_deleted_meanwhile_shift_no_page_by_cursor(ada: Person) -> None:
    tasks = [await ada.task(str(number)) for number in range(6)]
    first = (await ada.get("/tasks?limit=2")).json()
    await ada.task("new")
    for gone in (5, 4, 2):  # the two of the first page, and one of a later page
        await ada.delete(f"/tasks/{tasks[gone]['id']}")
    then = (await ada.get(f"/tasks?limit=2&cursor={first['next_cursor']}")).json()
    assert [task["title"] for task in then["items"]] == ["3", "1"]
    assert then["total"] == 4


async def test_a_cursor_of_another_user_shows_only_own_tasks(ada: Person, bob: Person) -> None:
    await bob.task("of bob")
    for number in range(3):
        await ada.task(str(number))
    cursor = (await ada.get("/tasks?limit=1")).json()["next_cursor"]
    page = (await bob.get(f"/tasks?cursor={cursor}")).json()
    assert [task["title"] for task in page["items"]] == ["of bob"]


async def test_an_invalid_cursor_is_refused(ada: Person) -> None:
    tasks = [await ada.task(str(number)) for number in range(3)]
    cursor = (await ada.get("/tasks?limit=1")).json()["next_cursor"]
    for wrong in (
        *(
            "x",
            "0",
            "null",
            f"{tasks[1]['id']}",
            f"{cursor}=",
            f"%20{cursor}",
        ),
        *("%E2%82%AC", "A" * 4000, urlsafe_b64encode(b"tasks 0").rstrip(b"=").decode()),
        *(
            urlsafe_b64encode(text).rstrip(b"=").decode()
            for text in (
                b"tasks x",
                b"tasks -1",
                b"tasks 9223372036854775808",
                b"1",
                b"tasks tasks 1",
                b"\xff",
            )
        ),
    ):
        assert broken(await ada.get(f"/tasks?cursor={wrong}"), "cursor")["code"] == "wrong_type"


OUT_OF_BOUNDS = [
    *[f"limit={value}" for value in ("0", "-1", "101", "2147483648")],
    *[f"skip={value}" for value in ("-1", "10001", "2147483648", "9" * 5000)],
    *[f"owner_id={value}" for value in ("0", "-1", "9223372036854775808")],
    *[f"{name}={value}" for name in ("skip", "limit", "owner_id")
      for value in ("", "x", "1.0", "1e1", "1_0", "%201", "1%20", "%2B1", "0x1", "null", "NaN",
                    "true", "%EF%BC%95", "%D9%A5", "1,2", "%zz")],
]  # fmt: skip


async def test_a_page_parameter_out_of_bounds_is_refused(ada: Person) -> None:
    for query in OUT_OF_BOUNDS:
        assert broken(await ada.get(f"/tasks?{query}"), query.partition("=")[0])["detail"]


async def test_all_bad_parameters_are_reported_together(ada: Person) -> None:
    errors = refused(await ada.get("/tasks?skip=-1&limit=0"), 422, "invalid")["errors"]
    assert sorted(error["parameter"] for error in errors) == ["limit", "skip"]


async def test_a_refusal_does_not_repeat_a_value(ada: Person) -> None:
    for query in ("skip=canary-1", "x=canary-2", "limit=canary-3&limit=canary-4"):
        assert "canary" not in (await ada.get(f"/tasks?{query}")).text


INVALID_IDS = [
    *("0", "-1", "+5", "05", "5.0", "5e0", "0x5", "5_0", "%205", "5%20", "5%0A", "null", "NaN"),
    *("\uff15", "\u0665", "%EF%BC%95", "%00", "5%00", "%ff", "%zz", "%", "'", "x", "%2F", "..%2F"),
    *("9223372036854775808", "1" * 30, "9" * 5000),
]


async def test_an_id_in_another_spelling_is_not_found(ada: Person, root: Person) -> None:
    for spelling in [*INVALID_IDS, str(MISSING_ID), "9223372036854775807"]:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {"title": "x"} if method[0] == "P" else None
            refused(await ada.ask(method, f"/tasks/{spelling}", body), 404, "not_found")
        for method in ("GET", "PATCH", "DELETE"):
            body = {"full_name": "x"} if method[0] == "P" else None
            refused(await root.ask(method, f"/users/{spelling}", body), 404, "not_found")
