"""`taskcli tasks delete|trash|restore|purge`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, USER, DryRun, Json, Paging, Version, Yes
from taskcli.exits import FAILURE, Usage
from taskcli.list_pages import print_list
from taskcli.output import message, note
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator
from taskcli.tasks.acting_user import (
    OF_ALL,
    As,
    GetTask,
    Key,
    Numbers,
    Reader,
    Whose,
    acting_user,
    get_task,
    get_tasks,
    in_owners_zone,
    named,
    once,
    require_yes_with,
    with_tasks,
)
from taskcli.tasks.one_task import Shown, show_each
from taskcli.tasks.shown import shape, trashed_shape
from taskcore import Actor, Core, NotFound, StaleWrite, Task, TaskcoreError, TaskId
from taskcore.cursors import TRASH
from taskcore.domain.bulk import Delete, Restore
from taskcore.domain.pages import MAX_LIMIT
from taskcore.domain.policies import Permission, authorize
from taskcore.ports import TrashPosition

Purged = Annotated[
    Numbers, Parameter(name="ID...", show_default=False, help="The task, or several.")
]

_COLUMNS = ("id", "deleted_at", "status", "title", "labels")


def delete(
    task_ids: Numbers,
    /,
    *,
    expected_version: Version = None,
    as_user: As = None,
    key: Key = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Move one task or several to the trash.

    Asks first, and then moves only the versions it has shown.
    """
    if expected_version is not None and len(task_ids) > 1:
        raise Usage("--expected-version is that of one task")
    if dry_run:
        return _tried(task_ids, as_user, Permission.DELETE, get_task, expected_version)
    require_yes_with(key, yes=yes)
    require_terminal_or(yes, "delete a task")

    async def work(core: Core, actor: Actor) -> list[str] | None:
        tasks = await get_tasks(core, actor, task_ids)
        if not yes:
            what = "; ".join([await _owned(core, task) for task in tasks])
            if not await confirmed(f"Move {what}, to the trash?"):
                return None
        versions = [
            task.version if expected_version is None and not yes else expected_version
            for task in tasks
        ]
        pairs = zip(tasks, versions, strict=True)
        await core.tasks.bulk(actor, [Delete(task.id, version) for task, version in pairs])
        return [named(task) for task in tasks]

    deleted = once(as_user, key, ("delete", *task_ids, expected_version), work)
    if deleted is None:
        note("nothing was deleted")
        return FAILURE
    out = "takes it out" if len(deleted) == 1 else "takes them out"
    back = f"`taskcli tasks restore {' '.join(map(str, task_ids))}` {out} of the trash"
    note(*(f"deleted {each}" for each in deleted), back)
    return 0


def list_trash(*, whose: Whose = OF_ALL, paging: Paging = FIRST_PAGE) -> None:
    """List the trash of a user, the task deleted last first."""
    whose.require("trash")

    async def work(core: Core, actor: Actor) -> None:
        reader = await Reader.of(core, actor, whose.owner)
        read = partial(core.tasks.trash, reader.actor, owner_id=reader.owner_id)
        await print_list(read, TRASH, paging, _COLUMNS, trashed_shape, zone=reader.zone)

    with_tasks(whose.as_user, work)


def restore(
    task_ids: Numbers, /, *, as_user: As = None, key: Key = None, as_json: Json = False
) -> None:
    """Take one task or several out of the trash."""

    async def work(core: Core, actor: Actor) -> list[Shown]:
        tasks = await get_tasks(core, actor, task_ids, _get_trashed)
        here = (await in_owners_zone(core, actor, tasks[0])).time_zone
        restored = await core.tasks.bulk(actor, [Restore(task.id) for task in tasks])
        return [(shape(task), here) for task in restored if task]

    restored = once(as_user, key, ("restore", *task_ids), work)
    show_each("restored", restored, as_json=as_json)


def purge(
    task_ids: Purged = (),
    /,
    *,
    every: Annotated[
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help="Empty the trash of the user named by --as or TASKCLI_AS.",
        ),
    ] = False,
    as_user: As = None,
    key: Key = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Remove one task in the trash for good, or several, or all. Asks first.

    Unless all are in the trash, none is removed.
    """
    if every is bool(task_ids):
        raise Usage("name the tasks by their ids, or all in the trash of a user with --all")
    if every and acting_user(as_user) is None:
        raise Usage(f"name the user whose trash to empty, with --as {USER}")
    if dry_run and every:
        tasks = with_tasks(as_user, _all_trashed)
        message(f"would remove all {len(tasks)} tasks in the trash, for good")
        return 0
    if dry_run:
        return _tried(task_ids, as_user, Permission.PURGE, _get_trashed)
    require_yes_with(key, yes=yes)
    require_terminal_or(yes, "remove a task for good")

    async def work(core: Core, actor: Actor) -> list[str] | None:
        if every:
            tasks = await _all_trashed(core, actor)
            what = f"all {len(tasks)} tasks in the trash"
        else:
            tasks = await get_tasks(core, actor, task_ids, _get_trashed)
            what = "; ".join([await _owned(core, task) for task in tasks]) + ", from the trash"
        if tasks and not yes and not await confirmed(f"Remove {what} for good?"):
            return None
        removed = await _purged(core, actor, tasks)
        return [what] if every and removed else removed

    removed = once(as_user, key, ("purge", *task_ids, every), work)
    if removed is None:
        note("nothing was removed")
        return FAILURE
    note(*(f"removed {each}, for good" for each in removed) if removed else ("the trash is empty",))
    return 0


async def _all_trashed(core: Core, actor: Actor) -> list[Task]:
    """The actor's whole trash, without the descriptions, which can be long."""
    tasks: list[Task] = []
    after = None
    while True:
        page = await core.tasks.trash(actor, limit=MAX_LIMIT, after=after)
        tasks += [replace(task, description="") for task in page.items]
        if not page.has_more:
            return tasks
        after = TrashPosition.of(page.items[-1])


async def _purged(core: Core, actor: Actor, tasks: Sequence[Task]) -> list[str]:
    """Raises what the first one that cannot be removed raises, and tells then what is removed."""
    removed: list[str] = []
    try:
        for task in tasks:
            await core.tasks.purge(actor, task.id)
            removed.append(named(task))
    except TaskcoreError:
        note(f"removed {len(removed)} of {len(tasks)} tasks, for good")
        raise
    return removed


def _tried(
    task_ids: Sequence[int],
    as_user: str | None,
    permission: Permission,
    get: GetTask,
    expected_version: int | None = None,
) -> int:
    """Say what would be moved or removed. Raises what that would raise."""

    async def work(core: Core, actor: Actor) -> list[str]:
        tasks = await get_tasks(core, actor, task_ids, get)
        for task in tasks:
            authorize(actor, permission, task)
            if expected_version not in {None, task.version}:
                raise StaleWrite.now_at(task.version)
        return [await _owned(core, task) for task in tasks]

    would = "would remove {}, for good"
    if permission is Permission.DELETE:
        would = "would move {}, to the trash"
    message(*map(would.format, with_tasks(as_user, work)))
    return 0


async def _owned(core: Core, task: Task) -> str:
    """The task and its owner, for a question. Raises NotFound."""
    owner = await core.accounts.get(operator(), task.owner_id)
    return f"{named(task)}, of {owner.email}"


async def _get_trashed(core: Core, actor: Actor, task_id: int) -> Task:
    """Raises NotFound, also for a task that is not deleted, or that the actor may not see."""
    try:
        return await core.tasks.get_trashed(actor, TaskId(task_id))
    except NotFound:
        pass
    try:
        await core.tasks.get(actor, TaskId(task_id))
    except NotFound:
        raise NotFound(f"there is no task {task_id} in the trash") from None
    raise NotFound(f"task {task_id} is not in the trash")
