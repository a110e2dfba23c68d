"""Tasks over HTTP: creating, reading, editing and deleting one."""

import structlog
from litestar import Router, delete, get, patch, post, put
from litestar.params import FromPath, JSONBody

from taskapi.bodies import fields_set
from taskapi.documented_operations import SENDS
from taskapi.etags import etag, matches
from taskapi.idempotency import once
from taskapi.paths import PREFIX, parse_id
from taskapi.preconditions import precondition
from taskapi.problems import MAY_REFUSE, READS
from taskapi.providers import ActorRequest, logged_in
from taskapi.responses import JsonResponse
from taskapi.task_lists import PATH, list_tasks
from taskapi.task_views import TaskDraft, TaskPatch, TaskView, answer
from taskcore import Invalid, NotFound, StaleWrite, TaskId

log = structlog.get_logger("taskapi")

_URL = PREFIX + PATH


@post("/", operation_id="createTask", opt={MAY_REFUSE: (Invalid,), SENDS: ("ETag", "Location")})
@once
async def create_task(request: ActorRequest, data: JSONBody[TaskDraft]) -> JsonResponse[TaskView]:
    """Create a task.

    Only the title is needed. A task may be due on a day (`due_date`) or at a moment (`due_at`), not
    both.
    """
    task = await request.core.tasks.create(request.actor, **fields_set(data))
    log.info("task.created", task_id=task.id, by=request.actor.user_id)
    return answer(task, 201, {"Location": f"{_URL}/{task.id}"})


@get(
    "/{task_id:str}",
    operation_id="getTask",
    opt={MAY_REFUSE: (NotFound,), READS: ("If-None-Match",), SENDS: ("ETag",)},
)
async def get_task(
    request: ActorRequest, task_id: FromPath[str]
) -> JsonResponse[TaskView] | JsonResponse[None]:
    """Show a task."""
    task = await request.core.tasks.get(request.actor, TaskId(parse_id(task_id)))
    tag = etag(task.version)
    if matches(request.header(b"if-none-match"), tag):
        return JsonResponse(None, status_code=304, headers={"ETag": tag})
    return answer(task)


@once
async def _edit(
    request: ActorRequest, task_id: FromPath[str], data: JSONBody[TaskPatch]
) -> JsonResponse[TaskView]:
    """Edit a task.

    What is not named stays as it is, with PUT as with PATCH; `null` takes a due away. With
    `If-Match` it succeeds only on the version that you have seen.
    """
    changes = fields_set(data)
    async with precondition(request, task_id) as version:
        task = await request.core.tasks.edit(
            request.actor, TaskId(parse_id(task_id)), expected_version=version, **changes
        )
    if changes:
        log.info("task.changed", task_id=task.id, by=request.actor.user_id, fields=sorted(changes))
    return answer(task)


_EDITING = {MAY_REFUSE: (NotFound, StaleWrite, Invalid), READS: ("If-Match",), SENDS: ("ETag",)}
edit_task = put("/{task_id:str}", operation_id="editTask", opt=_EDITING)(_edit)
patch_task = patch("/{task_id:str}", operation_id="patchTask", opt=_EDITING)(_edit)


@delete(
    "/{task_id:str}",
    operation_id="deleteTask",
    opt={MAY_REFUSE: (NotFound, StaleWrite), READS: ("If-Match",)},
)
@once
async def delete_task(request: ActorRequest, task_id: FromPath[str]) -> None:
    """Delete a task: it goes to the trash, from which it can be restored."""
    async with precondition(request, task_id) as version:
        await request.core.tasks.delete(
            request.actor, TaskId(parse_id(task_id)), expected_version=version
        )
    log.info("task.deleted", task_id=int(task_id), by=request.actor.user_id)


tasks = Router(
    PATH,
    route_handlers=[list_tasks, create_task, get_task, edit_task, patch_task, delete_task],
    before_request=logged_in,
    tags=["Tasks"],
)
