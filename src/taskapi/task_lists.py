"""Lists of tasks over HTTP, with filters, orders and search, and the list of labels."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Router, get
from litestar.params import FromQuery
from msgspec import Meta

from taskapi.compression import PackableJson
from taskapi.cursors import LabelCursor, TaskCursor, next_page
from taskapi.documented_operations import SENDS
from taskapi.fields import Label
from taskapi.parameters import READS_FIRST_PAGE
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, logged_in
from taskapi.query import (
    ANY_USER,
    DEFAULT_LIMIT,
    DEFAULT_SKIP,
    ONLY_TRUE,
    Limit,
    QueryInt,
    Skip,
    flag,
    moment_or_day,
    one_of,
    parse_choice,
    parse_moment_or_day,
    several,
)
from taskapi.responses import JsonResponse, View
from taskapi.task_views import TaskPage, TaskView, bounded, shown
from taskcore import Forbidden, Invalid, Priority, Sort, Status, TaskQuery, UserId, cursors
from taskcore.domain.pages import MAX_LIMIT_OF_LABELS
from taskcore.domain.search import QUERY
from taskcore.domain.task_queries import PLAIN, STATUS_GROUPS

PATH = "/tasks"
_LABELS_PATH = "/labels"

OwnerId = Annotated[
    QueryInt, QueryInt.meta("Whose tasks; only administrators may name another owner")
]
_Statuses = Annotated[
    Sequence[Annotated[str, one_of((*Status, *STATUS_GROUPS), name="StatusFilter")]],
    several("Any of these; `open` and `closed` stand for two each"),
]
_Priorities = Annotated[
    Sequence[Annotated[str, one_of(Priority, name="Priority")]], several("Any of these")
]
_Labels = Annotated[Sequence[Label], several("Any of these, in upper or lower case")]
_DueFrom = Annotated[str, moment_or_day("Due then or later")]
_DueUntil = Annotated[str, moment_or_day("Due before")]
_Overdue = Annotated[
    Any,
    flag("Open, and the due has passed; a day is over at midnight where you live", ONLY_TRUE),
]
_CompletedFrom = Annotated[str, moment_or_day("Done then or later")]
_CompletedUntil = Annotated[str, moment_or_day("Done before")]
_UpdatedFrom = Annotated[str, moment_or_day("Changed then or later")]
_Words = Annotated[
    str,
    Meta(
        description="Words to search for: all must be in the title or the description, in upper or "
        "lower case, with or without accents, each also as the beginning of a word",
        extra_json_schema={"minLength": QUERY.min, "maxLength": QUERY.max, "examples": ["coff"]},
    ),
]
_Order = Annotated[
    str,
    one_of(
        Sort,
        "`-created` is the newest first, and the default without `q`; `due` has tasks without a "
        "due last, and a day among the moments at 00:00 UTC, wherever you live; `priority` has the "
        "urgent first; `relevance`, the default with `q`, has those first that have the words in "
        "their titles",
        name="Sort",
    ),
]
_SORTS = {sort.value: sort for sort in Sort}


@get(
    "/",
    operation_id="listTasks",
    opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",), READS_FIRST_PAGE: True},
)
async def list_tasks(  # noqa: PLR0913, PLR0917 - each is a parameter of the query
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    owner_id: FromQuery[OwnerId] = ANY_USER,
    cursor: FromQuery[TaskCursor] = "",
    status: FromQuery[_Statuses] = (),
    priority: FromQuery[_Priorities] = (),
    label: FromQuery[_Labels] = (),
    due_from: FromQuery[_DueFrom | None] = None,
    due_until: FromQuery[_DueUntil | None] = None,
    overdue: FromQuery[_Overdue | None] = None,
    completed_from: FromQuery[_CompletedFrom | None] = None,
    completed_until: FromQuery[_CompletedUntil | None] = None,
    updated_from: FromQuery[_UpdatedFrom | None] = None,
    q: FromQuery[_Words | None] = None,
    sort: FromQuery[_Order | None] = None,
) -> JsonResponse[TaskPage]:
    """List tasks.

    A user lists their own tasks, an administrator those of all users or of one; to filter, sort or
    search they name the owner. Different parameters must all fit. A day as a bound begins at
    midnight where you live (your `time_zone`), and a range does not include its end: what is due on
    the first of December is `due_from=2026-12-01&due_until=2026-12-02`. Nothing filters tasks
    without a due or without a label.

    For the next page send `next_cursor` as `cursor` with the same parameters, or follow the `Link`
    header: tasks created or deleted meanwhile shift nothing. With `skip` they do shift. `total` is
    null on pages with a cursor if there is a filter, and for more than 500 matches of `q`; by
    relevance, the newest 500 matches are ranked, and the older ones follow, newest first: which are
    ranked may change between two pages, and then some may be repeated or missed. A page of more
    than 640 KiB ends early, and its `limit` says with how many tasks.
    """
    owner = None if owner_id is ANY_USER else UserId(owner_id)
    given = {
        "status": tuple(status),
        "priority": tuple(priority),
        "label": tuple(label),
        "due_from": due_from,
        "due_until": due_until,
        "overdue": overdue,
        "completed_from": completed_from,
        "completed_until": completed_until,
        "updated_from": updated_from,
        "q": q,
        "sort": sort,
    }
    is_plain = all(value is None or value == () for value in given.values())
    query = PLAIN if is_plain else _query(given)
    places = cursors.tasks(query, owner)
    page = await request.core.tasks.page(
        request.actor, query, owner_id=owner, skip=skip, limit=limit, after=places.read(cursor)
    )
    part = bounded(page)
    next_cursor = places.after(part)
    items = msgspec.convert(part.items, list[TaskView], from_attributes=True)
    view = TaskPage(items, page.total, skip, shown(part, limit), next_cursor)
    headers = next_page(PATH, next_cursor, limit, owner_id=owner, **given)
    return PackableJson(view, headers=headers)


_BOUNDS = ("due_from", "due_until", "completed_from", "completed_until", "updated_from")


def _query(given: dict[str, Any]) -> TaskQuery:
    """Raises Invalid."""
    bounds = {name: parse_moment_or_day(name, given[name]) for name in _BOUNDS}
    overdue = parse_choice("overdue", given["overdue"], ONLY_TRUE)
    sort = parse_choice("sort", given["sort"], _SORTS)
    return TaskQuery(
        status=given["status"],
        priority=given["priority"],
        label=given["label"],
        q=given["q"],
        overdue=bool(overdue),
        sort=sort,
        **bounds,
    )


class LabelView(View):
    """A label."""

    name: Label
    count: Annotated[int, Meta(ge=1, description="How many tasks have it", examples=[3])]


class LabelPage(View):
    items: list[LabelView]
    next_cursor: LabelCursor | None


class _LabelLimit(QueryInt):
    low, high = 1, MAX_LIMIT_OF_LABELS


_Labelled = Annotated[_LabelLimit, _LabelLimit.meta("How many to return at most")]
_ALL_LABELS = _LabelLimit(MAX_LIMIT_OF_LABELS)


@get("/", operation_id="listLabels", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_labels(
    request: ActorRequest,
    limit: FromQuery[_Labelled] = _ALL_LABELS,
    cursor: FromQuery[LabelCursor] = "",
    owner_id: FromQuery[OwnerId] = ANY_USER,
) -> JsonResponse[LabelPage]:
    """List the labels of your tasks, by name.

    Labels that differ in upper and lower case only are one label. Those of tasks in the trash do
    not count.
    """
    owner = None if owner_id is ANY_USER else UserId(owner_id)
    page = await request.core.tasks.labels(
        request.actor, owner_id=owner, limit=limit, after=cursors.LABELS.read(cursor)
    )
    next_cursor = cursors.LABELS.after(page)
    items = msgspec.convert(page.items, list[LabelView], from_attributes=True)
    headers = next_page(_LABELS_PATH, next_cursor, limit, owner_id=owner)
    return PackableJson(LabelPage(items, next_cursor), headers=headers)


labels = Router(
    _LABELS_PATH, route_handlers=[list_labels], before_request=logged_in, tags=["Tasks"]
)
