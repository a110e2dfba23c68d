"""The story of a client, told with openapi-python-client: `python python_client.py URL`."""
# The client is generated when the story is told; `mypy --strict` checks it there, with this file.
# mypy: disable-error-code="import-not-found"

import datetime as dt
import sys
import time
from collections.abc import Generator
from typing import TypeVar

import httpx
from taskcore_client import AuthenticatedClient, Client
from taskcore_client.api.authentication import log_in, log_out, me, refresh, register
from taskcore_client.api.history import list_changes
from taskcore_client.api.tasks import change_tasks, create_task, get_task, list_tasks, patch_task
from taskcore_client.models import (
    Bulk,
    BulkResult,
    ChangeKind,
    Changes,
    CreateOperation,
    CreateOperationOp,
    Credentials,
    DeleteOperation,
    DeleteOperationOp,
    Priority,
    Problem,
    ProblemCode,
    Refresh,
    Registration,
    Sort,
    Status,
    StatusFilter,
    Task,
    TaskDraft,
    TaskPage,
    TaskPatch,
    Tokens,
    UpdateOperation,
    UpdateOperationOp,
    User,
)
from taskcore_client.types import UNSET, Unset

Found = TypeVar("Found")
PASSWORD = "correct horse battery"
DUE = dt.datetime(2026, 12, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def got(kind: type[Found], answer: object) -> Found:
    assert isinstance(answer, kind), answer
    return answer


def equal(found: object, expected: object) -> None:
    assert found == expected, f"{found} instead of {expected}"


class Session(httpx.Auth):
    """Sends the access token, and after a 401 refreshes it and tries once more."""

    def __init__(self, anonymous: Client, tokens: Tokens) -> None:
        self._anonymous, self._tokens = anonymous, tokens
        self._access_token, self.refreshes = "an access token that has expired", 0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            body = Refresh(self._tokens.refresh_token)
            self._tokens = got(Tokens, refresh.sync(client=self._anonymous, body=body))
            self._access_token = self._tokens.access_token
            self.refreshes += 1
            request.headers["Authorization"] = f"Bearer {self._access_token}"
            yield request


def story(url: str) -> None:
    anonymous = Client(base_url=url)
    email = f"python-{time.time_ns()}@example.org"
    registration = Registration(email, PASSWORD)
    user = got(User, register.sync(client=anonymous, body=registration))
    again = got(Problem, register.sync(client=anonymous, body=registration))
    equal(again.code, ProblemCode.EMAIL_TAKEN)
    tokens = got(Tokens, log_in.sync(client=anonymous, body=Credentials(email, PASSWORD)))
    session = Session(anonymous, tokens)
    client = AuthenticatedClient(base_url=url, token="", httpx_args={"auth": session})
    equal(got(User, me.sync(client=client)).id, user.id)
    equal(session.refreshes, 1)

    start = got(Changes, list_changes.sync(client=client))
    letter, call, tea = (
        got(
            Task,
            create_task.sync(client=client, body=TaskDraft(title, priority=priority, due_at=DUE,
                                                           labels=["home"])),
        )
        for title, priority in (
            ("Letter", Priority.HIGH),
            ("Call", Priority.LOW),
            ("Tea", Priority.URGENT),
        )
    )  # fmt: skip
    equal((letter.status, letter.due_at), (Status.TODO, DUE))
    retry_safely(client)
    filter_and_read_on(client, [tea.id, letter.id])
    edit_twice(client, letter)

    update = UpdateOperation(
        UpdateOperationOp.UPDATE, call.id, TaskPatch(status=Status.DONE), version=call.version
    )
    create = CreateOperation(CreateOperationOp.CREATE, TaskDraft("Bulk"))
    bulk = Bulk([create, update, DeleteOperation(DeleteOperationOp.DELETE, tea.id)])
    left = got(BulkResult, change_tasks.sync(client=client, body=bulk)).items
    equal([task and task.status for task in left], [Status.TODO, Status.DONE, None])
    told = changed(client, start.cursor)
    equal((len(told), told[tea.id]), (5, ChangeKind.REMOVED))
    equal(log_out.sync_detailed(client=client).status_code, 204)


def retry_safely(client: AuthenticatedClient) -> None:
    first, replay = (
        create_task.sync_detailed(client=client, body=TaskDraft("Once"), idempotency_key="a-key")
        for _ in range(2)
    )
    equal(got(Task, first.parsed).id, got(Task, replay.parsed).id)
    equal(replay.headers["Idempotency-Replayed"], "true")


def filter_and_read_on(client: AuthenticatedClient, urgent: list[int]) -> None:
    page = list_tasks.sync(
        client=client,
        status=[StatusFilter.OPEN],
        priority=[Priority.HIGH, Priority.URGENT],
        label=["HOME"],
        due_from=DUE.date(),
        due_until=DUE + dt.timedelta(days=1),
        sort=Sort.PRIORITY,
    )
    equal([task.id for task in got(TaskPage, page).items], urgent)
    equal(got(Problem, list_tasks.sync(client=client, limit=0)).code, ProblemCode.INVALID)
    seen: list[int] = []
    cursor: str | Unset | None = UNSET
    while cursor is not None:
        page = got(TaskPage, list_tasks.sync(client=client, limit=2, cursor=cursor))
        seen += [task.id for task in page.items]
        cursor = page.next_cursor
    equal((len(seen), len(set(seen))), (4, 4))


def edit_twice(client: AuthenticatedClient, task: Task) -> None:
    """The second time on the version that the first has replaced."""
    tag = get_task.sync_detailed(task.id, client=client).headers["ETag"]
    edited, stale = (
        patch_task.sync_detailed(
            task.id, client=client, body=TaskPatch(status=Status.IN_PROGRESS), if_match=tag
        )
        for _ in range(2)
    )
    equal(got(Task, edited.parsed).version, 2)
    equal((stale.status_code, got(Problem, stale.parsed).code), (412, ProblemCode.STALE_WRITE))


def changed(client: AuthenticatedClient, cursor: str) -> dict[int, ChangeKind]:
    told: dict[int, ChangeKind] = {}
    has_more = True
    while has_more:
        page = got(Changes, list_changes.sync(client=client, cursor=cursor, limit=2))
        told |= {item.id: item.change for item in page.items}
        cursor, has_more = page.cursor, page.has_more
    return told


if __name__ == "__main__":
    story(sys.argv[1])
    sys.stdout.write("told to its end\n")
