"""Tasks over HTTP."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress

import msgspec
import structlog
from litestar import Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from taskapi.answers import Answer
from taskapi.problems import HEEDS, MAY_REFUSE, SENDS
from taskapi.providers import ActorRequest, logged_in
from taskapi.wire import (
    ANYBODY,
    FIRST,
    MOST,
    NO_VERSION,
    Body,
    Cursor,
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
from taskcore import Forbidden, Invalid, NotFound, Problem, StaleWrite, Task, TaskId, UserId

log = structlog.get_logger("taskapi")

_PATH = "/api/v1/tasks"


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
    next_cursor: Cursor | None


@get("/", operation_id="listTasks", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_tasks(
    request: ActorRequest,
    skip: FromQuery[Skip] = FIRST,
    limit: FromQuery[Limit] = MOST,
    owner_id: FromQuery[OwnerId] = ANYBODY,
    cursor: FromQuery[Cursor] = "",
) -> Answer[TaskPage]:
    """List tasks, newest first.

    One's own; administrators see everybody's, or one owner's. To read on, send `next_cursor` as
    `cursor`, or follow the `Link` header: what is created or deleted meanwhile shifts nothing, and
    the last page takes no longer than the first. `skip` does shift, and reads what it leaves out.
    """
    owner = None if owner_id is ANYBODY else UserId(owner_id)
    page = await request.core.tasks.page(
        request.actor, owner_id=owner, skip=skip, limit=limit, before=_before(cursor)
    )
    next_cursor = _cursor(page.items[-1].id) if page.has_more else None
    items = msgspec.convert(page.items, list[TaskView], from_attributes=True)
    shown = TaskPage(items, page.total, skip, limit, next_cursor)
    if next_cursor is None:
        return Answer(shown)
    of_owner = f"&owner_id={owner}" if owner else ""
    following = f"{_PATH}?limit={limit}&cursor={next_cursor}{of_owner}"
    return Answer(shown, headers={"Link": f'<{following}>; rel="next"'})


def _cursor(last: TaskId) -> str:
    """Where a page ends. Clients hand it back as it is; what is in it is our own business."""
    return urlsafe_b64encode(f"before {last}".encode()).rstrip(b"=").decode()


def _before(cursor: str) -> TaskId | None:
    """Raises Invalid for what is none of our cursors."""
    if not cursor:
        return None
    with suppress(ValueError, NotFound):
        said = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        before = TaskId(identifier(said.removeprefix("before ")))
        if _cursor(before) == cursor:
            return before
    raise Invalid(
        Problem(
            "cursor",
            "is no cursor of ours; take the next_cursor of a page, or leave it out",
            "wrong_type",
        )
    )


@post("/", operation_id="createTask", opt={MAY_REFUSE: (Invalid,), SENDS: ("ETag", "Location")})
async def create_task(request: ActorRequest, data: JSONBody[TaskDraft]) -> Answer[TaskView]:
    """Create a task."""
    task = await request.core.tasks.create(
        request.actor, title=data.title, description=data.description
    )
    log.info("task.created", task_id=task.id, by=request.actor.user_id)
    return _shown(task, 201, {"Location": f"{_PATH}/{task.id}"})


@get(
    "/{task_id:str}",
    operation_id="getTask",
    opt={MAY_REFUSE: (NotFound,), HEEDS: ("If-None-Match",), SENDS: ("ETag",)},
)
async def get_task(
    request: ActorRequest, task_id: FromPath[str]
) -> Answer[TaskView] | Answer[None]:
    """Show a task."""
    task = await request.core.tasks.get(request.actor, TaskId(identifier(task_id)))
    if matches(request.given(b"if-none-match"), task.version):
        return Answer(None, status_code=304, headers={"ETag": etag(task.version)})
    return _shown(task)


async def _expected_version(request: ActorRequest, task_id: str) -> int | None:
    """The one version that a write is for; None for any."""
    versions = seen_versions(request.given(b"if-match"))
    unwanted = request.given(b"if-none-match")
    if versions is None and unwanted is None:
        return None
    if unwanted is not None or len(versions or ()) > 1:  # then the one that stands, if it fits
        task = await request.core.tasks.get(request.actor, TaskId(identifier(task_id)))
        fits = versions is None or task.version in versions
        return task.version if fits and not matches(unwanted, task.version) else NO_VERSION
    return next(iter(versions or ()), NO_VERSION)


async def _edit(
    request: ActorRequest,
    task_id: FromPath[str],
    data: JSONBody[TaskPatch],
) -> Answer[TaskView]:
    """Edit a task.

    What is not named stays as it is, with PUT as with PATCH. With `If-Match` it succeeds only on
    the version that you have seen.
    """
    task = await request.core.tasks.edit(
        request.actor,
        TaskId(identifier(task_id)),
        expected_version=await _expected_version(request, task_id),
        **named(data),
    )
    if named(data):
        log.info(
            "task.changed", task_id=task.id, by=request.actor.user_id, fields=sorted(named(data))
        )
    return _shown(task)


_EDITING = {
    MAY_REFUSE: (NotFound, StaleWrite, Invalid),
    HEEDS: ("If-Match",),
    SENDS: ("ETag",),
}
edit_task = put("/{task_id:str}", operation_id="editTask", opt=_EDITING)(_edit)
patch_task = patch("/{task_id:str}", operation_id="patchTask", opt=_EDITING)(_edit)


@delete(
    "/{task_id:str}",
    operation_id="deleteTask",
    opt={MAY_REFUSE: (NotFound, StaleWrite), HEEDS: ("If-Match",)},
)
async def delete_task(request: ActorRequest, task_id: FromPath[str]) -> None:
    """Delete a task."""
    await request.core.tasks.delete(
        request.actor,
        TaskId(identifier(task_id)),
        expected_version=await _expected_version(request, task_id),
    )
    log.info("task.deleted", task_id=int(task_id), by=request.actor.user_id)


def _shown(
    task: Task, status: int = 200, headers: dict[str, str] | None = None
) -> Answer[TaskView]:
    return Answer(
        view(task, TaskView),
        status_code=status,
        headers={"ETag": etag(task.version)} | (headers or {}),
    )


tasks = Router(
    "/tasks",
    route_handlers=[list_tasks, create_task, get_task, edit_task, patch_task, delete_task],
    before_request=logged_in,
    tags=["Tasks"],
)
