"""Sessions in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from taskcore.adapters.memory.audit import append
from taskcore.adapters.memory.tables import Access, Tables, page_of
from taskcore.domain.audit import NewAuditEvent
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import (
    MAX_SESSIONS,
    RefreshToken,
    Session,
    SessionId,
    SessionPosition,
)
from taskcore.domain.users import StoredCredentials, User, UserId
from taskcore.ports import Page, Removal


@dataclass(slots=True)
class MemorySessions:
    _access: Access

    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        async with self._access() as tables:
            session = tables.sessions.get(session_id)
            if session is None or session.expires_at <= now:
                return None
            user = tables.users[session.user_id]
            if not user.is_active:
                return None
            return Actor(user.id, user.role, session.id, time_zone=user.time_zone)

    async def find_actors(
        self, session_ids: Sequence[SessionId], now: datetime
    ) -> Mapping[SessionId, Actor]:
        found = {id_: await self.find_actor(id_, now) for id_ in session_ids}
        return {id_: actor for id_, actor in found.items() if actor}

    async def open(
        self, session: Session, token: RefreshToken, *, of: StoredCredentials, event: NewAuditEvent
    ) -> bool:
        async with self._access() as tables:
            user = tables.users.get(of.user.id)
            if user is None or not user.is_active:
                return False
            if tables.password_hashes[user.id] != of.password_hash:
                return False
            tables.sessions[session.id] = session
            tables.tokens[token.digest] = token
            kept = _unexpired(tables, user.id, session.created_at)[:MAX_SESSIONS]
            of_user = [each for each in tables.sessions.values() if each.user_id == user.id]
            tables.end_sessions([each.id for each in of_user if each not in kept])
            append(tables, event)
            return True

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        async with self._access() as tables:
            token = tables.tokens.get(digest)
            if token is None:
                return None
            session = tables.sessions[token.session_id]
            return session, token, tables.users[session.user_id]

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        async with self._access() as tables:
            return _unexpired(tables, user_id, now)

    async def page(
        self,
        *,
        user_id: UserId | None,
        skip: int,
        limit: int,
        now: datetime,
        after: SessionPosition | None = None,
    ) -> Page[Session]:
        async with self._access() as tables:
            unexpired = _unexpired(tables, user_id, now)
        return page_of(unexpired, attrgetter("position"), skip=skip, limit=limit, after=after)

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        async with self._access() as tables:
            stored = tables.tokens.get(used.digest)
            if stored is None or stored.used_at is not None:
                return False
            tables.sessions[session.id] = session
            for token in list(tables.tokens.values()):
                if token.session_id == session.id and token.used_at is not None:
                    tables.tokens[token.digest] = replace(token, superseded=True)
            tables.tokens[used.digest] = replace(used, used_at=session.last_used_at)
            tables.tokens[successor.digest] = successor
            return True

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        async with self._access() as tables:
            session = tables.sessions.get(session_id)
            if session is None or of not in {None, session.user_id}:
                return None
            tables.end_sessions([session_id])
            return session.user_id

    async def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> int:
        async with self._access() as tables:
            ended = [
                session.id
                for session in tables.sessions.values()
                if session.user_id == user_id and session.id != but
            ]
            tables.end_sessions(ended)
            return len(ended)

    async def end_some(self, limit: int) -> int:
        async with self._access() as tables:
            ended = list(tables.sessions)[:limit]
            tables.end_sessions(ended)
            return len(ended)

    async def remove_expired(self, limit: int, *, now: datetime) -> Removal:
        async with self._access() as tables:
            expired = [each.id for each in tables.sessions.values() if each.expires_at <= now]
            tables.end_sessions(set(expired[:limit]))
            return Removal(len(expired[:limit]), more=len(expired) > limit)


def _unexpired(tables: Tables, user_id: UserId | None, now: datetime) -> list[Session]:
    """The sessions that have not expired, most recently used first."""
    unexpired = [
        session
        for session in tables.sessions.values()
        if user_id in {None, session.user_id} and session.expires_at > now
    ]
    return sorted(unexpired, key=attrgetter("position"), reverse=True)
