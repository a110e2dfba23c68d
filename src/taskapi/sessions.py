"""Logging in over HTTP, and staying logged in."""

from typing import Annotated

import structlog
from dishka.integrations.litestar import FromDishka, inject
from litestar import post
from litestar.params import JSONBody
from msgspec import Meta

from taskapi.problems import MAY_REFUSE
from taskapi.wire import Body, PasswordText, UserView, View, view
from taskcore import Core, Grant, InvalidCredentials, InvalidToken

log = structlog.get_logger("taskapi")


class Credentials(Body):
    email: Annotated[str, Meta(extra_json_schema={"examples": ["ada@example.org"]})]
    password: PasswordText


RefreshToken = Annotated[str, Meta(examples=["tcr_mO0…"])]


class Refresh(Body):
    refresh_token: RefreshToken


class Tokens(View):
    """The access token goes into `Authorization: Bearer …`, the refresh token is kept apart."""

    access_token: Annotated[str, Meta(examples=["eyJhbGciOiJIUzI1NiIs…"])]
    refresh_token: RefreshToken
    token_type: Annotated[str, Meta(extra_json_schema={"const": "bearer"})]
    expires_in: Annotated[
        int, Meta(ge=1, description="Seconds until the access token expires", examples=[1800])
    ]
    user: UserView


@post("/login", operation_id="logIn", status_code=200, opt={MAY_REFUSE: (InvalidCredentials,)})
@inject
async def log_in(data: JSONBody[Credentials], core: FromDishka[Core]) -> Tokens:
    """Log in.

    An unknown address, a wrong password and a deactivated account get the same answer.
    """
    try:
        grant = await core.sessions.log_in(email=data.email, password=data.password)
    except InvalidCredentials:
        log.warning("login.refused")
        raise
    log.info("login.succeeded", user_id=grant.user.id)
    return _tokens(grant)


@post("/refresh", operation_id="refresh", status_code=200, opt={MAY_REFUSE: (InvalidToken,)})
@inject
async def refresh(data: JSONBody[Refresh], core: FromDishka[Core]) -> Tokens:
    """Trade a refresh token for a new pair of tokens.

    It is used up by that. The same request sent again within seconds gets the same answer; a used
    token that turns up later ends the session, because somebody holds a copy.
    """
    try:
        grant = await core.sessions.refresh(refresh_token=data.refresh_token)
    except InvalidToken:
        log.warning("refresh.refused")
        raise
    return _tokens(grant)


def _tokens(grant: Grant) -> Tokens:
    return Tokens(
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        token_type="bearer",  # noqa: S106 - the name of the scheme
        expires_in=grant.expires_in,
        user=view(grant.user, UserView),
    )


own_sessions = [log_in, refresh]
