"""Sessions and refresh tokens in PostgreSQL. A method is one round trip, except where noted."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from taskcore.adapters.postgres.account_tables import refresh_tokens, sessions, users
from taskcore.adapters.postgres.audit import recorded, values_of
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.removals import removal, removed
from taskcore.adapters.postgres.schema import streams, tasks
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Statement,
    batch_of,
    columns_of,
    named_values,
    page_and_total,
    page_of,
    sliced,
)
from taskcore.adapters.postgres.task_lists import (
    PAGES,
    TOTAL,
    is_account,
    newest_tasks,
    page_of_tasks,
)
from taskcore.adapters.postgres.task_rows import columns_of_tasks, task_of, texts_at
from taskcore.adapters.postgres.users import USER, user_of
from taskcore.domain.audit import NewAuditEvent
from taskcore.domain.errors import Unavailable
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import (
    MAX_SESSIONS,
    RefreshToken,
    Session,
    SessionId,
    SessionPosition,
)
from taskcore.domain.users import Role, StoredCredentials, User, UserId
from taskcore.ports import READ_AHEAD, Page, ReadAhead, Removal

_MOMENT = sa.DateTime(timezone=True)
_BEYOND_ALL = SessionPosition(datetime.max.replace(tzinfo=UTC), SessionId(UUID(int=0)))

_SESSION = columns_of(sessions, Session)
_TOKEN = columns_of(refresh_tokens, RefreshToken)


def _in_order(*which: sa.ColumnElement[bool]) -> sa.Select[tuple[Any]]:
    """Locks the sessions in the order of their ids.

    Two statements that end some of the same sessions then wait for each other and never deadlock.
    """
    return sa.select(sessions.c.id).where(*which).order_by(sessions.c.id).with_for_update()


_NOTHING = ReadAhead()
_ACTOR = (users.c.id, users.c.role, users.c.time_zone)


def _find_actor(*, reads_task: bool) -> BatchedStatement:
    """Finds the actor of a session.

    With `reads_task` also the task `task_id`, if the actor owns it.
    """
    about = {"task_id": sa.BigInteger()} if reads_task else {}
    batch = batch_of(id=sa.Uuid(), now=_MOMENT, **about)
    actors = batch.join(sessions, sessions.c.id == batch.c.id).join(users)
    columns: list[sa.ColumnElement[Any]] = [batch.c.number, *_ACTOR]
    if reads_task:
        own = sa.and_(tasks.c.owner_id == users.c.id, tasks.c.id == batch.c.task_id)
        actors = actors.join(tasks, own, isouter=True)
        columns += columns_of_tasks(tasks)
    return BatchedStatement(
        sa.select(*columns)
        .select_from(actors)
        .where(sessions.c.expires_at > batch.c.now, users.c.is_active)
    )


def _find_actor_and_page() -> BatchedStatement:
    """Finds the actor of a session, and the first page of the actor's tasks: one row without it."""
    batch = batch_of(id=sa.Uuid(), now=_MOMENT, limit=sa.BigInteger())
    page = newest_tasks().limit(batch.c.limit).lateral("page")
    return BatchedStatement(
        sa.select(batch.c.number, *_ACTOR, TOTAL, *page.c)
        .select_from(
            batch.join(sessions, sessions.c.id == batch.c.id)
            .join(users)
            .join(streams, is_account(users.c.id), isouter=True)
            .join(page, sa.true(), isouter=True)
        )
        .where(sessions.c.expires_at > batch.c.now, users.c.is_active)
        .order_by(batch.c.number, page.c.id.desc()),
        max_concurrent=PAGES,
        limit="limit",
        hold_more=texts_at(_ABOUT + 1),
    )


_ABOUT = 1 + len(_ACTOR)  # the column of what else was read
_FIND_ACTOR, _FIND_ACTOR_AND_TASK = _find_actor(reads_task=False), _find_actor(reads_task=True)
_FIND_ACTOR_AND_PAGE = _find_actor_and_page()
_FIND_ACTORS = Statement(
    sa.select(sessions.c.id, *_ACTOR)
    .select_from(sessions.join(users))
    .where(
        sessions.c.id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid()))),
        sessions.c.expires_at > sa.bindparam("now", type_=_MOMENT),
        users.c.is_active,
    )
)
_BY_USER = sessions.c.user_id == sa.bindparam("user_id")
# Locks the account, so that a change of it happens before or after the login.
_HOLDER = (
    sa.select(users.c.id)
    .where(
        users.c.id == sa.bindparam("user_id"),
        users.c.hashed_password == sa.bindparam("password_hash"),
        users.c.is_active,
    )
    .with_for_update(key_share=True)
    .cte("holder")
)
_OPENED = (
    sa.insert(sessions)
    .from_select(
        [column.name for column in _SESSION],
        sa.select(
            *(sa.bindparam(column.name, type_=column.type) for column in _SESSION)
        ).select_from(_HOLDER),
    )
    .returning(sessions.c.id)
    .cte("opened")
)


def _added(of: sa.CTE) -> sa.CTE:
    """Inserts the token that is issued with the session's new state."""
    values = {
        "digest": sa.bindparam("digest", type_=sa.LargeBinary),
        "nonce": sa.bindparam("nonce", type_=sa.LargeBinary),
        "issued_at": sa.bindparam("last_used_at", type_=_MOMENT),
        "expires_at": sa.bindparam("expires_at", type_=_MOMENT),
    }
    return (
        sa.insert(refresh_tokens)
        .from_select(["session_id", *values], sa.select(of.c.id, *values.values()).select_from(of))
        .cte("added")
    )


# Returns no row if the session was not opened, else whether to run _FORGET: from half of
# MAX_SESSIONS on, because the statement does not see sessions that other logins open at the same
# time; or if one has expired.
_OPEN = Statement(
    sa.select(
        sa.or_(
            sa.func.count(sessions.c.id) >= MAX_SESSIONS // 2,
            sa.func.coalesce(
                sa.func.bool_or(sessions.c.expires_at <= sa.bindparam("created_at")), sa.false()
            ),
        )
    )
    .select_from(_HOLDER.join(sessions, sessions.c.user_id == _HOLDER.c.id, isouter=True))
    .group_by(_HOLDER.c.id)
    .add_cte(_OPENED, _added(_OPENED), recorded(_HOLDER))
)
_KEPT = (
    sa.select(sessions.c.id)
    .where(_BY_USER, sessions.c.expires_at > sa.bindparam("now"))
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
    .limit(MAX_SESSIONS)
)
_FORGET = Statement(
    sa.delete(sessions).where(sessions.c.id.in_(_in_order(_BY_USER, sessions.c.id.not_in(_KEPT))))
)
_FIND_BY_TOKEN = Statement(
    sa.select(*_SESSION, *_TOKEN, *USER)
    .select_from(refresh_tokens.join(sessions).join(users))
    .where(refresh_tokens.c.digest == sa.bindparam("digest"))
)
_LIVING = (
    sa.select(*_SESSION)
    .where(sessions.c.expires_at > sa.bindparam("now"))
    .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
)
_OF_USER = Statement(_LIVING.where(_BY_USER))


@cache  # four statements
def _page(*, of_user: bool, counted: bool) -> Statement:
    """A page of the sessions of a user, or of all.

    PostgreSQL sorts the sessions, because no index is ordered by their last use. One user has few.
    A page of all reads every session that has not expired, however many there are.
    """
    living = _LIVING.where(_BY_USER) if of_user else _LIVING
    position = (sessions.c.last_used_at, sessions.c.id)
    before = (
        sa.bindparam("used_before", type_=_MOMENT),
        sa.bindparam("id_before", type_=sa.Uuid),
    )
    page = living.where(sa.tuple_(*position) < sa.tuple_(*before))
    return page_and_total(sliced(page), *position, of=living.order_by(None) if counted else None)


_UPDATED = ("last_used_at", "expires_at", "ip", "user_agent")
# Locks the session, then its token, and tests `used_at` once it has the locks: of two refreshes
# with one token, one finds a row.
_UNUSED = (
    sa.select(sessions.c.id)
    .select_from(sessions.join(refresh_tokens))
    .where(
        sessions.c.id == sa.bindparam("session_id"),
        refresh_tokens.c.digest == sa.bindparam("used", type_=sa.LargeBinary),
        refresh_tokens.c.used_at.is_(None),
    )
    .with_for_update()
    .cte("unused")
)
_TOUCHED = (
    sa.update(sessions)
    .where(sessions.c.id == _UNUSED.c.id)
    .values({name: sa.bindparam(name) for name in _UPDATED})
    .cte("touched")
)
# Sets `used_at` of the presented token, and `superseded` of those used before it.
_USED = (
    sa.update(refresh_tokens)
    .where(refresh_tokens.c.session_id == _UNUSED.c.id, ~refresh_tokens.c.superseded)
    .values(
        superseded=refresh_tokens.c.digest != sa.bindparam("used", type_=sa.LargeBinary),
        used_at=sa.func.coalesce(
            refresh_tokens.c.used_at, sa.bindparam("last_used_at", type_=_MOMENT)
        ),
    )
    .cte("used")
)
_ROTATE = Statement(sa.select(_UNUSED.c.id).add_cte(_TOUCHED, _USED, _added(_UNUSED)))
_END = Statement(
    sa.delete(sessions).where(sessions.c.id == sa.bindparam("id")).returning(sessions.c.user_id)
)
_END_OF = Statement(
    sa.delete(sessions)
    .where(sessions.c.id == sa.bindparam("id"), _BY_USER)
    .returning(sessions.c.user_id)
)
_END_ALL_OF = Statement(
    sa.delete(sessions).where(
        sessions.c.id.in_(_in_order(_BY_USER, sessions.c.id.is_distinct_from(sa.bindparam("but"))))
    )
)
# A CTE, which is run once: PostgreSQL may run a subquery with a limit again for each row.
_SOME = _in_order().limit(sa.bindparam("limit", type_=sa.BigInteger)).cte("some")
_END_SOME = Statement(sa.delete(sessions).where(sessions.c.id.in_(sa.select(_SOME.c.id))))
# Removes sessions in the order of the index that finds the expired ones.
_REMOVE_EXPIRED = removal(
    sessions.c.id, sessions.c.expires_at <= sa.bindparam("now"), sessions.c.expires_at
)


@dataclass(slots=True)
class PostgresSessions:
    _link: Link

    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        ahead = READ_AHEAD.get() or _NOTHING
        session = {"id": session_id, "now": now}
        if ahead.task_id is not None:
            rows = await self._link.batched(_FIND_ACTOR_AND_TASK, **session, task_id=ahead.task_id)
        elif ahead.first_page is not None:
            more = ahead.first_page + 1  # one more, to see whether this is the last page
            rows = await self._link.batched(_FIND_ACTOR_AND_PAGE, **session, limit=more)
        else:
            rows = await self._link.batched(_FIND_ACTOR, **session)
        if not rows:
            return None
        _, user_id, role, time_zone, *about = rows[0]
        if ahead.first_page is not None:
            ahead.keep_page(user_id, page_of_tasks(rows, _ABOUT, ahead.first_page))
        elif about and about[0] is not None:
            ahead.keep(task_of(about))
        return Actor(UserId(user_id), Role(role), session_id, time_zone=time_zone)

    async def find_actors(
        self, session_ids: Sequence[SessionId], now: datetime
    ) -> Mapping[SessionId, Actor]:
        rows = await self._link.rows(_FIND_ACTORS, ids=list(session_ids), now=now)
        return {
            SessionId(id_): Actor(UserId(user), Role(role), SessionId(id_), time_zone=zone)
            for id_, user, role, zone in rows
        }

    async def open(
        self, session: Session, token: RefreshToken, *, of: StoredCredentials, event: NewAuditEvent
    ) -> bool:
        """A second round trip removes old sessions.

        It is made once the user has an expired session, or half of MAX_SESSIONS.
        """
        row = await self._link.row(
            _OPEN,
            **named_values((column.name for column in _SESSION), session),
            password_hash=of.password_hash,
            digest=token.digest,
            nonce=token.nonce,
            **values_of(event),
        )
        if row and row[0]:
            # _FORGET is a separate statement, because its snapshot is later: of several logins at
            # the same time, the last sees the sessions of all.
            with suppress(Unavailable):  # the session is open; the next login removes the old ones
                await self._link.run(_FORGET, user_id=session.user_id, now=session.created_at)
        return row is not None

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        row = await self._link.row(_FIND_BY_TOKEN, digest=digest)
        if row is None:
            return None
        of_session, of_token = len(_SESSION), len(_SESSION) + len(_TOKEN)
        return (
            Session(*row[:of_session]),
            RefreshToken(*row[of_session:of_token]),
            user_of(row[of_token:]),
        )

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        rows = await self._link.rows(_OF_USER, user_id=user_id, now=now)
        return [Session(*row) for row in rows]

    async def page(
        self,
        *,
        user_id: UserId | None,
        skip: int,
        limit: int,
        now: datetime,
        after: SessionPosition | None = None,
    ) -> Page[Session]:
        of_user = user_id is not None
        used_before, id_before = after or _BEYOND_ALL
        rows = await self._link.in_turn(
            _page(of_user=of_user, counted=after is None),
            _page(of_user=of_user, counted=False),
            user_id=user_id,
            now=now,
            used_before=used_before,
            id_before=id_before,
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        return page_of(rows, limit, Session)

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        row = await self._link.row(
            _ROTATE,
            session_id=session.id,
            **named_values(_UPDATED, session),
            used=used.digest,
            digest=successor.digest,
            nonce=successor.nonce,
        )
        return row is not None

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        row = await self._link.row(_END if of is None else _END_OF, id=session_id, user_id=of)
        return row[0] if row else None

    async def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> int:
        return await self._link.run(_END_ALL_OF, user_id=user_id, but=but)

    async def end_some(self, limit: int) -> int:
        return await self._link.run(_END_SOME, limit=limit)

    async def remove_expired(self, limit: int, *, now: datetime) -> Removal:
        return await removed(self._link, _REMOVE_EXPIRED, limit, now=now)
