"""Rows that the contract suites put into a store first."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.tasks import MAX_TASKS, Task
from taskcore.domain.users import Role, StoredCredentials, User
from taskcore.ports import Repositories, Store
from taskcore.testing.clock import START

NOW = START
IDLE = timedelta(days=7)
LATER = NOW + timedelta(hours=1)
AGAIN = LATER + timedelta(hours=1)


async def add_user(store: Store, name: str = "ada", *, role: Role = Role.USER) -> User:
    async with store.autocommit() as db:
        draft = User.new(f"{name.title()}@Example.org", NOW, full_name=name.title(), role=role)
        return await db.users.add(draft, hash_of(draft.email.address))


def hash_of(email: str) -> str:
    """The password hash that `add_user` stores."""
    return f"hash of {email}"


async def add_task(
    store: Store, owner: User, title: str = "Write the letter", **fields: Any
) -> Task:
    content = {"title": title, "description": "Today"} | fields
    async with store.autocommit() as db:
        return await db.tasks.add(Task.new(owner.id, NOW, **content), at_most=MAX_TASKS)


async def add_tasks(store: Store, owner: User, *titles: str) -> list[Task]:
    return [await add_task(store, owner, title) for title in titles]


async def move_to_trash(store: Store, task: Task, at: datetime = LATER) -> Task:
    trashed = task.trashed(at)
    async with store.autocommit() as db:
        await db.tasks.trash(trashed, was=task)
    return trashed


async def restore(store: Store, task: Task) -> Task:
    restored = task.restored(AGAIN)
    async with store.autocommit() as db:
        await db.trash.restore(restored, was=task)
    return restored


async def total_of(store: Store, owner: User | None) -> int | None:
    """The total of the plain list of an account, or of all accounts."""
    async with store.autocommit() as db:
        return (await db.tasks.page(owner.id if owner else None, skip=0, limit=1)).total


async def total_in_trash(store: Store, owner: User) -> int | None:
    async with store.autocommit() as db:
        return (await db.trash.page(owner.id, skip=0, limit=1)).total


def new_session(user: User, now: datetime = NOW) -> Session:
    return Session.new(SessionId(uuid4()), user.id, now, IDLE)


def new_token(session: Session, text: str, now: datetime = NOW) -> RefreshToken:
    digest = sha256(f"{session.id} {text}".encode()).digest()
    return RefreshToken.new(session.used(now, IDLE), digest, f"nonce {text}".encode())


async def open_session(db: Repositories, user: User, now: datetime = NOW) -> RefreshToken:
    session = new_session(user, now)
    token = new_token(session, "first", now)
    assert await opened(db, user, session, token)
    return token


async def opened(db: Repositories, user: User, session: Session, token: RefreshToken) -> bool:
    """Whether the session was opened for the user as given, with the hash of `add_user`."""
    stored = StoredCredentials(user, hash_of(user.email))
    actor = Actor(user.id, user.role, session.id)
    event = NewAuditEvent.by(actor, AuditEventName.LOGIN_SUCCEEDED, session.created_at)
    return await db.sessions.open(session, token, of=stored, event=event)
