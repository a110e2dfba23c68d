"""Sessions over HTTP: log in, refresh, list, log out."""

from typing import Annotated
from uuid import UUID

import structlog
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from taskapi.bodies import Body, fields_set
from taskapi.fields import Ip, NewPassword, Password, Timestamp, UserAgent
from taskapi.paths import SessionUuid, parse_session_id
from taskapi.problems import LIMITED, MAY_REFUSE
from taskapi.providers import ActorRequest, ApiRequest, logged_in, origin_of
from taskapi.responses import View
from taskapi.users import UserView
from taskcore import (
    Actor,
    Grant,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    PasswordChangeRequired,
    Session,
    TooMany,
)
from taskcore.domain.rate_limits import LOGIN, REFRESH

log = structlog.get_logger("taskapi")


class Credentials(Body):
    shown = ("email", "password")

    email: Annotated[str, Meta(extra_json_schema={"examples": ["ada@example.org"]})]
    password: Password
    new_password: NewPassword | UnsetType = UNSET


RefreshToken = Annotated[str, Meta(examples=["tcr_mO0…"])]


class Refresh(Body):
    refresh_token: RefreshToken


class Tokens(View):
    """Send the access token as `Authorization: Bearer …`, the refresh token only to refresh."""

    access_token: Annotated[str, Meta(examples=["eyJhbGciOiJIUzI1NiIs…"])]
    refresh_token: RefreshToken
    token_type: Annotated[str, Meta(extra_json_schema={"const": "bearer"})]
    expires_in: Annotated[
        int, Meta(ge=1, description="Seconds until the access token expires", examples=[1800])
    ]
    user: UserView


class SessionView(View):
    """A login of a user, on one device."""

    id: Annotated[UUID, Meta(examples=["0b0f6f0a-3c1c-4d0b-9a55-2f9f4c1f8a11"])]
    created_at: Timestamp
    last_used_at: Annotated[Timestamp, Meta(description="The last login or refresh")]
    expires_at: Annotated[Timestamp, Meta(description="When it ends unless it is used before")]
    ip: Ip | None
    user_agent: UserAgent | None
    current: Annotated[
        bool, Meta(description="Whether this request belongs to it", examples=[True])
    ]


class SessionList(View):
    items: list[SessionView]


@post(
    "/login",
    operation_id="logIn",
    status_code=200,
    opt={MAY_REFUSE: (InvalidCredentials, PasswordChangeRequired, TooMany), LIMITED: LOGIN},
)
async def log_in(request: ApiRequest, data: JSONBody[Credentials]) -> Tokens:
    """Log in.

    An unknown address, a wrong password and a deactivated account get the same answer. Failures
    are limited for each account, for each IP address, and for each pair of the two.

    A one-time password, which an administrator has given you, is replaced by the login: send the
    `new_password` of your choice with it. Without one the answer is 403
    `password_change_required`. No other login takes a `new_password`.
    """
    try:
        grant = await request.core.sessions.log_in(**fields_set(data), origin=origin_of(request))
    except InvalidCredentials:
        log.warning("login.refused")
        raise
    log.info("login.succeeded", user_id=grant.user.id)
    return _tokens(grant)


@post(
    "/refresh",
    operation_id="refresh",
    status_code=200,
    opt={MAY_REFUSE: (InvalidToken, TooMany), LIMITED: REFRESH},
)
async def refresh(request: ApiRequest, data: JSONBody[Refresh]) -> Tokens:
    """Trade a refresh token for a new pair of tokens.

    A refresh token works once. The same request sent again within seconds gets the same answer. A
    used token that is sent later ends the session, because two clients must have had it.
    """
    try:
        grant = await request.core.sessions.refresh(
            refresh_token=data.refresh_token, origin=origin_of(request)
        )
    except InvalidToken:
        log.warning("refresh.refused")
        raise
    return _tokens(grant)


@post("/logout", operation_id="logOut", status_code=204, before_request=logged_in)
async def log_out(request: ActorRequest) -> None:
    """Log out.

    This session's access and refresh tokens stop working at once.
    """
    await request.core.sessions.log_out(request.actor)
    log.info("logout", user_id=request.actor.user_id)


@post("/logout-all", operation_id="logOutEverywhere", status_code=204, before_request=logged_in)
async def log_out_everywhere(request: ActorRequest) -> None:
    """Log out everywhere.

    All your sessions end, this one too.
    """
    ended = await request.core.sessions.log_out_everywhere(request.actor)
    log.info("logout", user_id=request.actor.user_id, sessions=ended)


@get("/sessions", operation_id="listSessions", before_request=logged_in)
async def list_sessions(request: ActorRequest) -> SessionList:
    """List your sessions, the one used last first."""
    sessions = await request.core.sessions.own(request.actor)
    return SessionList([_view(session, request.actor) for session in sessions])


@delete(
    "/sessions/{session_id:str}",
    operation_id="endSession",
    before_request=logged_in,
    opt={MAY_REFUSE: (NotFound,)},
)
async def end_session(request: ActorRequest, session_id: FromPath[SessionUuid]) -> None:
    """End one of your sessions."""
    await request.core.sessions.end_own(request.actor, parse_session_id(session_id))
    log.info("session.revoked", user_id=request.actor.user_id)


def _tokens(grant: Grant) -> Tokens:
    return Tokens(
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        token_type="bearer",  # noqa: S106 - the name of the scheme
        expires_in=grant.expires_in,
        user=UserView.of(grant.user),
    )


def _view(session: Session, actor: Actor) -> SessionView:
    return SessionView(
        id=session.id,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        ip=session.ip,
        user_agent=session.user_agent,
        current=session.id == actor.session_id,
    )


own_sessions = [list_sessions, end_session, log_out, log_out_everywhere]
