"""A store in this process's memory, and a whole core on it that needs nothing installed.

Transactions are real: entities are frozen, so a copy of the tables is a snapshot, and one
transaction runs at a time. What is stored is gone with the process.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import count
from typing import TypeVar

from taskcore.adapters.limits import MemoryLimiter
from taskcore.adapters.system import (
    HmacPseudonyms,
    OpaqueRefreshTokens,
    ScryptHasher,
    SignedAccessTokens,
    SystemClock,
)
from taskcore.core import Core
from taskcore.domain.audit import Event, EventId, EventName, NewEvent
from taskcore.domain.errors import EmailTaken, NotFound, StaleWrite
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import MAX_SESSIONS, RefreshToken, Session, SessionId
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import NewUser, Role, User, UserId
from taskcore.ports import Clock, Page, PasswordHasher

Item = TypeVar("Item")


def memory_core(*, clock: Clock | None = None, hasher: PasswordHasher | None = None) -> Core:
    """A whole core that forgets everything at the end of the process."""
    clock = clock or SystemClock()
    return Core.bind(
        store=MemoryStore(),
        hasher=hasher or ScryptHasher(),
        access_tokens=SignedAccessTokens(secrets.token_bytes(32)),
        refresh_tokens=OpaqueRefreshTokens((secrets.token_bytes(32),)),
        limiter=MemoryLimiter(clock),
        pseudonyms=HmacPseudonyms(secrets.token_bytes(32)),
        clock=clock,
    )


@dataclass(slots=True)
class _Tables:
    users: dict[UserId, User] = field(default_factory=dict)
    emails: dict[str, UserId] = field(default_factory=dict)
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    tokens: dict[bytes, RefreshToken] = field(default_factory=dict)
    audit: tuple[Event, ...] = ()

    def copy(self) -> "_Tables":
        return _Tables(
            self.users.copy(),
            self.emails.copy(),
            self.tasks.copy(),
            self.sessions.copy(),
            self.tokens.copy(),
            self.audit,
        )


# Each call of a repository takes a turn: inside a transaction the transaction's own tables,
# otherwise the committed ones, between transactions.
_Turn = Callable[[], AbstractAsyncContextManager[_Tables]]


@dataclass(slots=True)
class _Ids:
    users: Iterator[int] = field(default_factory=lambda: count(1))
    tasks: Iterator[int] = field(default_factory=lambda: count(1))
    events: Iterator[int] = field(default_factory=lambda: count(1))


class MemoryStore:
    def __init__(self) -> None:
        self._tables = _Tables()
        self._lock = asyncio.Lock()
        # As sequences do, they go on even if a transaction is undone.
        self._ids = _Ids()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["MemoryRepositories"]:
        async with self._lock:
            tables = self._tables.copy()

            @asynccontextmanager
            async def turn() -> AsyncIterator[_Tables]:
                yield tables

            yield MemoryRepositories(turn, self._ids)
            self._tables = tables

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator["MemoryRepositories"]:
        @asynccontextmanager
        async def turn() -> AsyncIterator[_Tables]:
            async with self._lock:
                yield self._tables

        yield MemoryRepositories(turn, self._ids)

    async def check(self) -> None:
        """Memory is always there."""


class MemoryRepositories:
    def __init__(self, turn: _Turn, ids: _Ids) -> None:
        self.users = MemoryUsers(turn, ids.users)
        self.tasks = MemoryTasks(turn, ids.tasks)
        self.sessions = MemorySessions(turn, ids.events)
        self.audit = MemoryAudit(turn, ids.events)


@dataclass(slots=True)
class MemoryUsers:
    _turn: _Turn
    _ids: Iterator[int]

    async def get(self, user_id: UserId) -> User:
        async with self._turn() as tables:
            return _existing(tables.users.get(user_id))

    lock = get

    async def find_by_email(self, key: str) -> User | None:
        async with self._turn() as tables:
            return tables.users[tables.emails[key]] if key in tables.emails else None

    async def lock_admins(self) -> Sequence[UserId]:
        async with self._turn() as tables:
            return sorted(user.id for user in tables.users.values() if user.is_active_admin)

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
    ) -> Page[User]:
        async with self._turn() as tables:
            chosen = [
                user
                for user in tables.users.values()
                if (email is None or tables.emails.get(email) == user.id)
                and role in {None, user.role}
                and is_active in {None, user.is_active}
            ]
        return _page(chosen, skip, limit)

    async def add(self, user: NewUser, password_hash: str) -> User:
        async with self._turn() as tables:
            if user.email.key in tables.emails:
                raise EmailTaken
            added = User(
                id=UserId(next(self._ids)),
                email=user.email.address,
                full_name=user.full_name,
                role=user.role,
                is_active=True,
                created_at=user.created_at,
                updated_at=user.created_at,
                password_hash=password_hash,
            )
            tables.users[added.id] = added
            tables.emails[user.email.key] = added.id
            return added

    async def save(self, user: User) -> User:
        async with self._turn() as tables:
            stored = _existing(tables.users.get(user.id))
            saved = replace(user, password_hash=stored.password_hash)
            tables.users[user.id] = saved
            return saved

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        async with self._turn() as tables:
            user = tables.users.get(user_id)
            if user is None or user.password_hash != old:
                return False
            tables.users[user_id] = replace(user, password_hash=new)
            return True

    async def count_hashes(self, prefix: str) -> int:
        async with self._turn() as tables:
            return sum(user.password_hash.startswith(prefix) for user in tables.users.values())

    async def remove(self, user_id: UserId) -> None:
        async with self._turn() as tables:
            _existing(tables.users.pop(user_id, None))
            tables.emails = {key: owner for key, owner in tables.emails.items() if owner != user_id}
            tables.tasks = {
                key: task for key, task in tables.tasks.items() if task.owner_id != user_id
            }
            theirs = [s.id for s in tables.sessions.values() if s.user_id == user_id]
            _end(tables, theirs)


@dataclass(slots=True)
class MemoryTasks:
    _turn: _Turn
    _ids: Iterator[int]

    async def get(self, task_id: TaskId) -> Task:
        async with self._turn() as tables:
            return _existing(tables.tasks.get(task_id))

    lock = get  # a transaction has the store to itself

    async def page(
        self, *, owner_id: UserId | None, skip: int, limit: int, before: TaskId | None = None
    ) -> Page[Task]:
        async with self._turn() as tables:
            chosen = [t for t in tables.tasks.values() if owner_id in {None, t.owner_id}]
        older = [task for task in chosen if before is None or task.id < before]
        page = _page(older, skip, limit)
        return replace(page, total=len(chosen), has_more=skip + limit < len(older))

    async def add(self, task: NewTask) -> Task:
        async with self._turn() as tables:
            _existing(tables.users.get(task.owner_id))
            added = Task(
                id=TaskId(next(self._ids)),
                title=task.title,
                description=task.description,
                owner_id=task.owner_id,
                version=1,
                created_at=task.created_at,
                updated_at=task.created_at,
            )
            tables.tasks[added.id] = added
            return added

    async def save(self, task: Task) -> Task:
        async with self._turn() as tables:
            stored = tables.tasks.get(task.id)
            if stored is None or stored.version != task.version - 1:
                raise StaleWrite
            tables.tasks[task.id] = task
            return task

    async def remove(self, task: Task) -> None:
        async with self._turn() as tables:
            stored = tables.tasks.get(task.id)
            if stored is None or stored.version != task.version:
                raise StaleWrite
            del tables.tasks[task.id]


@dataclass(slots=True)
class MemorySessions:
    _turn: _Turn
    _event_ids: Iterator[int]

    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        async with self._turn() as tables:
            session = tables.sessions.get(session_id)
            if session is None or session.expires_at <= now:
                return None
            user = tables.users[session.user_id]
            return Actor(user.id, user.role, session.id) if user.is_active else None

    async def open(
        self, session: Session, token: RefreshToken, *, of: User, event: NewEvent
    ) -> bool:
        async with self._turn() as tables:
            user = tables.users.get(of.id)
            if user is None or not user.is_active or user.password_hash != of.password_hash:
                return False
            tables.sessions[session.id] = session
            tables.tokens[token.digest] = token
            kept = _latest(tables, user.id, session.created_at)[:MAX_SESSIONS]
            theirs = [each for each in tables.sessions.values() if each.user_id == user.id]
            _end(tables, [each.id for each in theirs if each not in kept])
            _record(tables, self._event_ids, event)
            return True

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        async with self._turn() as tables:
            token = tables.tokens.get(digest)
            if token is None:
                return None
            session = tables.sessions[token.session_id]
            return session, token, tables.users[session.user_id]

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        async with self._turn() as tables:
            return _latest(tables, user_id, now)

    async def page(
        self, *, user_id: UserId | None, skip: int, limit: int, now: datetime
    ) -> Page[Session]:
        async with self._turn() as tables:
            living = _latest(tables, user_id, now)
        return Page(living[skip : skip + limit], len(living))

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        async with self._turn() as tables:
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
        async with self._turn() as tables:
            session = tables.sessions.get(session_id)
            if session is None or of not in {None, session.user_id}:
                return None
            _end(tables, [session_id])
            return session.user_id

    async def end_all(self, user_id: UserId | None, *, but: SessionId | None = None) -> int:
        async with self._turn() as tables:
            ended = [
                session.id
                for session in tables.sessions.values()
                if user_id in {None, session.user_id} and session.id != but
            ]
            _end(tables, ended)
            return len(ended)


@dataclass(slots=True)
class MemoryAudit:
    _turn: _Turn
    _ids: Iterator[int]

    async def add(self, *events: NewEvent) -> None:
        async with self._turn() as tables:
            _record(tables, self._ids, *events)

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        user_id: UserId | None = None,
        event: EventName | None = None,
        since: datetime | None = None,
    ) -> Page[Event]:
        async with self._turn() as tables:
            chosen = [
                found
                for found in tables.audit
                if user_id in {None, found.user_id, found.actor_id}
                and event in {None, found.event}
                and (since is None or found.at >= since)
            ]
        return _page(chosen, skip, limit)


def _record(tables: _Tables, ids: Iterator[int], *events: NewEvent) -> None:
    for event in events:
        noted = {field.name: getattr(event, field.name) for field in fields(NewEvent)}
        tables.audit += (Event(**noted, id=EventId(next(ids))),)


def _latest(tables: _Tables, user_id: UserId | None, now: datetime) -> list[Session]:
    living = [
        session
        for session in tables.sessions.values()
        if user_id in {None, session.user_id} and session.expires_at > now
    ]
    return sorted(living, key=lambda session: (session.last_used_at, session.id), reverse=True)


def _end(tables: _Tables, session_ids: Sequence[SessionId]) -> None:
    for session_id in session_ids:
        tables.sessions.pop(session_id, None)
    tables.tokens = {
        digest: token
        for digest, token in tables.tokens.items()
        if token.session_id not in session_ids
    }


def _existing(found: Item | None) -> Item:
    if found is None:
        raise NotFound
    return found


def _page(chosen: list[Item], skip: int, limit: int) -> Page[Item]:
    # Dictionaries keep the order of insertion, which is the order of ids.
    return Page(chosen[::-1][skip : skip + limit], len(chosen))
