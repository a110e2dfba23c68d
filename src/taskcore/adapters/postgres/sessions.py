"""Sessions and their refresh tokens in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
    LargeBinary,
    Select,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import refresh_tokens, sessions, users
from taskcore.adapters.postgres.statements import (
    Gathered,
    Statement,
    asked,
    columns_of,
    named_values,
    page_of,
)
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import MAX_SESSIONS, RefreshToken, Session, SessionId
from taskcore.domain.users import Role, UserId
from taskcore.ports import Page

_MOMENT = DateTime(timezone=True)

_SESSION = columns_of(sessions, Session)
_TOKEN = columns_of(refresh_tokens, RefreshToken)


def _in_order(*which: ColumnElement[bool]) -> Select[tuple[Any]]:
    """Locked one after the other, so that two who end the same ones do not block each other."""
    return select(sessions.c.id).where(*which).order_by(sessions.c.id).with_for_update()


_ASKED = asked(id=Uuid(), now=_MOMENT)
_FIND_ACTOR = Gathered(
    select(_ASKED.c.number, users.c.id, users.c.role)
    .select_from(_ASKED.join(sessions, sessions.c.id == _ASKED.c.id).join(users))
    .where(sessions.c.expires_at > _ASKED.c.now, users.c.is_active)
)
_OPEN_SESSION = (
    insert(sessions)
    .values({column.name: bindparam(column.name) for column in _SESSION})
    .returning(sessions.c.id)
    .cte("opened")
)
_THEIRS = sessions.c.user_id == bindparam("user_id")
_KEPT = (
    select(sessions.c.id)
    .where(_THEIRS, sessions.c.expires_at > bindparam("created_at"))
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
    .limit(MAX_SESSIONS - 1)
)
_FORGET = (
    delete(sessions)
    .where(sessions.c.id.in_(_in_order(_THEIRS, sessions.c.id.not_in(_KEPT))))
    .cte("forgotten")
)
_NEW_TOKEN: dict[str, BindParameter[Any]] = {
    "digest": bindparam("digest"),
    "nonce": bindparam("nonce"),
    "issued_at": bindparam("last_used_at"),
    "expires_at": bindparam("expires_at"),
}
_OPEN = Statement(
    insert(refresh_tokens)
    .values(session_id=bindparam("id"), **_NEW_TOKEN)
    .add_cte(_OPEN_SESSION, _FORGET)
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
_FIND_BY_TOKEN = Statement(
    select(refresh_tokens.c.session_id).where(refresh_tokens.c.digest == bindparam("digest"))
)
_LIVING = (
    select(*_SESSION)
    .where(sessions.c.expires_at > bindparam("now"))
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
)
_OF_USER = Statement(_LIVING.where(_THEIRS))
_PAGE = Statement(page_of(_LIVING, sessions.c.last_used_at, sessions.c.id))
_PAGE_OF_USER = Statement(page_of(_LIVING.where(_THEIRS), sessions.c.last_used_at, sessions.c.id))
_CHANGING = ("last_used_at", "expires_at", "ip", "user_agent")
_TOUCH = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values({name: bindparam(name) for name in _CHANGING})
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
_ADD_TOKEN = Statement(
    insert(refresh_tokens).values(session_id=bindparam("session_id"), **_NEW_TOKEN)
)
_END = Statement(
    delete(sessions).where(sessions.c.id == bindparam("id")).returning(sessions.c.user_id)
)
_END_OF = Statement(
    delete(sessions).where(sessions.c.id == bindparam("id"), _THEIRS).returning(sessions.c.user_id)
)
_END_ALL_OF = Statement(
    delete(sessions).where(
        sessions.c.id.in_(_in_order(_THEIRS, sessions.c.id.is_distinct_from(bindparam("but"))))
    )
)
_END_ALL = Statement(
    delete(sessions).where(
        sessions.c.id.in_(_in_order(sessions.c.id.is_distinct_from(bindparam("but"))))
    )
)


@dataclass(slots=True)
class PostgresSessions:
    _link: Link

    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        for _, user_id, role in await self._link.answer(_FIND_ACTOR, id=session_id, now=now):
            return Actor(UserId(user_id), Role(role), session_id)
        return None

    async def open(self, session: Session, token: RefreshToken) -> None:
        await self._link.run(
            _OPEN,
            **named_values((column.name for column in _SESSION), session),
            digest=token.digest,
            nonce=token.nonce,
        )

    async def find_by_token(self, digest: bytes) -> SessionId | None:
        row = await self._link.row(_FIND_BY_TOKEN, digest=digest)
        return row[0] if row else None

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        rows = await self._link.rows(_OF_USER, user_id=user_id, now=now)
        return [Session(*row) for row in rows]

    async def page(
        self, *, user_id: UserId | None, skip: int, limit: int, now: datetime
    ) -> Page[Session]:
        if user_id is None:
            rows = await self._link.rows(_PAGE, skip=skip, limit=limit, now=now)
        else:
            rows = await self._link.rows(
                _PAGE_OF_USER, user_id=user_id, skip=skip, limit=limit, now=now
            )
        return Page([Session(*row[1:]) for row in rows if row[1] is not None], rows[0][0])

    async def lock_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """Two round trips: what the token became while we waited is not in the first snapshot."""
        session = await self._link.row(_LOCK_BY_TOKEN, digest=digest)
        token = session and await self._link.row(_GET_TOKEN, digest=digest)
        return (Session(*session), RefreshToken(*token)) if session and token else None

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """Three round trips."""
        await self._link.run(_TOUCH, session_id=session.id, **named_values(_CHANGING, session))
        await self._link.run(_USE, session=session.id, used=used.digest, now=session.last_used_at)
        await self._link.run(
            _ADD_TOKEN,
            session_id=session.id,
            digest=successor.digest,
            nonce=successor.nonce,
            last_used_at=successor.issued_at,
            expires_at=successor.expires_at,
        )

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        if of is None:
            row = await self._link.row(_END, id=session_id)
        else:
            row = await self._link.row(_END_OF, id=session_id, user_id=of)
        return row[0] if row else None

    async def end_all(self, user_id: UserId | None, *, but: SessionId | None = None) -> int:
        if user_id is None:
            return await self._link.run(_END_ALL, but=but)
        return await self._link.run(_END_ALL_OF, user_id=user_id, but=but)
