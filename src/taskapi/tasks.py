"""Tasks over HTTP."""

from typing import Annotated

import structlog
from dishka.integrations.litestar import FromDishka, inject
from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody
from msgspec import UNSET, UnsetType

from taskapi.problems import MAY_REFUSE, SENDS
from taskapi.providers import logged_in
from taskapi.wire import (
    ANYBODY,
    FIRST,
    MOST,
    NO_VERSION,
    Body,
    Description,
    Limit,
    OwnerId,
    Skip,
    TaskView,
    Title,
    Total,
    View,
    etag,
    identifier,
    matches,
    named,
    seen_versions,
    view,
)
from taskcore import Actor, Core, Forbidden, Invalid, NotFound, StaleWrite, Task, TaskId, UserId

log = structlog.get_logger("taskapi")


class TaskDraft(Body):
    title: Title
    description: Description = ""


class TaskPatch(Body):
    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class TaskPage(View):
    items: list[TaskView]
    total: Total
    skip: Skip
    limit: Limit


IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description='The version that you have seen, as `"3"`'),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(name="If-None-Match", description='The version that you have, as `"3"`'),
]


@get("/", operation_id="listTasks", opt={MAY_REFUSE: (Forbidden, Invalid)})
@inject
async def list_tasks(
    core: FromDishka[Core],
    actor: FromDishka[Actor],
    skip: FromQuery[Skip] = FIRST,
    limit: FromQuery[Limit] = MOST,
    owner_id: FromQuery[OwnerId] = ANYBODY,
) -> TaskPage:
    """List tasks, newest first.

    One's own; administrators see everybody's, or one owner's.
    """
    owner = None if owner_id is ANYBODY else UserId(owner_id)
    page = await core.tasks.page(actor, owner_id=owner, skip=skip, limit=limit)
    return TaskPage([view(task, TaskView) for task in page.items], page.total, skip, limit)


@post("/", operation_id="createTask", opt={MAY_REFUSE: (Invalid,), SENDS: ("ETag", "Location")})
@inject
async def create_task(
    data: JSONBody[TaskDraft], core: FromDishka[Core], actor: FromDishka[Actor]
) -> Response[TaskView]:
    """Create a task."""
    task = await core.tasks.create(actor, title=data.title, description=data.description)
    log.info("task.created", task_id=task.id, by=actor.user_id)
    return _shown(task, 201, {"Location": f"/api/v1/tasks/{task.id}"})


@get("/{task_id:str}", operation_id="getTask", opt={MAY_REFUSE: (NotFound,), SENDS: ("ETag",)})
@inject
async def get_task(
    task_id: FromPath[str],
    core: FromDishka[Core],
    actor: FromDishka[Actor],
    if_none_match: IfNoneMatch = None,
) -> Response[TaskView] | Response[None]:
    """Show a task."""
    task = await core.tasks.get(actor, TaskId(identifier(task_id)))
    if matches(if_none_match, task.version):
        return Response(None, status_code=304, headers={"ETag": etag(task.version)})
    return _shown(task)


async def _expected_version(
    core: Core, actor: Actor, task_id: str, if_match: str | None
) -> int | None:
    """The one version that a write is for; None for any."""
    versions = seen_versions(if_match)
    if versions is None:
        return None
    if len(versions) > 1:  # then the one that stands, if it is among them
        task = await core.tasks.get(actor, TaskId(identifier(task_id)))
        versions &= {task.version}
    return next(iter(versions), NO_VERSION)


async def _edit(
    task_id: FromPath[str],
    data: JSONBody[TaskPatch],
    core: FromDishka[Core],
    actor: FromDishka[Actor],
    if_match: IfMatch = None,
) -> Response[TaskView]:
    """Edit a task.

    What is not named stays as it is, with PUT as with PATCH. With `If-Match` it succeeds only on
    the version that you have seen.
    """
    task = await core.tasks.edit(
        actor,
        TaskId(identifier(task_id)),
        expected_version=await _expected_version(core, actor, task_id, if_match),
        **named(data),
    )
    if named(data):
        log.info("task.changed", task_id=task.id, by=actor.user_id, fields=sorted(named(data)))
    return _shown(task)


_EDITING = {MAY_REFUSE: (NotFound, StaleWrite, Invalid), SENDS: ("ETag",)}
edit_task = put("/{task_id:str}", operation_id="editTask", opt=_EDITING)(inject(_edit))
patch_task = patch("/{task_id:str}", operation_id="patchTask", opt=_EDITING)(inject(_edit))


@delete("/{task_id:str}", operation_id="deleteTask", opt={MAY_REFUSE: (NotFound, StaleWrite)})
@inject
async def delete_task(
    task_id: FromPath[str],
    core: FromDishka[Core],
    actor: FromDishka[Actor],
    if_match: IfMatch = None,
) -> None:
    """Delete a task."""
    await core.tasks.delete(
        actor,
        TaskId(identifier(task_id)),
        expected_version=await _expected_version(core, actor, task_id, if_match),
    )
    log.info("task.deleted", task_id=int(task_id), by=actor.user_id)


def _shown(
    task: Task, status: int = 200, headers: dict[str, str] | None = None
) -> Response[TaskView]:
    return Response(
        view(task, TaskView),
        status_code=status,
        headers={"ETag": etag(task.version)} | (headers or {}),
    )


tasks = Router(
    "/tasks",
    route_handlers=[list_tasks, create_task, get_task, edit_task, patch_task, delete_task],
    guards=[logged_in],
    tags=["Tasks"],
)
