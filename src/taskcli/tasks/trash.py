"""`taskcli tasks delete|trash|restore|purge`."""

from collections.abc import Awaitable, Callable

from taskcli.arguments import FIRST_PAGE, DryRun, Json, Paging, Version, Yes
from taskcli.exits import FAILURE
from taskcli.output import Record, message, note, show_page
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator
from taskcli.tasks.acting import (
    OF_ALL,
    As,
    Key,
    Number,
    Reader,
    Whose,
    get_task,
    in_owners_zone,
    once,
    require_yes_with,
    with_tasks,
)
from taskcli.tasks.one_task import Shown, show_task
from taskcli.tasks.shown import line, shape, trashed_shape
from taskcore import Actor, Core, NotFound, Page, StaleWrite, Task, TaskId
from taskcore.cursors import TRASH
from taskcore.domain.policies import Permission, authorize
from taskcore.domain.printable import quoted

_COLUMNS = ("id", "deleted_at", "status", "title", "labels")


def delete(
    task_id: Number,
    /,
    *,
    expected_version: Version = None,
    as_user: As = None,
    key: Key = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Move a task to the trash. Asks first, and then moves only the version it has shown."""
    if dry_run:
        return _tried(task_id, as_user, Permission.DELETE, get_task, expected_version)
    require_yes_with(key, yes=yes)
    require_terminal_or(yes, "delete a task")

    async def work(core: Core, actor: Actor) -> str | None:
        task = await get_task(core, actor, task_id)
        version = expected_version
        if not yes:
            what = await _owned(core, task)
            if not await confirmed(f"Move {what}, to the trash?"):
                return None
            version = task.version if version is None else version
        await core.tasks.delete(actor, task.id, expected_version=version)
        return _named(task)

    deleted = once(as_user, key, ("delete", task_id, expected_version), work)
    if deleted is None:
        note("nothing was deleted")
        return FAILURE
    note(f"deleted {deleted}", f"`taskcli tasks restore {task_id}` takes it out of the trash")
    return 0


def list_trash(*, whose: Whose = OF_ALL, paging: Paging = FIRST_PAGE) -> None:
    """List the trash of a user, the task deleted last first."""
    whose.require("trash")

    async def work(core: Core, actor: Actor) -> tuple[Page[Task], Reader]:
        reader = await Reader.of(core, actor, whose.owner)
        page = await core.tasks.trash(
            reader.actor,
            owner_id=reader.owner_id,
            skip=paging.skip,
            limit=paging.limit,
            after=TRASH.read(paging.cursor),
        )
        return page, reader

    page, reader = with_tasks(whose.as_user, work)

    def shown(task: Task) -> Record:
        return trashed_shape(task) if paging.as_json else line(task, reader)

    show_page(page, shown, TRASH, _COLUMNS, paging, zone=reader.zone)


def restore(
    task_id: Number, /, *, as_user: As = None, key: Key = None, as_json: Json = False
) -> None:
    """Take a task out of the trash."""

    async def work(core: Core, actor: Actor) -> Shown:
        task = await _get_trashed(core, actor, task_id)
        here = (await in_owners_zone(core, actor, task)).time_zone
        return shape(await core.tasks.restore(actor, task.id)), here

    show_task(*once(as_user, key, ("restore", task_id), work), as_json=as_json)


def purge(
    task_id: Number,
    /,
    *,
    as_user: As = None,
    key: Key = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Remove a task in the trash for good. Asks first."""
    if dry_run:
        return _tried(task_id, as_user, Permission.PURGE, _get_trashed)
    require_yes_with(key, yes=yes)
    require_terminal_or(yes, "remove a task for good")

    async def work(core: Core, actor: Actor) -> str | None:
        task = await _get_trashed(core, actor, task_id)
        if not yes:
            what = await _owned(core, task)
            if not await confirmed(f"Remove {what}, from the trash for good?"):
                return None
        await core.tasks.purge(actor, task.id)
        return _named(task)

    removed = once(as_user, key, ("purge", task_id), work)
    if removed is None:
        note("nothing was removed")
        return FAILURE
    note(f"removed {removed}, for good")
    return 0


def _tried(
    task_id: int,
    as_user: str | None,
    permission: Permission,
    get: Callable[[Core, Actor, int], Awaitable[Task]],
    expected_version: int | None = None,
) -> int:
    """Say what would be removed. Raises what the removal would raise."""

    async def work(core: Core, actor: Actor) -> str:
        task = await get(core, actor, task_id)
        authorize(actor, permission, task)
        if expected_version not in {None, task.version}:
            raise StaleWrite.now_at(task.version)
        return await _owned(core, task)

    message(f"would remove {with_tasks(as_user, work)}")
    return 0


def _named(task: Task) -> str:
    return f"task {task.id}, {quoted(task.title)}"


async def _owned(core: Core, task: Task) -> str:
    """The task and its owner, for a question. Raises NotFound."""
    owner = await core.accounts.get(operator(), task.owner_id)
    return f"{_named(task)}, of {owner.email}"


async def _get_trashed(core: Core, actor: Actor, task_id: int) -> Task:
    """Raises NotFound, also for a task that is not deleted, or that the actor may not see."""
    try:
        return await core.tasks.get_trashed(actor, TaskId(task_id))
    except NotFound:
        raise NotFound(f"there is no task {task_id} in the trash") from None
