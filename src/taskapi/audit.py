"""The audit log over HTTP: all events for administrators, and each user's own."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get
from litestar.params import FromQuery
from msgspec import Meta

from taskapi.cursors import EventCursor, OwnEventCursor, next_page
from taskapi.documented_operations import SENDS
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
    moment,
    one_of,
    parse_choice,
    parse_timestamp,
)
from taskapi.responses import JsonResponse, View
from taskcore import ActorKind, AuditEvent, AuditEventName, Forbidden, Invalid, Page, UserId
from taskcore.cursors import AUDIT, OWN_AUDIT

_EVENTS = {name.value: name for name in AuditEventName}
UserFilter = Annotated[QueryInt, QueryInt.meta("Only what this user did, or what was done to them")]
EventFilter = Annotated[
    str, one_of(AuditEventName, "Only events of this kind", name="AuditEventName")
]
Since = Annotated[str, moment("Only events at this moment or later")]


class AuditEventView(View):
    """Who did what to whom, from where."""

    id: Id
    at: Timestamp
    event: Annotated[AuditEventName, Meta(examples=[AuditEventName.ROLE_CHANGED.value])]
    actor: Annotated[ActorKind, Meta(examples=[ActorKind.USER.value])]
    actor_id: Annotated[Id | None, Meta(description="Who did it")]
    user_id: Annotated[Id | None, Meta(description="Whom it concerns")]
    session_id: Annotated[UUID | None, Meta(examples=["0b0f6f0a-3c1c-4d0b-9a55-2f9f4c1f8a11"])]
    ip: Ip | None
    user_agent: UserAgent | None
    request_id: Annotated[str | None, Meta(examples=["4d5f6c0e8b7a4f3e9d2c1b0a99887766"])]
    detail: Annotated[
        dict[str, Any],
        Meta(
            description="More about it; the names depend on the kind of event",
            examples=[{"old": "user", "new": "admin"}],
            extra_json_schema={"additionalProperties": True},
        ),
    ]


class AuditEventPage(View):
    items: list[AuditEventView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: EventCursor | None


@get("/", operation_id="listEvents", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_events(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    user: FromQuery[UserFilter] = ANY_USER,
    event: FromQuery[EventFilter | None] = None,
    since: FromQuery[Since | None] = None,
    cursor: FromQuery[EventCursor] = "",
) -> JsonResponse[AuditEventPage]:
    """List what was done, newest first.

    For the next page send `next_cursor` as `cursor`, or follow the `Link` header.
    """
    user_id = None if user is ANY_USER else UserId(user)
    page = await request.core.audit.page(
        request.actor,
        skip=skip,
        limit=limit,
        user_id=user_id,
        event=parse_choice("event", event, _EVENTS),
        since=parse_timestamp("since", since),
        after=AUDIT.read(cursor),
    )
    following = AUDIT.after(page)
    link = next_page("/audit", following, limit, user=user_id, event=event, since=since)
    return _response(page, skip, limit, following, link)


@get(
    "/events",
    operation_id="listOwnEvents",
    before_request=logged_in,
    opt={MAY_REFUSE: (Invalid,), SENDS: ("Link",)},
)
async def own_events(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    cursor: FromQuery[OwnEventCursor] = "",
) -> JsonResponse[AuditEventPage]:
    """List the events of your own account, newest first.

    For the next page send `next_cursor` as `cursor`, or follow the `Link` header.
    """
    page = await request.core.audit.own(
        request.actor, skip=skip, limit=limit, after=OWN_AUDIT.read(cursor)
    )
    following = OWN_AUDIT.after(page)
    link = next_page("/auth/events", following, limit)
    return _response(page, skip, limit, following, link)


def _response(
    page: Page[AuditEvent], skip: Skip, limit: Limit, cursor: str | None, link: dict[str, str]
) -> JsonResponse[AuditEventPage]:
    items = [AuditEventView.of(event) for event in page.items]
    return JsonResponse(AuditEventPage(items, page.total, skip, limit, cursor), headers=link)


audit = Router("/audit", route_handlers=[list_events], before_request=administers, tags=["Audit"])
