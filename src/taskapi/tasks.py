"""Tasks over HTTP."""

from typing import Annotated

import msgspec
import structlog
from litestar import Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from taskapi.bodies import Body, fields_set
from taskapi.cursors import TaskCursor, next_page
from taskapi.etags import NO_VERSION, etag, if_match_versions, matches
from taskapi.fields import Description, Id, Timestamp, Title, Total, Version
from taskapi.openapi import READS, SENDS
from taskapi.paths import PREFIX, parse_id
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, logged_in
from taskapi.query import ANY_USER, DEFAULT_LIMIT, DEFAULT_SKIP, Limit, QueryInt, Skip
from taskapi.responses import JsonResponse, View
from taskcore import Forbidden, Invalid, NotFound, Page, StaleWrite, Task, TaskId, UserId
from taskcore.cursors import TASKS

log = structlog.get_logger("taskapi")

_PATH = "/tasks"
_URL = PREFIX + _PATH
# A hundred tasks of 5000 letters; it bounds those of 5000 emoji. A client that does not read keeps
# as much of our memory.
MAX_PAGE_BYTES = 524288
_FIT_ALWAYS = 80_000  # characters of description, of 4 bytes at most, with a hundred titles
OwnerId = Annotated[
    QueryInt, QueryInt.meta("Whose tasks; only administrators may name another owner")
]


class TaskDraft(Body):
    title: Title
    description: Description = ""


class TaskPatch(Body):
    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class TaskView(View):
    """A task."""

    id: Id
    title: Title
    description: Description
    owner_id: Id
    version: Version
    created_at: Timestamp
    updated_at: Timestamp


class TaskPage(View):
    items: list[TaskView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: TaskCursor | None


@get("/", operation_id="listTasks", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_tasks(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    owner_id: FromQuery[OwnerId] = ANY_USER,
    cursor: FromQuery[TaskCursor] = "",
) -> JsonResponse[TaskPage]:
    """List tasks, newest first.

    A user lists their own tasks, an administrator those of all users or of one. For the next page
    send `next_cursor` as `cursor`, or follow the `Link` header: tasks created or deleted meanwhile
    shift nothing, and the last page is as fast as the first. With `skip` they do shift. A page of
    more than 512 KiB ends early, and its `limit` says with how many tasks.
    """
    owner = None if owner_id is ANY_USER else UserId(owner_id)
    page = await request.core.tasks.page(
        request.actor, owner_id=owner, skip=skip, limit=limit, before=TASKS.read(cursor)
    )
    bounded = _bounded(page)
    # So that a client that adds the page's `limit` to `skip` leaves out no task.
    shown = limit if bounded is page else type(limit)(len(bounded.items))
    next_cursor = TASKS.after(bounded)
    items = msgspec.convert(bounded.items, list[TaskView], from_attributes=True)
    view = TaskPage(items, page.total, skip, shown, next_cursor)
    return JsonResponse(view, headers=next_page(_PATH, next_cursor, limit, owner_id=owner))


def _bounded(page: Page[Task]) -> Page[Task]:
    """The page, without the last tasks if it has more than MAX_PAGE_BYTES."""
    if sum(len(task.description) for task in page.items) <= _FIT_ALWAYS:
        return page
    size = 0
    for number, task in enumerate(page.items):
        size += len(msgspec.json.encode(task))
        if size > MAX_PAGE_BYTES:
            return Page(page.items[:number], page.total, has_more=True)
    return page


@post("/", operation_id="createTask", opt={MAY_REFUSE: (Invalid,), SENDS: ("ETag", "Location")})
async def create_task(request: ActorRequest, data: JSONBody[TaskDraft]) -> JsonResponse[TaskView]:
    """Create a task."""
    task = await request.core.tasks.create(request.actor, **fields_set(data))
    log.info("task.created", task_id=task.id, by=request.actor.user_id)
    return _response(task, 201, {"Location": f"{_URL}/{task.id}"})


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
    return _response(task)


async def _expected_version(request: ActorRequest, task_id: str) -> int | None:
    """The version that the client's conditions allow a write to; None for any."""
    versions = if_match_versions(request.header(b"if-match"))
    if_none_match = request.header(b"if-none-match")
    if versions is None and if_none_match is None:
        return None
    if if_none_match is not None or len(versions or ()) > 1:  # the current one, if it is allowed
        task = await request.core.tasks.get(request.actor, TaskId(parse_id(task_id)))
        is_allowed = versions is None or task.version in versions
        is_allowed = is_allowed and not matches(if_none_match, etag(task.version))
        return task.version if is_allowed else NO_VERSION
    return next(iter(versions or ()), NO_VERSION)


async def _edit(
    request: ActorRequest, task_id: FromPath[str], data: JSONBody[TaskPatch]
) -> JsonResponse[TaskView]:
    """Edit a task.

    What is not named stays as it is, with PUT as with PATCH. With `If-Match` it succeeds only on
    the version that you have seen.
    """
    changes = fields_set(data)
    task = await request.core.tasks.edit(
        request.actor,
        TaskId(parse_id(task_id)),
        expected_version=await _expected_version(request, task_id),
        **changes,
    )
    if changes:
        log.info("task.changed", task_id=task.id, by=request.actor.user_id, fields=sorted(changes))
    return _response(task)


_EDITING = {MAY_REFUSE: (NotFound, StaleWrite, Invalid), READS: ("If-Match",), SENDS: ("ETag",)}
edit_task = put("/{task_id:str}", operation_id="editTask", opt=_EDITING)(_edit)
patch_task = patch("/{task_id:str}", operation_id="patchTask", opt=_EDITING)(_edit)


@delete(
    "/{task_id:str}",
    operation_id="deleteTask",
    opt={MAY_REFUSE: (NotFound, StaleWrite), READS: ("If-Match",)},
)
async def delete_task(request: ActorRequest, task_id: FromPath[str]) -> None:
    """Delete a task."""
    await request.core.tasks.delete(
        request.actor,
        TaskId(parse_id(task_id)),
        expected_version=await _expected_version(request, task_id),
    )
    log.info("task.deleted", task_id=int(task_id), by=request.actor.user_id)


def _response(
    task: Task, status: int = 200, headers: dict[str, str] | None = None
) -> JsonResponse[TaskView]:
    return JsonResponse(
        TaskView.of(task),
        status_code=status,
        headers={"ETag": etag(task.version)} | (headers or {}),
    )


tasks = Router(
    _PATH,
    route_handlers=[list_tasks, create_task, get_task, edit_task, patch_task, delete_task],
    before_request=logged_in,
    tags=["Tasks"],
)
