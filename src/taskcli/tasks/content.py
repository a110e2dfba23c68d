"""`taskcli tasks show|create|edit|done|reopen`."""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Annotated, cast

from cyclopts import Parameter

from taskcli.arguments import Json, Version
from taskcli.output import message, show
from taskcli.running import operator
from taskcli.tasks.acting import As, Number, find_actor, get_task, with_tasks
from taskcli.tasks.fields import Draft, Edits
from taskcli.tasks.shown import shape
from taskcore import Core, Status, Task
from taskcore.domain.tasks import OPEN, NewTaskFields
from taskcore.domain.visible import quoted

_NO_EDITS = Edits()


def show_(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Show one task, with its whole description."""

    async def work(core: Core) -> Task:
        return await get_task(core, await find_actor(core, as_user), task_id)

    show(shape(with_tasks(work)), as_json=as_json)


def create(
    *,
    draft: Annotated[Draft, Parameter(name="*")],
    as_user: Annotated[str, Parameter(name="--as", help="The owner, by e-mail or id.")],
    as_json: Json = False,
) -> None:
    """Create a task that belongs to the user named by --as.

    A due is a day, such as 2026-12-01, tomorrow, friday or +3d, or a moment,
    such as 2026-12-01T09:00, "tomorrow 09:00" or 2026-12-01T09:00:00+01:00.
    """
    draft.check()

    async def work(core: Core) -> Task:
        actor = await find_actor(core, as_user)
        content = draft.changes(core.tasks.clock.now(), actor.time_zone)
        return await core.tasks.create(actor, **cast("NewTaskFields", content))

    show(shape(with_tasks(work)), as_json=as_json)


def edit(
    task_id: Number,
    /,
    *,
    edits: Annotated[Edits, Parameter(name="*")] = _NO_EDITS,
    expected_version: Version = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Change a task. A field that is not named stays as it is.

    A due is written as for `tasks create`, and without --as it is meant in the
    time zone of the owner.
    """
    edits.check()

    async def work(core: Core) -> Task:
        actor = await find_actor(core, as_user)
        task = await get_task(core, actor, task_id)
        if as_user is None and edits.due is not None:
            owner = await core.accounts.get(operator(), task.owner_id)
            actor = replace(actor, time_zone=owner.time_zone)
        version = expected_version
        if edits.is_relative and version is None:
            version = task.version
        changes = edits.of(task, core.tasks.clock.now(), actor.time_zone)
        return await core.tasks.edit(actor, task.id, expected_version=version, **changes)

    show(shape(with_tasks(work)), as_json=as_json)


def done(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Mark a task as done."""
    _set_status(task_id, Status.DONE, {Status.DONE}, as_user=as_user, as_json=as_json)


def reopen(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Give a task that is done or cancelled the status `todo` again."""
    _set_status(task_id, Status.TODO, OPEN, as_user=as_user, as_json=as_json)


def _set_status(
    task_id: int, status: Status, fit: AbstractSet[Status], *, as_user: str | None, as_json: bool
) -> None:
    """Leave a task as it is whose status is one of `fit`."""

    async def work(core: Core) -> tuple[Task, str]:
        actor = await find_actor(core, as_user)
        task = await get_task(core, actor, task_id)
        if task.status in fit:
            return task, " already"
        return await core.tasks.edit(actor, task.id, status=status), ""

    task, already = with_tasks(work)
    message(f"task {task.id}, {quoted(task.title)}, is {task.status}{already}")
    if as_json:
        show(shape(task), as_json=True)
