"""`taskcli tasks list|labels`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, Token

from taskcli.arguments import FIRST_PAGE, Cursor, Json, Paging, Whole, one_of
from taskcli.exits import Usage
from taskcli.list_pages import print_list
from taskcli.output import Record, cell, note, print_json, show_rows
from taskcli.tasks.acting_user import OF_ALL, Reader, Whose, with_tasks
from taskcli.tasks.fields import Labels, Text, comma_notes, refuse_empty
from taskcli.tasks.shown import line, shape
from taskcli.typed_dates import Bound, When, typed
from taskcore import (
    Actor,
    Core,
    Page,
    Priority,
    Problem,
    Sort,
    Status,
    Task,
    TaskQuery,
    cursors,
)
from taskcore.cursors import LABELS
from taskcore.domain.dues import start_of_day
from taskcore.domain.pages import MAX_LIMIT_OF_LABELS
from taskcore.domain.policies import reaches_all_tasks
from taskcore.domain.refusals import refuse
from taskcore.domain.task_queries import STATUS_GROUPS
from taskcore.ports import LabelCount

_COLUMNS = ("id", "status", "priority", "due", "title", "labels")
# Of what is no field of a task, by the names of the core.
_OPTIONS = {"q": "--search", "label": "--label", "sort": "--sort"}
_STATUSES = (*Status, *STATUS_GROUPS)
if TYPE_CHECKING:
    StatusOrGroup = str
    Order = Sort
else:
    # Shells complete the words of a Literal. Of an enumeration they would complete its names.
    StatusOrGroup = Literal[tuple(map(str, _STATUSES))]
    Order = Literal[tuple(map(str, Sort))]


def _statuses(_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(one_of(token.value, _STATUSES) for token in tokens)


def _sort(_: object, tokens: Sequence[Token]) -> Sort:
    return Sort(one_of(tokens[0].value, tuple(Sort)))


def _day(_: object, tokens: Sequence[Token]) -> When:
    text = tokens[0].value
    if text.lower() == "none":
        raise ValueError("nothing filters tasks without a due; `--sort due` puts them last")
    when = When.parse(text)
    if not when.is_day:
        raise ValueError("takes a day; give times with --due-from and --due-until")
    return when


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Filters:
    """The options of `tasks list` that say which tasks, and in which order."""

    status: Annotated[
        Sequence[StatusOrGroup],
        Parameter(
            converter=_statuses,
            negative="",
            show_default=False,
            metavar="STATUS...",
            help="Only with this status; or several. `open` and `closed` are two each.",
        ),
    ] = ()
    priority: Annotated[
        Sequence[Priority],
        Parameter(negative="", show_default=False, help="Only with this priority; or several."),
    ] = ()
    label: Annotated[Labels, Parameter(help="Only with this label, or any of several.")] = ()
    due: Annotated[
        When | None, typed(_day, "DAY"), Parameter(help="Due on this day, such as `today`.")
    ] = None
    due_from: Annotated[Bound, Parameter(help="Due on this day or later, such as `today`.")] = None
    due_until: Annotated[Bound, Parameter(help="Due before this day, such as `+7d`.")] = None
    overdue: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only open tasks whose due is past.")
    ] = False
    completed_from: Annotated[
        Bound, Parameter(help="Done on this day or later, such as `-1w`.")
    ] = None
    completed_until: Annotated[Bound, Parameter(help="Done before this day, such as `today`.")] = (
        None
    )
    updated_from: Annotated[
        Bound, Parameter(help="Changed on this day or later, such as `mon`.")
    ] = None
    search: Annotated[
        Text | None, Parameter(help="Only with all these words in the title or description.")
    ] = None
    sort: Annotated[
        Order | None,
        Parameter(
            converter=_sort,
            allow_leading_hyphen=True,
            show_choices=False,
            metavar="ORDER",
            help=f"The order: {', '.join(Sort)}. A hyphen means the latest first. By `due`, tasks"
            " without one are last, and a day stands at 00:00 UTC.",
        ),
    ] = None

    def check(self) -> None:
        """Raises Usage for options that exclude each other, and Invalid for an empty label."""
        refuse_empty(self.label, "nothing filters tasks without a label")
        if self.due is not None and (self.due_from is not None or self.due_until is not None):
            raise Usage("--due is one day: leave it out, or --due-from and --due-until")

    def query(self, reader: Reader) -> TaskQuery:
        """Raises Invalid for a range that holds nothing, as one whose end is before its beginning.

        Over HTTP such a range is an empty list; people have most often mistaken a weekday.
        """

        def bound(when: When | None, *, past: bool = True) -> date | datetime | None:
            return None if when is None else when.resolved(reader.now, reader.zone, past=past)

        due_from, due_until = bound(self.due_from, past=False), bound(self.due_until, past=False)
        if day := bound(self.due, past=False):
            due_from, due_until = day, day + timedelta(1) if day < date.max else None
        completed_from, completed_until = bound(self.completed_from), bound(self.completed_until)
        refuse(
            _nothing_between("due", due_from, due_until, reader.zone),
            _nothing_between("completed", completed_from, completed_until, reader.zone),
        )
        return TaskQuery(
            status=self.status,
            priority=self.priority,
            label=self.label,
            due_from=due_from,
            due_until=due_until,
            overdue=self.overdue,
            completed_from=completed_from,
            completed_until=completed_until,
            updated_from=bound(self.updated_from),
            q=self.search,
            sort=self.sort,
        )


def _nothing_between(
    what: str, start: date | None, end: date | None, here: tzinfo
) -> Problem | None:
    if start is None or end is None or _begins(start, here) < _begins(end, here):
        return None
    detail = f"{cell(start, here)} is not before --{what}-until, {cell(end, here)}: nothing matches"
    return Problem(f"--{what}-from", detail, "empty_range")


def _begins(bound: date, here: tzinfo) -> datetime:
    return bound if isinstance(bound, datetime) else start_of_day(bound, here)


_NONE = Filters()


def list_(
    *,
    filters: Filters = _NONE,
    whose: Whose = OF_ALL,
    paging: Paging = FIRST_PAGE,
) -> None:
    """List tasks, newest first. With --search the best matches come first.

    A task must fit all options; of a repeated option, one value. To filter, sort or
    search, name one user with --owner or --as; an administrator names one with
    --owner, themselves too.

    WHEN is a day (2026-12-01, today, tomorrow, yesterday, friday or fri, +3d, -2w),
    a time of today (18:00), or both ("fri 17:30", 2026-12-01T09:00,
    2026-12-01T09:00+01:00). A weekday is the next one for dues, and the last one
    for what has happened.

    A `!` behind the due marks an open task whose due is past.
    """
    filters.check()

    async def work(core: Core, actor: Actor) -> None:
        reader = await Reader.of(core, actor, whose.owner)
        query = filters.query(reader)
        places = cursors.tasks(query, reader.owner_id)
        read = partial(core.tasks.page, reader.actor, query, owner_id=reader.owner_id)

        def shown(task: Task) -> Record:
            return line(task, reader)

        of_all = reader.owner_id is None and reaches_all_tasks(reader.actor)
        columns = (*_COLUMNS, "owner_id") if of_all else _COLUMNS
        count = await print_list(read, places, paging, columns, shape, shown, zone=reader.zone)
        if not count and not paging.as_json:
            for said in comma_notes(filters.label):
                note(said)

    with_tasks(whose.as_user, work, options=_OPTIONS)


def labels(
    *,
    whose: Whose = OF_ALL,
    limit: Annotated[
        Whole, Parameter(help=f"Show at most this many, 1 to {MAX_LIMIT_OF_LABELS}.")
    ] = MAX_LIMIT_OF_LABELS,
    cursor: Cursor = "",
    as_json: Json = False,
) -> None:
    """List the labels of a user by name, and how many tasks have each; without the trash."""
    whose.require("labels")

    async def work(core: Core, actor: Actor) -> Page[LabelCount]:
        reader = await Reader.of(core, actor, whose.owner)
        return await core.tasks.labels(
            reader.actor, owner_id=reader.owner_id, limit=limit, after=LABELS.read(cursor)
        )

    page = with_tasks(whose.as_user, work)
    next_cursor = LABELS.after(page)
    if as_json:
        items = [{"name": label.name, "count": label.count} for label in page.items]
        print_json({"items": items, "next_cursor": next_cursor})
    elif page.items:
        show_rows([("name", "count"), *((each.name, str(each.count)) for each in page.items)])
    else:
        note("nothing found")
    if next_cursor and not as_json:
        note(f"{len(page.items)} shown; --cursor {next_cursor} shows the next")
