"""Tasks on the wire: their types, and answers with one task or a page of them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from taskapi.bodies import Body
from taskapi.cursors import TaskCursor, TrashCursor
from taskapi.etags import etag
from taskapi.fields import (
    CompletedAt,
    Description,
    DueAt,
    DueDate,
    DueTimeZone,
    Id,
    Labels,
    ShownDueAt,
    TaskPriority,
    TaskPriorityWord,
    TaskStatus,
    TaskStatusWord,
    Timestamp,
    Title,
    Total,
    Version,
)
from taskapi.query import Limit, Skip
from taskapi.responses import JsonResponse, View
from taskapi.view_sizes import CHARACTER, most_bytes
from taskcore import Page, Priority, Status, Task
from taskcore.domain.events import text_length

Item = TypeVar("Item")

# Enough for a hundred tasks of 5000 letters, not of 5000 emoji: a client that does not read keeps
# as much of our memory.
MAX_PAGE_BYTES = 655_360


class TaskDraft(Body):
    title: Title
    description: Description = ""
    status: TaskStatusWord = Status.TODO.value
    priority: TaskPriorityWord = Priority.NONE.value
    due_date: DueDate | None = None
    due_at: DueAt | None = None
    time_zone: DueTimeZone | None = None
    labels: Labels = ()


class TaskPatch(Body):
    shown = ("status", "priority")

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    status: TaskStatusWord | UnsetType = UNSET
    priority: TaskPriorityWord | UnsetType = UNSET
    due_date: DueDate | UnsetType | None = UNSET
    due_at: DueAt | UnsetType | None = UNSET
    time_zone: DueTimeZone | UnsetType | None = UNSET
    labels: Labels | UnsetType = UNSET


class TaskView(View):
    """A task."""

    id: Id
    title: Title
    description: Description
    status: TaskStatus
    priority: TaskPriority
    due_date: DueDate | None
    due_at: ShownDueAt | None
    time_zone: DueTimeZone | None
    labels: Labels
    completed_at: CompletedAt | None
    owner_id: Id
    version: Version
    created_at: Timestamp
    updated_at: Timestamp


class TrashedTaskView(TaskView):
    """A task in the trash."""

    deleted_at: Timestamp


class TaskPage(View):
    items: list[TaskView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: TaskCursor | None


class TrashPage(View):
    items: list[TrashedTaskView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: TrashCursor | None


# The fields whose characters `fitting_tasks` counts, and the most bytes of a task without them.
_COUNTED = ("title", "description", "labels")
_REST = most_bytes(TrashedTaskView, without=_COUNTED)


def answer(
    task: Task, status: int = 200, headers: dict[str, str] | None = None
) -> JsonResponse[TaskView]:
    return JsonResponse(
        TaskView.of(task),
        status_code=status,
        headers={"ETag": etag(task.version)} | (headers or {}),
    )


def bounded(page: Page[Task]) -> Page[Task]:
    """The page, without the last tasks if it has more than MAX_PAGE_BYTES."""
    return cut(page, fitting_tasks(page.items))


def fitting_tasks(tasks: Sequence[Task | None]) -> int:
    """As `fitting`, which it spares where texts are short."""
    characters = text_length(task for task in tasks if task)
    if CHARACTER * characters + _REST * len(tasks) <= MAX_PAGE_BYTES:
        return len(tasks)
    return fitting(tasks)


def fitting(items: Iterable[object]) -> int:
    """How many of the first items have MAX_PAGE_BYTES together at most."""
    size = number = 0
    for number, item in enumerate(items, 1):
        size += len(msgspec.json.encode(item))
        if size > MAX_PAGE_BYTES:
            return number - 1
    return number


def cut(page: Page[Item], number: int) -> Page[Item]:
    """The page with so many items at most."""
    if number >= len(page.items):
        return page
    return Page(page.items[:number], page.total, has_more=True)


def shown(page: Page[Any], limit: Limit) -> Limit:
    """The limit to show, so that a client that adds it to `skip` leaves out no task."""
    return limit if len(page.items) == limit or not page.has_more else type(limit)(len(page.items))
