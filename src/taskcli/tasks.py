"""`taskcli tasks`: the tasks of all users, or of one."""

from dataclasses import fields
from typing import Annotated

from cyclopts import App, Parameter

from taskcli.arguments import Cursor, Json, Limit, Skip, Version, Whole, Yes
from taskcli.exits import FAILURE, Usage
from taskcli.output import Record, message, show, show_page
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator, with_core
from taskcli.users import find_user
from taskcore import Actor, Core, Forbidden, NotFound, Page, Task, TaskId
from taskcore.cursors import TASKS
from taskcore.domain.tasks import NewTaskFields, TaskChanges
from taskcore.domain.visible import quoted

app = App(
    name="tasks",
    help="Manage the tasks of all users as the operator, or act as one user with --as.\n\n"
    "With --as a command may do what that user may, no more. A deactivated user may do nothing.",
)

Number = Annotated[Whole, Parameter(name="ID", help="The task.")]
As = Annotated[
    str | None, Parameter(name="--as", help="Act as this user, by e-mail address or id.")
]

_COLUMNS = ("id", "title", "owner_id", "version", "updated_at")
_FIELDS = [field.name for field in fields(Task)]


@app.command(name="list")
def list_(
    *,
    owner: Annotated[str | None, Parameter(help="Only this user's, by e-mail or id.")] = None,
    skip: Skip = 0,
    limit: Limit = 100,
    cursor: Cursor = "",
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """List tasks, newest first."""

    async def work(core: Core) -> Page[Task]:
        actor = await _actor(core, as_user)
        owner_id = None if owner is None else (await find_user(core, owner)).id
        before = TASKS.read(cursor)
        return await core.tasks.page(
            actor, owner_id=owner_id, skip=skip, limit=limit, before=before
        )

    page = with_core(work)
    show_page(page, _shape, TASKS, _COLUMNS, skip=skip, limit=limit, cursor=cursor, as_json=as_json)


@app.command(name="show")
def show_(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Show one task, with its whole description."""

    async def work(core: Core) -> Task:
        return await _get(core, await _actor(core, as_user), task_id)

    show(_shape(with_core(work)), as_json=as_json)


@app.command
def create(
    *,
    content: Annotated[NewTaskFields, Parameter(name="*")],
    as_user: Annotated[str, Parameter(name="--as", help="The owner, by e-mail or id.")],
    as_json: Json = False,
) -> None:
    """Create a task that belongs to the user named by --as.

    Parameters
    ----------
    content.title
        What there is to do.
    content.description
        Anything that the title leaves out.
    """

    async def work(core: Core) -> Task:
        actor = await _actor(core, as_user)
        return await core.tasks.create(actor, **content)

    show(_shape(with_core(work)), as_json=as_json)


@app.command
def edit(
    task_id: Number,
    /,
    *,
    changes: Annotated[TaskChanges | None, Parameter(name="*")] = None,
    expected_version: Version = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Change a task. A field that is not named stays as it is.

    Parameters
    ----------
    changes.title
        The new title.
    changes.description
        The new description; `--description ""` removes it.
    """
    if not changes:
        options = " or ".join(f"--{name}" for name in TaskChanges.__annotations__)
        raise Usage(f"nothing to change: give {options}")

    async def work(core: Core) -> Task:
        actor = await _actor(core, as_user)
        await _get(core, actor, task_id)
        return await core.tasks.edit(
            actor, TaskId(task_id), expected_version=expected_version, **changes
        )

    show(_shape(with_core(work)), as_json=as_json)


@app.command
def delete(
    task_id: Number,
    /,
    *,
    expected_version: Version = None,
    as_user: As = None,
    yes: Yes = False,
) -> int:
    """Delete a task. Asks first, and then deletes only the version it has shown."""
    require_terminal_or(yes, "delete a task")

    async def work(core: Core) -> str | None:
        actor = await _actor(core, as_user)
        task = await _get(core, actor, task_id)
        version = expected_version
        if not yes:
            owner = await core.accounts.get(operator(), task.owner_id)
            what = f"task {task.id}, {quoted(task.title)}, of {owner.email}"
            if not await confirmed(f"Delete {what}?"):
                return None
            version = task.version if version is None else version
        await core.tasks.delete(actor, task.id, expected_version=version)
        return f"task {task.id}, {quoted(task.title)}"

    deleted = with_core(work)
    message(f"deleted {deleted}" if deleted else "nothing was deleted")
    return 0 if deleted else FAILURE


async def _actor(core: Core, reference: str | None) -> Actor:
    """Raises NotFound, and Forbidden for a deactivated user."""
    if reference is None:
        return operator()
    user = await find_user(core, reference)
    if not user.is_active:
        raise Forbidden(f"{user.email} is deactivated and may do nothing")
    return Actor(user.id, user.role, origin=operator().origin)


async def _get(core: Core, actor: Actor, task_id: int) -> Task:
    try:
        return await core.tasks.get(actor, TaskId(task_id))
    except NotFound:  # also for a task that the actor may not see
        raise NotFound(f"there is no task {task_id}") from None


def _shape(task: Task) -> Record:
    return {name: getattr(task, name) for name in _FIELDS}
