"""`taskcli tasks show|create|edit|done|reopen`."""

from collections.abc import Set as AbstractSet
from typing import cast

from taskcli.arguments import USER, Json, Version
from taskcli.exits import Usage
from taskcli.output import Record, note, show
from taskcli.tasks.acting import (
    As,
    Key,
    Number,
    acting_user,
    get_task,
    in_owners_zone,
    once,
    with_tasks,
)
from taskcli.tasks.fields import Draft, Edits
from taskcli.tasks.shown import shape
from taskcore import Actor, Core, Status, Task
from taskcore.domain.dues import zone
from taskcore.domain.printable import quoted
from taskcore.domain.tasks import OPEN, NewTaskFields

_NO_EDITS = Edits()
Shown = tuple[Record, str]
"""A task as it is printed, and the name of the time zone of its times."""


def show_(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Show one task, with its whole description."""

    async def work(core: Core, actor: Actor) -> Shown:
        task = await get_task(core, actor, task_id)
        return shape(task), (await in_owners_zone(core, actor, task)).time_zone

    show_task(*with_tasks(as_user, work), as_json=as_json)


def create(*, draft: Draft, as_user: As = None, key: Key = None, as_json: Json = False) -> None:
    """Create a task that belongs to the user named by --as or TASKCLI_AS.

    A due is a day (2026-12-01, today, tomorrow, friday or fri, +3d, +2w), a time of
    today (18:00), or both ("fri 17:30", 2026-12-01T09:00, 2026-12-01T09:00+01:00).
    A weekday is the next one after today. Days and times are those of the owner's
    time zone.
    """
    draft.check()
    if acting_user(as_user) is None:
        raise Usage(f"name the owner with --as {USER}, or for all commands with TASKCLI_AS")

    async def work(core: Core, actor: Actor) -> Shown:
        content = draft.changes(core.tasks.clock.now(), actor.time_zone)
        task = await core.tasks.create(actor, **cast("NewTaskFields", content))
        return shape(task), actor.time_zone

    show_task(*once(as_user, key, ("create", draft), work), as_json=as_json)


def edit(
    task_id: Number,
    /,
    *,
    edits: Edits = _NO_EDITS,
    expected_version: Version = None,
    as_user: As = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Change a task. A field that is not named stays as it is.

    A due is written as for `tasks create`. A time without an offset is in the
    task's time zone. If the task has none, it is in that of the user you act as,
    or of the task's owner if you act as no user.
    """
    edits.check()

    async def work(core: Core, actor: Actor) -> Shown:
        task = await get_task(core, actor, task_id)
        editor = await in_owners_zone(core, actor, task)
        version = expected_version
        if edits.is_relative and version is None:
            version = task.version
        changes = edits.of(task, core.tasks.clock.now(), editor.time_zone)
        edited = await core.tasks.edit(editor, task.id, expected_version=version, **changes)
        return shape(edited), editor.time_zone

    command = ("edit", task_id, edits, expected_version)
    show_task(*once(as_user, key, command, work), as_json=as_json)


def show_task(task: Record, time_zone: str, *, as_json: bool) -> None:
    show(task, as_json=as_json, zone=zone(time_zone))


def done(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Mark a task as done."""
    _set_status(task_id, Status.DONE, {Status.DONE}, as_user=as_user, as_json=as_json)


def reopen(task_id: Number, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Give a task that is done or cancelled the status `todo` again."""
    _set_status(task_id, Status.TODO, OPEN, as_user=as_user, as_json=as_json)


def _set_status(
    task_id: int, status: Status, keep: AbstractSet[Status], *, as_user: str | None, as_json: bool
) -> None:
    """Set the status, unless the task already has one of those in `keep`."""

    async def work(core: Core, actor: Actor) -> tuple[Task, str]:
        task = await get_task(core, actor, task_id)
        if task.status in keep:
            return task, " already"
        return await core.tasks.edit(actor, task.id, status=status), ""

    task, already = with_tasks(as_user, work)
    note(f"task {task.id}, {quoted(task.title)}, is {task.status}{already}")
    if as_json:
        show(shape(task), as_json=True)
