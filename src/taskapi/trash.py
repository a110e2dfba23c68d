"""The trash over HTTP."""

import msgspec
import structlog
from litestar import Router, delete, get, post
from litestar.params import FromPath, FromQuery

from taskapi.compression import PackableJson
from taskapi.cursors import TrashCursor, next_page
from taskapi.documented_operations import SENDS
from taskapi.idempotency import once
from taskapi.paths import parse_id
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, logged_in
from taskapi.query import ANY_USER, DEFAULT_LIMIT, DEFAULT_SKIP, Limit, Skip
from taskapi.responses import JsonResponse
from taskapi.task_lists import OwnerId
from taskapi.task_views import TaskView, TrashedTaskView, TrashPage, answer, bounded, shown
from taskcore import Forbidden, Invalid, NotFound, TaskId, UserId
from taskcore.cursors import TRASH

log = structlog.get_logger("taskapi")

_PATH = "/trash"


@get("/", operation_id="listTrash", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_trash(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    owner_id: FromQuery[OwnerId] = ANY_USER,
    cursor: FromQuery[TrashCursor] = "",
) -> JsonResponse[TrashPage]:
    """List the tasks in your trash, the one deleted last first.

    They are removed for good 30 days after their deletion, unless the operator has set another
    time. Pages work as in the list of tasks.
    """
    owner = None if owner_id is ANY_USER else UserId(owner_id)
    page = await request.core.tasks.trash(
        request.actor, owner_id=owner, skip=skip, limit=limit, after=TRASH.read(cursor)
    )
    part = bounded(page)
    next_cursor = TRASH.after(part)
    items = msgspec.convert(part.items, list[TrashedTaskView], from_attributes=True)
    view = TrashPage(items, page.total, skip, shown(part, limit), next_cursor)
    return PackableJson(view, headers=next_page(_PATH, next_cursor, limit, owner_id=owner))


@post(
    "/{task_id:str}/restore",
    operation_id="restoreTask",
    status_code=200,
    opt={MAY_REFUSE: (NotFound,), SENDS: ("ETag",)},
)
@once
async def restore_task(request: ActorRequest, task_id: FromPath[str]) -> JsonResponse[TaskView]:
    """Take a task out of the trash."""
    task = await request.core.tasks.restore(request.actor, TaskId(parse_id(task_id)))
    log.info("task.restored", task_id=task.id, by=request.actor.user_id)
    return answer(task)


@delete("/{task_id:str}", operation_id="purgeTask", opt={MAY_REFUSE: (NotFound,)})
@once
async def purge_task(request: ActorRequest, task_id: FromPath[str]) -> None:
    """Remove a task in the trash for good."""
    await request.core.tasks.purge(request.actor, TaskId(parse_id(task_id)))
    log.info("task.purged", task_id=int(task_id), by=request.actor.user_id)


trash = Router(
    _PATH,
    route_handlers=[list_trash, restore_task, purge_task],
    before_request=logged_in,
    tags=["Trash"],
)
