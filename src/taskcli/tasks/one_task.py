"""`taskcli tasks show|create|edit|done|reopen`."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import cast

from taskcli.arguments import USER, Json, Version
from taskcli.exits import Usage
from taskcli.output import Record, clock_time, note, print_json, show
from taskcli.tasks.acting_user import (
    As,
    Key,
    Number,
    Numbers,
    acting_user,
    get_task,
    get_tasks,
    in_owners_zone,
    named,
    once,
    with_tasks,
)
from taskcli.tasks.fields import Content, Draft, Edits
from taskcli.tasks.shown import is_overdue, shape
from taskcli.typed_dates import When
from taskcore import Actor, Core, Status, Task
from taskcore.domain.bulk import Update
from taskcore.domain.dues import zone
from taskcore.domain.printable import quoted
from taskcore.domain.tasks import OPEN, NewTaskFields

_NO_EDITS = Edits()
Shown = tuple[Record, str]
"""A task as it is printed, and the name of the time zone of its times."""
Written = tuple[Record, str, list[str]]
"""The same, and what to note about its labels and its due."""
_PAST = "this due is in the past"


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

    async def work(core: Core, actor: Actor) -> Written:
        now = core.tasks.clock.now()
        content = draft.changes(now, actor.time_zone)
        task = await core.tasks.create(actor, **cast("NewTaskFields", content))
        is_past = is_overdue(task, now, actor.time_zone)
        notes = draft.notes() + _time_skipped(draft, task, now) + [_PAST] * is_past
        return shape(task), actor.time_zone, notes

    _show_written(*once(as_user, key, ("create", draft), work), as_json=as_json)


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

    A due is written as for `tasks create`. `+1d` counts from today, not from the
    due that the task has. A day alone is one of the user you act as, or of the
    task's owner if you act as no user. A time without an offset, and the day before
    it, are in the time zone that the task has, if it has one, and else in that of
    the same user.
    """
    edits.check()

    async def work(core: Core, actor: Actor) -> Written:
        task = await get_task(core, actor, task_id)
        editor = await in_owners_zone(core, actor, task)
        version = expected_version
        if edits.is_relative and version is None:
            version = task.version
        now = core.tasks.clock.now()
        changes = edits.of(task, now, editor.time_zone)
        edited = await core.tasks.edit(editor, task.id, expected_version=version, **changes)
        notes = edits.notes() + edits.not_removed(task)
        notes += _time_lost(task, edited, editor.time_zone)
        notes += _time_skipped(edits, edited, now)
        if edits.due is not None and is_overdue(edited, now, editor.time_zone):
            notes.append(_PAST)
        return shape(edited), editor.time_zone, notes

    command = ("edit", task_id, edits, expected_version)
    _show_written(*once(as_user, key, command, work), as_json=as_json)


def _time_lost(was: Task, task: Task, here: str) -> list[str]:
    """What to note where a day has replaced a moment, and how to give the day that time."""
    if was.due_at is None or was.time_zone is None or task.due_date is None:
        return []
    before = clock_time(was.due_at, zone(was.time_zone), "minutes")
    due = f"--due {quoted(f'{task.due_date} {before.split()[1][:5]}')}"
    if was.time_zone != here:
        due += f" --time-zone {was.time_zone}"
    return [f"due on a whole day now, before at {before}; `{due}` gives it that time again"]


def _time_skipped(typed: Content, task: Task, now: datetime) -> list[str]:
    """What to note where clocks are put forward over the time that was typed."""
    if not isinstance(typed.due, When) or task.due_at is None or task.time_zone is None:
        return []
    here = zone(task.time_zone)
    if (skipped := typed.due.skipped(now, here)) is None:
        return []
    where = f"on {skipped.date()} in {task.time_zone}"
    return [f"{skipped:%H:%M} does not exist {where}; due at {task.due_at.astimezone(here):%H:%M}"]


def _show_written(task: Record, time_zone: str, notes: list[str], *, as_json: bool) -> None:
    show_task(task, time_zone, as_json=as_json)
    if notes and not as_json:
        note(*notes)


def show_task(task: Record, time_zone: str, *, as_json: bool) -> None:
    show(task, as_json=as_json, zone=zone(time_zone))


def done(task_ids: Numbers, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Mark one task or several as done."""
    _set_status(task_ids, Status.DONE, {Status.DONE}, as_user=as_user, as_json=as_json)


def reopen(task_ids: Numbers, /, *, as_user: As = None, as_json: Json = False) -> None:
    """Give tasks that are done or cancelled the status `todo` again."""
    _set_status(task_ids, Status.TODO, OPEN, as_user=as_user, as_json=as_json)


def _set_status(
    task_ids: Sequence[int],
    status: Status,
    keep: AbstractSet[Status],
    *,
    as_user: str | None,
    as_json: bool,
) -> None:
    """Set the status of those that do not have one of those in `keep`: of all, or of none."""

    async def work(core: Core, actor: Actor) -> list[tuple[Task, str]]:
        tasks = await get_tasks(core, actor, task_ids)
        edits = [Update(task.id, {"status": status}) for task in tasks if task.status not in keep]
        edited = iter(await core.tasks.bulk(actor, edits) if edits else ())
        return [
            (task, " already") if task.status in keep else (cast("Task", next(edited)), "")
            for task in tasks
        ]

    results = with_tasks(as_user, work)
    note(*(f"{named(task)}, is {task.status}{already}" for task, already in results))
    if as_json:
        show_tasks([shape(task) for task, _ in results])


def show_tasks(tasks: Sequence[Record]) -> None:
    """Print a task as JSON, or several as over HTTP."""
    print_json(tasks[0] if len(tasks) == 1 else {"items": tasks})


def show_each(did: str, shown: Sequence[Shown], *, as_json: bool) -> None:
    """Print a task; or what was done to several, such as `restored task 3, "Write"`."""
    if as_json:
        show_tasks([task for task, _ in shown])
    elif len(shown) == 1:
        show_task(*shown[0], as_json=False)
    else:
        note(*(f"{did} task {task['id']}, {quoted(str(task['title']))}" for task, _ in shown))
