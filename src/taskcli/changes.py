"""`taskcli changes`: what changes in the account of a user."""

from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import USER, Cursor, Whole
from taskcli.exits import Usage
from taskcli.output import Record, note, print_json, show_rows
from taskcli.tasks.acting import As, acting_user, with_tasks
from taskcli.tasks.shown import shape
from taskcore import Actor, ChangedTask, Core, cursors
from taskcore.domain.pages import MAX_LIMIT_OF_CHANGES
from taskcore.domain.policies import own_id

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
    """Show what has changed in the account of a user since a cursor.

    Without --cursor it shows nothing and the present cursor, or with --follow what
    changes from now on.
    """
    if acting_user(as_user) is None:
        raise Usage(f"name the user whose changes you mean, with --as {USER}")

    async def work(core: Core, actor: Actor) -> None:
        places = cursors.changes(own_id(actor))
        after = places.read(cursor)
        if follow:
            async with aclosing(core.changes.follow(actor, after=after)) as items:
                async for item in items:
                    _show(item, places.at(item.place), as_json=as_json)
            return
        page = await core.changes.page(actor, after=after, limit=limit)
        end = places.at(page.end)
        if as_json:
            items_shown = list(map(_shape, page.items))
            print_json({"items": items_shown, "cursor": end, "has_more": page.has_more})
            return
        for item in page.items:
            _show(item, places.at(item.place), as_json=False)
        more = "there is more" if page.has_more else "that is all for now"
        note(f"{more}; --cursor {end} goes on from here")

    with_tasks(as_user, work)


def _show(item: ChangedTask, cursor: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_shape(item), "cursor": cursor})
        return
    change = "removed" if item.task is None else "upserted"
    status, title = ("-", "-") if item.task is None else (item.task.status, item.task.title)
    show_rows([[str(item.task_id), change, status, title]])


def _shape(item: ChangedTask) -> Record:
    task = None if item.task is None else shape(item.task)
    change = "removed" if task is None else "upserted"
    return {"type": "task", "id": item.task_id, "change": change, "task": task}
