"""Authenticating an access token: whether it is still good, and which role its user has now."""

from datetime import datetime

from taskcore.domain.errors import InvalidToken
from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor
from taskcore.ports import READ_AHEAD, AccessTokens, ReadAhead, Store


async def authenticated(
    store: Store,
    access_tokens: AccessTokens,
    access_token: str,
    now: datetime,
    origin: Origin,
    ahead: ReadAhead | None,
) -> Actor:
    """The actor of an access token. The role comes from the store, never from the token.

    Raises InvalidToken and ExpiredToken.
    """
    claims = access_tokens.read(access_token, now)
    READ_AHEAD.set(ahead)
    async with store.autocommit(claims.user_id) as db:
        actor = await db.sessions.find_actor(claims.session_id, now)
    if actor is None or actor.user_id != claims.user_id:
        raise InvalidToken
    return Actor(
        actor.user_id, actor.role, actor.session_id, origin, actor.time_zone, claims.expires
    )
