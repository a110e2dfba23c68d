"""Bulks of operations on tasks over HTTP.

An answer holds at most 100 tasks; the largest, with 5000 characters of 4 bytes and 20 labels each,
has 2.7 MB. With an `Idempotency-Key` an answer of more than 1 MiB is refused, and nothing is done.
"""

from typing import Annotated

import structlog
from litestar import post
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from taskapi.bodies import Body, fields_set
from taskapi.body_limits import LARGEST_BODY
from taskapi.fields import Id, Version
from taskapi.idempotency import once
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, logged_in
from taskapi.responses import JsonResponse, View
from taskapi.task_lists import PATH
from taskapi.task_views import TaskDraft, TaskPatch, TaskView
from taskcore import (
    Create,
    Delete,
    Invalid,
    NotFound,
    Operation,
    Restore,
    StaleWrite,
    TaskId,
    Update,
)
from taskcore.domain.bulk import MAX_OPERATIONS, check_operations

log = structlog.get_logger("taskapi")


class CreateOperation(Body, tag_field="op", tag="create"):
    task: TaskDraft

    def operation(self) -> Operation:
        return Create(fields_set(self.task))  # type: ignore[arg-type]


class UpdateOperation(Body, tag_field="op", tag="update"):
    id: Id
    changes: TaskPatch
    version: Version | UnsetType = UNSET

    def operation(self) -> Operation:
        changes = fields_set(self.changes)
        return Update(TaskId(self.id), changes, _version(self.version))  # type: ignore[arg-type]


class DeleteOperation(Body, tag_field="op", tag="delete"):
    id: Id
    version: Version | UnsetType = UNSET

    def operation(self) -> Operation:
        return Delete(TaskId(self.id), _version(self.version))


class RestoreOperation(Body, tag_field="op", tag="restore"):
    id: Id

    def operation(self) -> Operation:
        return Restore(TaskId(self.id))


def _version(version: int | UnsetType) -> int | None:
    return None if version is UNSET else version


_EXAMPLE = [
    {"op": "create", "task": {"title": "Write the letter"}},
    {"op": "update", "id": 1, "version": 2, "changes": {"status": "done"}},
    {"op": "delete", "id": 3},
    {"op": "restore", "id": 4},
]


class Bulk(Body):
    operations: Annotated[
        list[CreateOperation | UpdateOperation | DeleteOperation | RestoreOperation],
        Meta(
            description="With a `version`, the task must have that one",
            extra_json_schema={
                "minItems": 1,
                "maxItems": MAX_OPERATIONS,
                "examples": [_EXAMPLE],
            },
        ),
    ]


class BulkResultView(View):
    items: Annotated[
        list[TaskView | None],
        Meta(description="The task that each operation has left, null for a deleted one"),
    ]


@post(
    f"{PATH}/bulk",
    operation_id="changeTasks",
    status_code=200,
    request_max_body_size=LARGEST_BODY,
    before_request=logged_in,
    tags=["Tasks"],
    opt={MAY_REFUSE: (NotFound, StaleWrite, Invalid)},
)
@once
async def bulk(request: ActorRequest, data: JSONBody[Bulk]) -> JsonResponse[BulkResultView]:
    """Create, edit, delete and restore up to 100 tasks at once.

    All operations are done, in their order, or none. The first that is refused is the answer, as if
    it came alone; `errors` points to it. All are about tasks of one account.
    """
    check_operations(data.operations)  # before they are made: a body may hold 45 000
    operations = [each.operation() for each in data.operations]
    tasks = await request.core.tasks.bulk(request.actor, operations)
    log.info("tasks.bulk", by=request.actor.user_id, operations=len(tasks))
    items = [None if task is None else TaskView.of(task) for task in tasks]
    return JsonResponse(BulkResultView(items))
