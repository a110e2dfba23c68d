"""`taskcli tasks history|revert`."""

from datetime import tzinfo
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, Json, Paging, Version, Whole
from taskcli.output import Record, show_page
from taskcli.tasks.acting import As, Key, Number, get_task, in_owners_zone, once, with_tasks
from taskcli.tasks.one_task import Shown, show_task
from taskcli.tasks.shown import shape
from taskcore import Actor, Core, Page, TaskEvent, TaskId
from taskcore.cursors import history as cursors_of
from taskcore.domain.dues import zone

_COLUMNS = ("at", "type", "actor_id", "version", "changes")


def history(task_id: Number, /, *, paging: Paging = FIRST_PAGE, as_user: As = None) -> None:
    """List what happened to a task, the latest first: who changed what, from what to what."""
    places = cursors_of(TaskId(task_id))

    async def work(core: Core, actor: Actor) -> tuple[Page[TaskEvent], tzinfo]:
        task = await get_task(core, actor, task_id)
        page = await core.tasks.history(
            actor,
            task.id,
            skip=paging.skip,
            limit=paging.limit,
            after=places.read(paging.cursor),
        )
        return page, zone((await in_owners_zone(core, actor, task)).time_zone)

    page, here = with_tasks(as_user, work)
    show_page(page, _shape if paging.as_json else _line, places, _COLUMNS, paging, zone=here)


def revert(
    task_id: Number,
    /,
    *,
    version: Annotated[
        Whole, Parameter(metavar="NUMBER", help="The version whose content the task gets.")
    ],
    expected_version: Version = None,
    as_user: As = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Give a task the content of an earlier version, as a new version."""

    async def work(core: Core, actor: Actor) -> Shown:
        task = await get_task(core, actor, task_id)
        here = (await in_owners_zone(core, actor, task)).time_zone
        reverted = await core.tasks.revert(
            actor, task.id, version, expected_version=expected_version
        )
        return shape(reverted), here

    command = ("revert", task_id, version, expected_version)
    show_task(*once(as_user, key, command, work), as_json=as_json)


def _shape(event: TaskEvent) -> Record:
    changes = {
        name: {"from": change.was, "to": change.now} for name, change in event.changes.items()
    }
    return {
        "position": event.position,
        "type": event.type,
        "at": event.at,
        "actor_id": event.actor_id,
        "version": event.version,
        "changes": changes,
    }


def _line(event: TaskEvent) -> Record:
    return {**_shape(event), "changes": {name: each.now for name, each in event.changes.items()}}
