"""Bulks of operations on tasks over HTTP."""

import json
from typing import Any

import pytest

from taskapi.body_limits import LARGEST_BODY, MAX_BODY_BYTES
from taskapi.capacity import LargeBodies
from taskcore import Origin
from taskcore.domain.bulk import MAX_OPERATIONS
from tests.api.people import MISSING_ID, Person

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


def create(**task: object) -> Json:
    return {"op": "create", "task": {"title": "x"} | task}


async def bulk(person: Person, *operations: object) -> Any:
    return await person.ask("POST", "/tasks/bulk", {"operations": operations})


async def test_operations_are_done_in_their_order(ada: Person) -> None:
    made = (await bulk(ada, create(title="one", due_date="2030-02-03"), create())).json()["items"]
    assert [(task["title"], task["version"]) for task in made] == [("one", 1), ("x", 1)]
    assert made[0]["due_date"] == "2030-02-03"
    one, two = (task["id"] for task in made)
    answer = await bulk(
        ada,
        {"op": "update", "id": one, "version": 1, "changes": {"due_date": None}},
        {"op": "update", "id": one, "version": 2, "changes": {"status": "done"}},
        {"op": "delete", "id": two},
        {"op": "restore", "id": two},
        {"op": "delete", "id": one},
    )
    assert answer.status_code == 200
    cleared, done, deleted, restored, gone = answer.json()["items"]
    assert (cleared["due_date"], cleared["version"]) == (None, 2)
    assert (done["status"], done["version"]) == ("done", 3)
    assert deleted is gone is None
    assert (restored["id"], restored["version"]) == (two, 3)
    assert (await ada.ask("GET", "/tasks")).json()["items"] == [restored]


# What is sent as the third operation, and the one problem that the answer points to.
OWN = 0  # stands for the id of a task
REFUSED: list[tuple[object, int, str, str]] = [
    ({"op": "delete", "id": MISSING_ID}, 404, "/operations/2/id", "not_found"),
    (
        {"op": "update", "id": OWN, "version": 2, "changes": {}},
        412,
        "/operations/2/version",
        "stale_write",
    ),
    (create(title=""), 422, "/operations/2/task/title", "too_short"),
    (create(labels=["a", "b", "a"]), 422, "/operations/2/task/labels/2", "duplicate_label"),
    (
        {"op": "update", "id": OWN, "changes": {"status": "never"}},
        422,
        "/operations/2/changes/status",
        "wrong_type",
    ),
    # Wrong in shape: told before anything is done.
    ({"op": "create", "task": {}}, 422, "/operations/2/task/title", "required"),
    (create(nothing=1), 422, "/operations/2/task/nothing", "unknown_field"),
    (create(id=1), 422, "/operations/2/task/id", "read_only"),
    (create(**{"a/b": 1}), 422, "/operations/2/task/a~1b", "unknown_field"),
    (create(title=5), 422, "/operations/2/task/title", "wrong_type"),
    (create(title=None), 422, "/operations/2/task/title", "not_nullable"),
    (create(labels=["a", 1]), 422, "/operations/2/task/labels/1", "wrong_type"),
    ({"op": "restore"}, 422, "/operations/2/id", "required"),
    ({"op": "restore", "id": "1"}, 422, "/operations/2/id", "wrong_type"),
    ({"op": "delete", "id": 1, "version": None}, 422, "/operations/2/version", "not_nullable"),
    ({"op": "delete", "id": 1, "title": "x"}, 422, "/operations/2/title", "unknown_field"),
    ({"op": "purge", "id": 1}, 422, "/operations/2/op", "wrong_type"),
    ({"id": 1}, 422, "/operations/2/op", "required"),
    (1, 422, "/operations/2", "wrong_type"),
]


async def test_a_refusal_points_to_its_operation_and_nothing_is_done(ada: Person) -> None:
    task = (await ada.ask("POST", "/tasks", {"title": "x"})).json()
    for third, status, pointer, code in REFUSED:
        sent = third
        if isinstance(third, dict) and third.get("id") == OWN:
            sent = third | {"id": task["id"]}
        answer = await bulk(ada, create(), create(), sent)
        problem = answer.json()
        assert answer.status_code == problem["status"] == status, third
        assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [(pointer, code)]
        assert problem["code"] == ("invalid" if status == 422 else code)
    assert (await ada.ask("GET", "/tasks")).json()["items"] == [task]


async def test_a_word_that_is_no_operation_is_answered_with_those_that_are(ada: Person) -> None:
    (error,) = (await bulk(ada, {"op": "purge", "id": 1})).json()["errors"]
    assert error["detail"] == "must be one of create, update, delete, restore"


@pytest.mark.parametrize("count", [0, MAX_OPERATIONS + 1])
async def test_too_few_or_too_many_operations_are_refused(ada: Person, count: int) -> None:
    answer = await bulk(ada, *[create()] * count)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/operations", "out_of_range")


async def test_a_bulk_may_be_larger_than_other_bodies(ada: Person) -> None:
    operations = [create(description="a\u00e9" * 2500)] * MAX_OPERATIONS
    body = json.dumps({"operations": operations}, ensure_ascii=False).encode()
    assert MAX_BODY_BYTES < len(body) < LARGEST_BODY
    answer = await ada.ask("POST", "/tasks/bulk", content=body)
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == MAX_OPERATIONS
    too_large = body + b" " * (LARGEST_BODY + 1 - len(body))
    for path, content in (("/tasks", body), ("/tasks/bulk", too_large)):
        assert (await ada.ask("POST", path, content=content)).status_code == 413


async def test_a_large_body_takes_a_place_until_it_is_answered(ada: Person) -> None:
    body = b'{"operations": []' + b" " * MAX_BODY_BYTES + b"}"
    for _ in range(6):
        assert (await ada.ask("POST", "/tasks/bulk", content=body)).status_code == 422


def large_requests(clients: int, of_each: int) -> list[tuple[object, Origin]]:
    """The requests of one client after those of another."""
    origins = [
        Origin.new(ip=f"192.0.2.{number}", user_agent="", request_id="")
        for number in range(clients)
    ]
    return [(object(), client) for client in origins for _ in range(of_each)]


async def test_a_few_clients_with_many_large_bodies_take_no_more_than_a_share_of_the_memory() -> (
    None
):
    """A request takes up to twenty times its body while it is served."""
    large = LargeBodies()
    requests = large_requests(clients=8, of_each=5)
    admitted = [each for each in requests if large.admit(*each, LARGEST_BODY)]
    # Four of the first client, and of the second, then one of each.
    assert [client for _, client in admitted[3:5]] == [requests[0][1], requests[5][1]]
    assert len(admitted) == 4 + 4 + 6
    assert large.admit(*admitted[0], LARGEST_BODY)  # a further part of its body
    for request, _ in admitted:
        large.release(request)
    smaller = large_requests(clients=1, of_each=50)
    admitted = [each for each in smaller if large.admit(*each, 100_000)]
    assert len(admitted) == 4 * LARGEST_BODY // 100_000


async def test_all_clients_together_have_a_bounded_number_of_large_bodies() -> None:
    large = LargeBodies()
    requests = large_requests(clients=40, of_each=1)
    admitted = [each for each in requests if large.admit(*each, LARGEST_BODY)]
    assert len(admitted) == 32
    assert not large.admit(object(), None, LARGEST_BODY)
    large.release(admitted[0][0])
    assert large.admit(object(), None, LARGEST_BODY)
