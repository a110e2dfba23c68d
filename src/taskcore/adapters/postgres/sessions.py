"""Sessions and their refresh tokens in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    DateTime,
    LargeBinary,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import refresh_tokens, sessions, users
from taskcore.adapters.postgres.statements import Statement, columns_of
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.users import Role, UserId

_MOMENT = DateTime(timezone=True)

_SESSION = columns_of(sessions, Session)
_TOKEN = columns_of(refresh_tokens, RefreshToken)

_FIND_ACTOR = Statement(
    select(users.c.id, users.c.role)
    .select_from(sessions.join(users))
    .where(
        sessions.c.id == bindparam("id"),
        sessions.c.expires_at > bindparam("now"),
        users.c.is_active,
    )
)
_OPEN_SESSION = (
    insert(sessions)
    .values(
        id=bindparam("id"),
        user_id=bindparam("user_id"),
        created_at=bindparam("now"),
        last_used_at=bindparam("now"),
        expires_at=bindparam("session_expires_at"),
    )
    .returning(sessions.c.id)
    .cte("opened")
)
_FORGET_EXPIRED = (
    delete(sessions)
    .where(sessions.c.user_id == bindparam("user_id"), sessions.c.expires_at <= bindparam("now"))
    .cte("forgotten")
)
_NEW_TOKEN: dict[str, BindParameter[Any]] = {
    "digest": bindparam("digest"),
    "nonce": bindparam("nonce"),
    "issued_at": bindparam("now"),
    "expires_at": bindparam("expires_at"),
}
_OPEN = Statement(
    insert(refresh_tokens)
    .values(session_id=bindparam("id"), **_NEW_TOKEN)
    .add_cte(_OPEN_SESSION, _FORGET_EXPIRED)
)
_LOCK_BY_TOKEN = Statement(
    select(*_SESSION)
    .where(
        sessions.c.id.in_(
            select(refresh_tokens.c.session_id).where(
                refresh_tokens.c.digest == bindparam("digest")
            )
        )
    )
    .with_for_update()
)
_GET_TOKEN = Statement(select(*_TOKEN).where(refresh_tokens.c.digest == bindparam("digest")))
_TOUCH = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values(last_used_at=bindparam("now"))
)
# All tokens of the session that are not yet superseded: the one used now gets its time, the ones
# used before are superseded by that.
_USE = Statement(
    update(refresh_tokens)
    .where(refresh_tokens.c.session_id == bindparam("session"), ~refresh_tokens.c.superseded)
    .values(
        superseded=refresh_tokens.c.digest != bindparam("used", type_=LargeBinary),
        used_at=func.coalesce(refresh_tokens.c.used_at, bindparam("now", type_=_MOMENT)),
    )
)
_ADD_TOKEN = Statement(insert(refresh_tokens).values(session_id=bindparam("id"), **_NEW_TOKEN))
_END = Statement(delete(sessions).where(sessions.c.id == bindparam("id")))
_END_ALL = Statement(delete(sessions).where(sessions.c.user_id == bindparam("user_id")))


@dataclass(slots=True)
class PostgresSessions:
    _link: Link

    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        row = await self._link.row(_FIND_ACTOR, id=session_id, now=now)
        return None if row is None else Actor(UserId(row[0]), Role(row[1]), session_id)

    async def open(self, session: Session, token: RefreshToken) -> None:
        await self._link.run(
            _OPEN,
            id=session.id,
            user_id=session.user_id,
            now=session.created_at,
            session_expires_at=session.expires_at,
            digest=token.digest,
            nonce=token.nonce,
            expires_at=token.expires_at,
        )

    async def lock_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """Two round trips: what the token became while we waited is not in the first snapshot."""
        session = await self._link.row(_LOCK_BY_TOKEN, digest=digest)
        token = session and await self._link.row(_GET_TOKEN, digest=digest)
        return (Session(*session), RefreshToken(*token)) if session and token else None

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """Three round trips."""
        now = session.last_used_at
        await self._link.run(_TOUCH, session_id=session.id, now=now)
        await self._link.run(_USE, session=session.id, used=used.digest, now=now)
        await self._link.run(
            _ADD_TOKEN,
            id=session.id,
            digest=successor.digest,
            nonce=successor.nonce,
            now=now,
            expires_at=successor.expires_at,
        )

    async def end(self, session_id: SessionId) -> None:
        await self._link.run(_END, id=session_id)

    async def end_all(self, user_id: UserId) -> None:
        await self._link.run(_END_ALL, user_id=user_id)
