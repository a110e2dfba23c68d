"""The history of a task over HTTP, and its earlier versions."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec
import structlog
from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from taskapi.bodies import Body
from taskapi.compression import PackableJson
from taskapi.cursors import HistoryCursor, next_page
from taskapi.documented_operations import SENDS
from taskapi.expectations import Json, schemas_at
from taskapi.fields import Id, Timestamp, Total, Version
from taskapi.idempotency import once
from taskapi.paths import parse_id
from taskapi.preconditions import precondition
from taskapi.problems import MAY_REFUSE, READS
from taskapi.providers import ActorRequest, logged_in
from taskapi.query import DEFAULT_LIMIT, DEFAULT_SKIP, Limit, Skip
from taskapi.responses import JsonResponse, View
from taskapi.task_lists import PATH
from taskapi.task_views import TaskView, answer, cut, fitting, shown
from taskcore import (
    HistoryGone,
    Invalid,
    NotFound,
    StaleWrite,
    TaskEvent,
    TaskEventType,
    TaskId,
    cursors,
)
from taskcore.domain.events import CONTENT
from taskcore.domain.ids import MAX_ID

log = structlog.get_logger("taskapi")


def _kind(schema: Json) -> Json:
    """What the schema allows, without its limits: an older value may have had others."""
    kind = {"type": schema.get("type", "string")}  # an enumeration has none
    return kind | ({"items": _kind(schema["items"])} if "items" in schema else {})


_KINDS = [_kind(schema) for name in CONTENT for schema in schemas_at(TaskView, name)]
_NULL = {"type": "null"}
_Value = Annotated[
    Any,
    Meta(
        description="As the task shows this field",
        examples=["Write the letter"],
        extra_json_schema={
            "anyOf": [each for n, each in enumerate(_KINDS) if each not in [*_KINDS[:n], _NULL]]
            + [_NULL]
        },
    ),
]


class ChangeView(View, rename={"was": "from", "now": "to"}):
    """What a field was before, and since."""

    was: _Value
    now: _Value


class TaskEventView(View):
    """Something that happened to a task."""

    position: Annotated[
        int,
        Meta(ge=1, le=MAX_ID, description="Of two, the one done later has more", examples=[4]),
    ]
    type: Annotated[TaskEventType, Meta(examples=[TaskEventType.UPDATED.value])]
    at: Timestamp
    actor_id: Annotated[
        Id | None,
        Meta(description="The user who did it; null for the operator and for what the server does"),
    ]
    version: Version
    changes: Annotated[
        Mapping[str, ChangeView],
        Meta(
            description="By field. Of a new task, the fields that are not as they would be by "
            "default",
            examples=[{"title": {"from": "Write", "to": "Write the letter"}}],
        ),
    ]

    @classmethod
    def of_event(cls, event: TaskEvent) -> Self:
        changes = {
            name: ChangeView(*msgspec.to_builtins(change)) for name, change in event.changes.items()
        }
        return cls(event.position, event.type, event.at, event.actor_id, event.version, changes)


class HistoryPage(View):
    items: list[TaskEventView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: HistoryCursor | None


@get(
    "/{task_id:str}/history",
    operation_id="getTaskHistory",
    opt={MAY_REFUSE: (NotFound, Invalid), SENDS: ("Link",)},
)
async def get_history(
    request: ActorRequest,
    task_id: FromPath[str],
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    cursor: FromQuery[HistoryCursor] = "",
) -> JsonResponse[HistoryPage]:
    """Show what happened to a task, the latest first; also to one in the trash.

    It reaches back 365 days, unless the operator has set another time. Pages work as in the list of
    tasks.
    """
    found = TaskId(parse_id(task_id))
    places = cursors.history(found)
    page = await request.core.tasks.history(
        request.actor, found, skip=skip, limit=limit, after=places.read(cursor)
    )
    part = cut(page, fitting(page.items))
    next_cursor = places.after(part)
    items = list(map(TaskEventView.of_event, part.items))
    view = HistoryPage(items, page.total, skip, shown(part, limit), next_cursor)
    headers = next_page(f"{PATH}/{found}/history", next_cursor, limit)
    return PackableJson(view, headers=headers)


class Reversion(Body):
    version: Annotated[
        int, Meta(ge=1, le=MAX_ID, description="Whose content the task gets", examples=[1])
    ]


@post(
    "/{task_id:str}/revert",
    operation_id="revertTask",
    status_code=200,
    opt={
        MAY_REFUSE: (NotFound, HistoryGone, StaleWrite, Invalid),
        READS: ("If-Match",),
        SENDS: ("ETag",),
    },
)
@once
async def revert_task(
    request: ActorRequest, task_id: FromPath[str], data: JSONBody[Reversion]
) -> JsonResponse[TaskView]:
    """Give a task the content of an earlier version, as a new version.

    All fields that an edit may name are then as they were. With `If-Match` it succeeds only on the
    version that you have seen.
    """
    async with precondition(request, task_id) as version:
        task = await request.core.tasks.revert(
            request.actor, TaskId(parse_id(task_id)), data.version, expected_version=version
        )
    log.info("task.reverted", task_id=task.id, by=request.actor.user_id, to=data.version)
    return answer(task)


history = Router(
    PATH, route_handlers=[get_history, revert_task], before_request=logged_in, tags=["History"]
)
