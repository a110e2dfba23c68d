"""The audit log over HTTP: all events for administrators, and each user's own."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get
from litestar.params import FromQuery
from msgspec import Meta

from taskapi.fields import Id, Ip, Timestamp, Total, UserAgent
from taskapi.problems import MAY_REFUSE
from taskapi.providers import ActorRequest, administers, logged_in
from taskapi.query import (
    ANY_USER,
    DEFAULT_LIMIT,
    DEFAULT_SKIP,
    Limit,
    QueryInt,
    Skip,
    parse_choice,
    parse_timestamp,
)
from taskapi.responses import View
from taskcore import Event, EventName, Forbidden, Invalid, Page, UserId

_EVENTS = {name.value: name for name in EventName}
UserFilter = Annotated[QueryInt, QueryInt.meta("What this user did, and what concerns them")]
EventFilter = Annotated[
    str, Meta(description="Of one kind", extra_json_schema={"enum": list(_EVENTS)})
]
Since = Annotated[
    str,
    Meta(
        description="At this moment or later: RFC 3339, with its offset",
        extra_json_schema={"format": "date-time"},
    ),
]


class EventView(View):
    """Who did what to whom, from where."""

    id: Id
    at: Timestamp
    event: Annotated[EventName, Meta(examples=[EventName.ROLE_CHANGED.value])]
    actor: Annotated[
        str, Meta(extra_json_schema={"enum": ["user", "system", "anonymous"]}, examples=["user"])
    ]
    actor_id: Annotated[Id | None, Meta(description="Who did it")]
    user_id: Annotated[Id | None, Meta(description="Whom it concerns")]
    session_id: Annotated[UUID | None, Meta(examples=["0b0f6f0a-3c1c-4d0b-9a55-2f9f4c1f8a11"])]
    ip: Ip | None
    user_agent: UserAgent | None
    request_id: Annotated[str | None, Meta(examples=["4d5f6c0e8b7a4f3e9d2c1b0a99887766"])]
    detail: Annotated[dict[str, Any], Meta(examples=[{"old": "user", "new": "admin"}])]


class EventPage(View):
    items: list[EventView]
    total: Total
    skip: Skip
    limit: Limit


@get("/", operation_id="listEvents", opt={MAY_REFUSE: (Forbidden, Invalid)})
async def list_events(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    user: FromQuery[UserFilter] = ANY_USER,
    event: FromQuery[EventFilter | None] = None,
    since: FromQuery[Since | None] = None,
) -> EventPage:
    """List what was done, newest first."""
    page = await request.core.audit.page(
        request.actor,
        skip=skip,
        limit=limit,
        user_id=None if user is ANY_USER else UserId(user),
        event=parse_choice("event", event, _EVENTS),
        since=parse_timestamp("since", since),
    )
    return _view(page, skip, limit)


@get(
    "/events", operation_id="listOwnEvents", before_request=logged_in, opt={MAY_REFUSE: (Invalid,)}
)
async def own_events(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
) -> EventPage:
    """List the events of your own account, newest first."""
    page = await request.core.audit.own(request.actor, skip=skip, limit=limit)
    return _view(page, skip, limit)


def _view(page: Page[Event], skip: Skip, limit: Limit) -> EventPage:
    return EventPage([EventView.of(event) for event in page.items], page.total, skip, limit)


audit = Router("/audit", route_handlers=[list_events], before_request=administers, tags=["Audit"])
