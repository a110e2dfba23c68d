"""`taskcli tasks history|revert`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, Json, Paging, Version, Whole
from taskcli.list_pages import print_list
from taskcli.output import Record, cell
from taskcli.running import operator
from taskcli.tasks.acting_user import As, Key, Number, get_task, in_owners_zone, once, with_tasks
from taskcli.tasks.one_task import Shown, show_task
from taskcli.tasks.shown import shape
from taskcore import Actor, Core, NotFound, Page, Task, TaskEvent, TaskEventType, TaskId, UserId
from taskcore.cursors import history as cursors_of
from taskcore.domain.dues import zone
from taskcore.domain.policies import reaches_all_tasks

_Names = Mapping[UserId, str]
_COLUMNS = ("at", "type", "actor", "version", "changes")


def history(task_id: Number, /, *, paging: Paging = FIRST_PAGE, as_user: As = None) -> None:
    """List what happened to a task, the latest first: who changed what, from what to what.

    The task may be in the trash.
    """
    places = cursors_of(TaskId(task_id))

    async def work(core: Core, actor: Actor) -> None:
        task = await _get_even_trashed(core, actor, task_id)
        here = zone((await in_owners_zone(core, actor, task)).time_zone)
        names: dict[UserId, str] = {}

        async def read(*, skip: int, limit: int, after: int | None) -> Page[TaskEvent]:
            page = await core.tasks.history(actor, task.id, skip=skip, limit=limit, after=after)
            if not paging.as_json:
                await _add_names(core, actor, page.items, names)
            return page

        def line(event: TaskEvent) -> Record:
            return _line(event, names, here)

        def beneath(event: TaskEvent) -> list[list[str]]:
            return _parts(event, here)

        await print_list(read, places, paging, _COLUMNS, _shape, line, zone=here, beneath=beneath)

    with_tasks(as_user, work)


async def _get_even_trashed(core: Core, actor: Actor, task_id: int) -> Task:
    """Raises NotFound, also for a task that the actor may not see."""
    with suppress(NotFound):
        return await core.tasks.get_trashed(actor, TaskId(task_id))
    return await get_task(core, actor, task_id)


async def _add_names(
    core: Core, actor: Actor, events: Iterable[TaskEvent], names: dict[UserId, str]
) -> None:
    """Add the addresses of those who acted, as far as the actor may know them."""
    for number in {event.actor_id for event in events} - names.keys():
        if number is not None and (number == actor.user_id or reaches_all_tasks(actor)):
            with suppress(NotFound):  # deleted meanwhile
                names[number] = (await core.accounts.get(operator(), number)).email


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


def _line(event: TaskEvent, names: _Names, here: tzinfo) -> Record:
    # Of other users only administrators reach a task: for one who may not know them, and for
    # accounts that are gone, that says more than the number alone.
    by = "operator"
    if event.actor_id is not None:
        by = names.get(event.actor_id, f"administrator {event.actor_id}")
    changes = {name: " -> ".join(values) for name, values in _changed(event, here)}
    return {**_shape(event), "actor": by, "changes": changes}


def _changed(event: TaskEvent, here: tzinfo) -> Iterator[tuple[str, Sequence[str]]]:
    """Each field with what it was and is; of a new task, whose fields were nothing, what it is."""
    for name, change in event.changes.items():
        values = change[1:] if event.type is TaskEventType.CREATED else change
        yield name, [cell(value, here) for value in values]


def _parts(event: TaskEvent, here: tzinfo) -> list[list[str]]:
    """The changes, where each value may begin a line."""
    return [
        [f"{name}: {first}", *(f"-> {value}" for value in rest)]
        for name, (first, *rest) in _changed(event, here)
    ]
