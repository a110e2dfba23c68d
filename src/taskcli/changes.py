"""`taskcli changes`: what changes in the account of a user."""

from asyncio import CancelledError
from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import USER, Cursor, Whole
from taskcli.exits import Usage
from taskcli.output import Record, note, print_json, show_rows
from taskcli.tasks.acting_user import As, acting_user, with_tasks
from taskcli.tasks.shown import shape
from taskcore import Actor, ChangedTask, Core, cursors
from taskcore.domain.pages import MAX_LIMIT_OF_CHANGES
from taskcore.domain.policies import own_id
from taskcore.ports import LogPosition

_HEADING = ("id", "change", "version", "status", "title")
_WIDTHS = (6, 8, 7, 11)  # of a terminal's columns, where the rows to come are not known

_Json = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print JSON as over HTTP: one object, or with --follow one on each line.",
    ),
]


def changes(
    *,
    as_user: As = None,
    cursor: Cursor = "",
    limit: Annotated[
        Whole, Parameter(help=f"Show at most this many, 1 to {MAX_LIMIT_OF_CHANGES}.")
    ] = MAX_LIMIT_OF_CHANGES,
    follow: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Go on until Ctrl-C, as it happens."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show what has changed in the account of a user since a cursor, each task as it is now.

    Without --cursor it shows nothing and the present cursor, or with --follow what
    changes from now on. `removed` is in the trash or gone. What an edit has changed
    is in `taskcli tasks history`.
    """
    if acting_user(as_user) is None:
        raise Usage(f"name the user whose changes you mean, with --as {USER}")

    async def work(core: Core, actor: Actor) -> None:
        places = cursors.changes(own_id(actor))
        after = places.read(cursor)
        if follow:
            await _follow(core, actor, after, as_json=as_json)
            return
        page = await core.changes.page(actor, after=after, limit=limit)
        end = places.at(page.end)
        if as_json:
            items_shown = list(map(_shape, page.items))
            print_json({"items": items_shown, "cursor": end, "has_more": page.has_more})
            return
        if page.items:
            show_rows([_HEADING, *map(_row, page.items)])
        more = "there is more" if page.has_more else "that is all for now"
        note(f"{more}; --cursor {end} goes on from here")

    with_tasks(as_user, work)


async def _follow(core: Core, actor: Actor, after: LogPosition | None, *, as_json: bool) -> None:
    """Show each change as it happens. Ctrl-C ends it, and then it says where to go on."""
    places = cursors.changes(own_id(actor))
    place = (await core.changes.page(actor)).end if after is None else after
    if not as_json:
        show_rows([_HEADING], _WIDTHS)
    try:
        async with aclosing(core.changes.follow(actor, after=place)) as items:
            async for item in items:
                if as_json:
                    print_json({**_shape(item), "cursor": places.at(item.place)})
                else:
                    show_rows([_row(item)], _WIDTHS)
                place = item.place
    except CancelledError:
        note(f"--cursor {places.at(place)} goes on from here")
        raise


def _row(item: ChangedTask) -> list[str]:
    task = item.task
    if task is None:
        return [str(item.task_id), "removed", "-", "-", "-"]
    return [str(task.id), "upserted", str(task.version), task.status, task.title]


def _shape(item: ChangedTask) -> Record:
    task = None if item.task is None else shape(item.task)
    change = "removed" if task is None else "upserted"
    return {"type": "task", "id": item.task_id, "change": change, "task": task}
