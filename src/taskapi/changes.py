"""What changes in one's account, over HTTP: page by page, and as a stream."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import msgspec
from litestar import Router, get
from litestar.params import FromQuery
from msgspec import Meta

from taskapi.change_streams import ChangeStream
from taskapi.compression import PackableJson
from taskapi.cursors import ChangesCursor
from taskapi.documented_operations import STREAMS
from taskapi.fields import Id
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, logged_in
from taskapi.query import QueryInt
from taskapi.responses import JsonResponse, View
from taskapi.task_views import TaskView, fitting_tasks
from taskcore import ChangedTask, CursorExpired, Invalid, LogPosition, TooMany, cursors
from taskcore.domain.pages import MAX_LIMIT_OF_CHANGES
from taskcore.domain.policies import own_id

PATH = "/changes"


class _ChangesLimit(QueryInt):
    low, high = 1, MAX_LIMIT_OF_CHANGES


_Limit = Annotated[_ChangesLimit, _ChangesLimit.meta("How many to return at most")]
_ALL = _ChangesLimit(MAX_LIMIT_OF_CHANGES)


class ChangedView(View):
    """A task that has changed, as it is now."""

    type: Literal["task"]
    id: Id
    change: Annotated[
        Literal["upserted", "removed"],
        Meta(
            title="ChangeKind",
            description="`removed` is in the trash, or gone for good",
            examples=["upserted"],
        ),
    ]
    task: Annotated[TaskView | None, Meta(description="Null for a task that was removed")]

    @classmethod
    def of_tasks(cls, items: Sequence[ChangedTask]) -> list[Self]:
        # All at once: a conversion takes twenty times as long to begin as to convert a task.
        tasks = msgspec.convert(
            [item.task for item in items], list[TaskView | None], from_attributes=True
        )
        return [
            cls("task", item.task_id, "upserted" if task else "removed", task)
            for item, task in zip(items, tasks, strict=True)
        ]


class ChangesView(View):
    items: list[ChangedView]
    cursor: ChangesCursor
    has_more: Annotated[bool, Meta(description="Whether to read on at once", examples=[False])]


@get("/", operation_id="listChanges", opt={MAY_REFUSE: (Invalid, CursorExpired)})
async def list_changes(
    request: ActorRequest,
    cursor: FromQuery[ChangesCursor] = "",
    limit: FromQuery[_Limit] = _ALL,
) -> JsonResponse[ChangesView]:
    """List what has changed in your account since the cursor, as it is now.

    To copy an account and keep the copy up to date: ask without a cursor, which returns none of
    the tasks and the present one; read the list of tasks; then ask again and again with the cursor
    of the page before. Nothing is left out, whatever is written meanwhile. A page has a task at
    most once, later pages may have it again. A page of more than 640 KiB ends early.

    410 means that what came after the cursor is not kept any more, or that the database was
    restored from a backup: begin anew.
    """
    places = cursors.changes(own_id(request.actor))
    page = await request.core.changes.page(request.actor, after=places.read(cursor), limit=limit)
    items, end, has_more = page.items, page.end, page.has_more
    number = fitting_tasks([item.task for item in items])
    if number < len(items):
        items, end, has_more = items[:number], items[number - 1].place, True
    return PackableJson(ChangesView(ChangedView.of_tasks(items), places.at(end), has_more))


@get("/stream", operation_id="followChanges", opt={MAY_REFUSE: (Invalid, TooMany), STREAMS: True})
async def follow_changes(
    request: ActorRequest, cursor: FromQuery[ChangesCursor] = ""
) -> ChangeStream[ChangedView]:
    """Follow what changes in your account, as server-sent events.

    Each change is an event `change`: its `data` is what `GET /changes` has as an item, its `id` the
    cursor behind it. It begins behind `Last-Event-ID`, or else `cursor`, or else now. If what came
    after that is not kept any more, an event `reset` has the present cursor in its `data`: read all
    tasks again. A comment comes every 15 seconds.

    The stream ends with the session, the access token or the role. While the database is away it
    stays open, and goes on where it was. A user has at most 5 at a time in each process of the
    server, so several times as many where a service runs several, and a network has as many as it
    may have connections: then 429.
    """
    actor = request.actor
    places = cursors.changes(own_id(actor))
    last = request.header(b"last-event-id")
    after = _after(places, last) if last else places.read(cursor)
    return ChangeStream(
        request.core.changes.followers, actor, after, places.at, ChangedView.of_tasks
    )


def _after(places: cursors.Cursors[ChangedTask, LogPosition], last: str) -> LogPosition | None:
    """Raises Invalid, which names the header."""
    try:
        return places.read(last)
    except Invalid as refusal:
        raise Invalid(
            *(replace(each, field="Last-Event-ID") for each in refusal.problems)
        ) from None


changes = Router(
    PATH, route_handlers=[list_changes, follow_changes], before_request=logged_in, tags=["History"]
)
