"""`taskcli tasks delete|trash|restore|purge`."""

from taskcli.arguments import Cursor, Json, Limit, Skip, Version, Yes
from taskcli.exits import FAILURE
from taskcli.output import Record, message, show, show_page
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator
from taskcli.tasks.acting import (
    As,
    Number,
    Owner,
    Reader,
    find_actor,
    get_task,
    require_account,
    with_tasks,
)
from taskcli.tasks.shown import line, shape, trashed_shape
from taskcore import Core, NotFound, Page, Task, TaskId
from taskcore.cursors import TRASH
from taskcore.domain.rules import DEFAULT_LIMIT
from taskcore.domain.visible import quoted

_COLUMNS = ("id", "deleted_at", "status", "title", "labels")


def delete(
    task_id: Number,
    /,
    *,
    expected_version: Version = None,
    as_user: As = None,
    yes: Yes = False,
) -> int:
    """Move a task to the trash. Asks first, and then moves only the version it has shown."""
    require_terminal_or(yes, "delete a task")

    async def work(core: Core) -> str | None:
        actor = await find_actor(core, as_user)
        task = await get_task(core, actor, task_id)
        version = expected_version
        if not yes:
            owner = await core.accounts.get(operator(), task.owner_id)
            what = f"task {task.id}, {quoted(task.title)}, of {owner.email}"
            if not await confirmed(f"Move {what}, to the trash?"):
                return None
            version = task.version if version is None else version
        await core.tasks.delete(actor, task.id, expected_version=version)
        return f"task {task.id}, {quoted(task.title)}"

    deleted = with_tasks(work)
    if deleted is None:
        message("nothing was deleted")
        return FAILURE
    message(f"deleted {deleted}", f"`taskcli tasks restore {task_id}` takes it out of the trash")
    return 0


def list_trash(
    *,
    owner: Owner = None,
    skip: Skip = 0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """List the trash of a user, the task deleted last first."""
    require_account(as_user, owner, "trash")

    async def work(core: Core) -> tuple[Page[Task], Reader]:
        reader = await Reader.of(core, as_user, owner)
        page = await core.tasks.trash(
            reader.actor,
            owner_id=reader.owner_id,
            skip=skip,
            limit=limit,
            after=TRASH.read(cursor),
        )
        return page, reader

    page, reader = with_tasks(work)

    def shown(task: Task) -> Record:
        return trashed_shape(task) if as_json else line(task, reader)

    show_page(page, shown, TRASH, _COLUMNS, skip=skip, limit=limit, cursor=cursor, as_json=as_json)


def restore(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Take a task out of the trash."""

    async def work(core: Core) -> Task:
        actor = await find_actor(core, as_user)
        try:
            return await core.tasks.restore(actor, TaskId(task_id))
        except NotFound:
            raise _not_there(task_id) from None

    show(shape(with_tasks(work)), as_json=as_json)


def purge(task_id: Number, /, *, as_user: As = None, yes: Yes = False) -> int:
    """Remove a task in the trash for good. Asks first."""
    require_terminal_or(yes, "remove a task for good")

    async def work(core: Core) -> bool:
        actor = await find_actor(core, as_user)
        if not yes and not await confirmed(f"Remove task {task_id} from the trash for good?"):
            return False
        try:
            await core.tasks.purge(actor, TaskId(task_id))
        except NotFound:
            raise _not_there(task_id) from None
        return True

    if with_tasks(work):
        message(f"removed task {task_id} for good")
        return 0
    message("nothing was removed")
    return FAILURE


def _not_there(task_id: int) -> NotFound:
    """Also for a task that is not deleted, or that the actor may not see."""
    return NotFound(f"there is no task {task_id} in the trash")
