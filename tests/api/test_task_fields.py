"""State, dues, labels, lists and the trash of tasks over HTTP."""

from dataclasses import fields
from typing import Any

import pytest

from taskapi.task_views import TrashedTaskView
from taskcore import Task
from tests.api.people import Person, led_to
from tests.guards import agree

pytestmark = pytest.mark.anyio


def test_every_field_of_a_task_is_shown() -> None:
    names, where = {field.name for field in fields(Task)}, "TaskView in src/taskapi/task_views.py"
    outlived = "but not in Task (taskcore/domain/tasks.py): add it there, or remove it"
    shown = TrashedTaskView.__struct_fields__
    agree(names, shown, where, "add it, with its type in fields.py", outlived=outlived)


async def errors(person: Person, body: dict[str, Any], task_id: int | None = None) -> list[Any]:
    """The code and pointer of each problem that a body has."""
    if task_id is None:
        answer = await person.post("/tasks", {"title": "x"} | body)
    else:
        answer = await person.patch(f"/tasks/{task_id}", body)
    assert answer.status_code == 422, answer.text
    return [(error["code"], error["pointer"]) for error in answer.json()["errors"]]


async def test_a_task_has_its_fields_and_defaults(ada: Person) -> None:
    task = await ada.task("x")
    assert task == task | {
        "status": "todo",
        "priority": "none",
        "labels": [],
        **dict.fromkeys(("due_date", "due_at", "time_zone", "completed_at")),
    }
    body = {
        "status": "done",
        "priority": "urgent",
        "due_at": "2030-02-01T09:00:00+01:00",
        "time_zone": "Europe/Berlin",
        "labels": ["Home", "caf\u00e9"],
    }
    answer = await ada.post("/tasks", {"title": "y"} | body)
    shown = answer.json()
    assert shown == shown | body | {"due_at": "2030-02-01T08:00:00Z", "due_date": None}
    assert shown["completed_at"] == shown["created_at"]
    assert (await ada.get(f"/tasks/{shown['id']}")).json() == shown


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"status": "later"}, ("wrong_type", "/status")),
        ({"priority": 1}, ("wrong_type", "/priority")),
        ({"due_date": "2030-02-30"}, ("wrong_type", "/due_date")),
        ({"due_date": "2030-02-01T00:00:00Z"}, ("wrong_type", "/due_date")),
        ({"due_at": "2030-02-01T00:00:00"}, ("wrong_type", "/due_at")),
        ({"due_at": "9999-12-31T23:59:59-12:00"}, ("out_of_range", "/due_at")),
        ({"due_at": "2030-02-01T00:00:00Z", "due_date": "2030-02-01"}, ("one_due_only", "/due_at")),
        ({"time_zone": "Europe/Berlin"}, ("time_zone_without_due_at", "/time_zone")),
        (
            {"due_at": "2030-02-01T00:00:00Z", "time_zone": "Mars/Olympus"},
            ("unknown_time_zone", "/time_zone"),
        ),
        ({"labels": ["a", "A"]}, ("duplicate_label", "/labels/1")),
        ({"labels": ["a", 1]}, ("wrong_type", "/labels/1")),
        ({"labels": "home"}, ("wrong_type", "/labels")),
        ({"labels": ["x"] * 21}, ("too_many", "/labels")),
        ({"labels": None}, ("not_nullable", "/labels")),
        ({"status": None}, ("not_nullable", "/status")),
        ({"completed_at": "2030-02-01T00:00:00Z"}, ("read_only", "/completed_at")),
        ({"owner_id": 1}, ("read_only", "/owner_id")),
    ],
)
async def test_a_field_that_breaks_a_rule_is_refused(
    ada: Person, body: dict[str, Any], problem: tuple[str, str]
) -> None:
    assert await errors(ada, body) == [problem]
    task = await ada.task("x")
    assert await errors(ada, body, task["id"]) == [problem]
    assert (await ada.get(f"/tasks/{task['id']}")).json() == task


A_TIME = 'must be a time with seconds and an offset such as "2026-12-01T09:00:00+01:00", or null'


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/tasks", {"due_at": "2030-02-01T00:00:00"}, A_TIME),
        ("/tasks", {"due_at": "2030-02-01"}, A_TIME),
        ("/tasks", {"due_at": 1}, A_TIME),
        ("/tasks", {"due_date": "1.2.2030"}, 'must be a day such as "2026-12-01", or null'),
        ("/tasks", {"title": 1}, 'must be text such as "Write the letter"'),
        ("/tasks", {"priority": 1}, "must be one of none, low, medium, high, urgent"),
        ("/tasks", {"labels": "home"}, 'must be a list such as ["home", "garden"]'),
        ("/tasks", {"labels": ["a", 1]}, 'must be text such as "home"'),
        ("/tasks", {"time_zone": []}, 'must be text such as "Europe/Berlin", or null'),
        ("/users", {"role": "boss"}, "must be one of admin, user"),
        ("/users", {"full_name": 1}, 'must be text such as "Ada Lovelace", or null'),
    ],
)
async def test_a_wrong_type_is_told_what_is_expected(
    root: Person, path: str, body: dict[str, Any], detail: str
) -> None:
    answer = await root.post(path, {"title": "x"} | body if path == "/tasks" else body)
    assert answer.json()["errors"][0]["detail"] == detail


@pytest.mark.parametrize(
    ("body", "query", "detail"),
    [
        ({"title": ""}, "", "title: needs at least 1 character"),
        ({"title": "x", "labels": ["a", 1]}, "", 'labels/1: must be text such as "home"'),
        ({"title": "", "time_zone": "Mars"}, "", "The input breaks a rule"),
        ([], "", "a JSON object is required"),
        (None, "limit=0", "limit: must be a whole number from 1 to 100"),
        (None, "sort=size", "sort: must be one of -created, created, due"),
        (None, "stauts=done", "stauts: is not a parameter"),
        (None, "limit=0&skip=-1", "The input breaks a rule"),
    ],
)
async def test_a_single_broken_rule_is_the_detail(
    ada: Person, body: object, query: str, detail: str
) -> None:
    answer = await (ada.get(f"/tasks?{query}") if body is None else ada.post("/tasks", body))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


async def test_null_clears_what_has_a_null(ada: Person) -> None:
    due = {"due_at": "2030-02-01T08:00:00Z", "time_zone": "Asia/Tokyo"}
    task = (await ada.post("/tasks", {"title": "x"} | due)).json()
    cleared = (await ada.patch(f"/tasks/{task['id']}", {"due_at": None})).json()
    assert (cleared["due_at"], cleared["time_zone"], cleared["version"]) == (None, None, 2)
    dated = (await ada.put(f"/tasks/{task['id']}", {"due_date": "2030-02-01"})).json()
    assert (dated["due_date"], dated["due_at"], dated["title"]) == ("2030-02-01", None, "x")


async def ids(person: Person, query: str, *, total: int | None = None) -> list[int]:
    answer = await person.get(f"/tasks?{query}")
    assert answer.status_code == 200, answer.text
    found = [task["id"] for task in answer.json()["items"]]
    assert answer.json()["total"] == (len(found) if total is None else total)
    return found


async def test_lists_are_filtered_sorted_and_searched(ada: Person) -> None:
    bodies: list[dict[str, Any]] = [
        {"title": "Buy coffee", "due_date": "2030-01-05", "labels": ["Home"], "priority": "low"},
        {"title": "Call", "due_at": "2030-01-01T00:00:00Z", "description": "about the coffees"},
        {"title": "Rest", "status": "done", "priority": "urgent"},
    ]
    one, two, three = [(await ada.post("/tasks", body)).json()["id"] for body in bodies]
    assert await ids(ada, "") == [three, two, one]
    assert await ids(ada, "sort=created") == [one, two, three]
    assert await ids(ada, "sort=due") == [two, one, three]
    assert await ids(ada, "sort=priority") == [three, one, two]
    assert await ids(ada, "status=open") == [two, one]
    assert await ids(ada, "status=done&status=cancelled") == [three]
    assert await ids(ada, "status=open&priority=low&priority=high") == [one]
    assert await ids(ada, "label=home&label=garden") == [one]
    assert await ids(ada, "overdue=true") == [two]
    assert await ids(ada, "due_from=2030-01-05&due_until=2030-01-06") == [one]
    assert await ids(ada, "q=coff") == [one, two]
    assert await ids(ada, "q=COFFEES%20caLL") == [two]
    assert await ids(ada, "completed_from=2030-01-01") == [three]
    labels = (await ada.get("/labels")).json()
    assert labels == {"items": [{"name": "Home", "count": 1}], "next_cursor": None}


async def test_a_list_reads_on_with_its_filters(ada: Person) -> None:
    wanted = [(await ada.task(f"word {number}"))["id"] for number in range(5)]
    await ada.patch(f"/tasks/{wanted[3]}", {"status": "done"})
    for query, found in (
        ("sort=due&limit=2&status=open", [one for one in wanted if one != wanted[3]]),
        ("q=word&limit=2", wanted[::-1]),
    ):
        read: list[int] = []
        path = f"/tasks?{query}"
        while path:
            answer = await ada.get(path)
            read += [task["id"] for task in answer.json()["items"]]
            path = led_to(answer, "link") if "link" in answer.headers else ""
        assert read == found
        cursor = (await ada.get(f"/tasks?{query}")).json()["next_cursor"]
        assert (await ada.get(f"/tasks?{query}&cursor={cursor}")).json()["total"] is None
        for other in ("", "status=done", "sort=-updated"):
            answer = await ada.get(f"/tasks?{other}&cursor={cursor}")
            assert answer.json()["errors"][0]["code"] == "cursor_mismatch"


EMPTY = ("status", "priority", "overdue", "sort", "due_from", "due_until", "completed_from",
         "completed_until", "updated_from")  # fmt: skip


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("status=later", "status", "wrong_type"),
        ("&".join(["status=todo"] * 21), "status", "too_many"),
        ("sort=title", "sort", "wrong_type"),
        ("sort=relevance", "sort", "relevance_without_q"),
        ("q=", "q", "too_short"),
        ("q=!!!", "q", "no_words"),
        ("q=a+b+c+d+e+f+g+h+i", "q", "too_many_words"),
        ("due_from=tomorrow", "due_from", "wrong_type"),
        ("overdue=maybe", "overdue", "wrong_type"),
        ("overdue=false", "overdue", "wrong_type"),
        *((f"{name}=", name, "wrong_type") for name in EMPTY),
        *((f"{name}=", name, "out_of_range") for name in ("owner_id", "limit", "skip")),
        ("label=", "label", "too_short"),
        (f"label=home&label={'x' * 65}", "label", "too_long"),
        ("due=2030-01-01", "due", "unknown_parameter"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(
    ada: Person, query: str, parameter: str, code: str
) -> None:
    answer = await ada.get(f"/tasks?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == (parameter, code)


async def test_an_administrator_who_filters_names_the_owner(root: Person, ada: Person) -> None:
    task = await ada.task("x")
    answer = await root.get("/tasks?status=open")
    assert answer.json()["errors"][0]["code"] == "owner_required"
    assert await ids(root, f"status=open&owner_id={ada.id}") == [task["id"]]
    assert await ids(root, "") == [task["id"]]


async def test_a_deleted_task_is_in_the_trash_until_it_is_restored(
    ada: Person, bob: Person
) -> None:
    task = await ada.task("x")
    there = f"/tasks/{task['id']}"
    assert (await ada.ask("DELETE", there)).status_code == 204
    assert (await ada.get(there)).status_code == 404
    assert await ids(ada, "q=x") == await ids(ada, "") == []
    page = (await ada.get("/trash")).json()
    (thrown,) = page["items"]
    assert (page["total"], thrown["id"], thrown["title"]) == (1, task["id"], "x")
    assert thrown["deleted_at"] == "2030-01-02T03:04:05.678901Z"
    for method, path in (
        ("POST", f"/trash/{task['id']}/restore"),
        ("DELETE", f"/trash/{task['id']}"),
    ):
        assert (await bob.ask(method, path)).status_code == 404
    restored = await ada.ask("POST", f"/trash/{task['id']}/restore")
    assert (restored.status_code, restored.headers["etag"]) == (200, '"3"')
    assert (await ada.get(there)).json() == restored.json()
    await ada.ask("DELETE", there)
    assert (await ada.ask("DELETE", f"/trash/{task['id']}")).status_code == 204
    assert (await ada.get("/trash")).json()["items"] == []
    assert (await ada.ask("POST", f"/trash/{task['id']}/restore")).status_code == 404
