"""Task management as a library: accounts, sessions and tasks, on the standard library alone.

    import taskcore

    async with taskcore.open_core(taskcore.Settings.load()) as core:
        await core.accounts.register(email="ada@example.org", password="correct horse")
        grant = await core.sessions.log_in(email="ada@example.org", password="correct horse")
        actor = await core.sessions.authenticate(grant.access_token)
        task = await core.tasks.create(actor, title="Write the letter")

`open_core` needs the adapters' packages (`pip install 'taskcore[core]'`);
`taskcore.adapters.memory.memory_core()` returns the same Core without them. `taskcore.blocking` has
it without `await`, for scripts and Django; `taskcore.testing` is for tests of what uses it. Every
refusal is a `TaskcoreError`. docs/library.md has examples, and says what is public.
"""

from contextlib import AbstractAsyncContextManager
from typing import Unpack

from taskcore.core import Core
from taskcore.domain.audit import (
    ActorKind,
    AuditEvent,
    AuditEventId,
    AuditEventName,
    AuditEventPosition,
)
from taskcore.domain.bulk import Create, Delete, Operation, Restore, Update
from taskcore.domain.errors import (
    Conflict,
    CursorExpired,
    EmailTaken,
    ExpiredToken,
    Forbidden,
    HistoryGone,
    Invalid,
    InvalidCredentials,
    InvalidToken,
    KeyInProgress,
    KeyReused,
    LastAdmin,
    Misconfigured,
    NotFound,
    NotMigrated,
    OutcomeUnknown,
    Overloaded,
    PasswordChangeRequired,
    Problem,
    RightsMissing,
    SchemaTooNew,
    StaleWrite,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
    WrongEncoding,
)
from taskcore.domain.events import Change, TaskEvent, TaskEventType
from taskcore.domain.one_time import OneTimePassword
from taskcore.domain.origins import Origin
from taskcore.domain.policies import SYSTEM, Actor
from taskcore.domain.sessions import Session, SessionId, SessionPosition
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import Priority, Status, Task, TaskId
from taskcore.domain.users import Role, User, UserId
from taskcore.ports import (
    Adapters,
    ChangedTask,
    ChangesPage,
    LabelCount,
    LogPosition,
    Page,
    TrashPosition,
    time_budget,
)
from taskcore.settings import Settings
from taskcore.usecases.housekeeping import Progress
from taskcore.usecases.idempotency import Answer
from taskcore.usecases.sessions import Grant

__version__ = "1.0.0"

__all__ = [
    "SYSTEM",
    "Actor",
    "ActorKind",
    "Adapters",
    "Answer",
    "AuditEvent",
    "AuditEventId",
    "AuditEventName",
    "AuditEventPosition",
    "Change",
    "ChangedTask",
    "ChangesPage",
    "Conflict",
    "Core",
    "Create",
    "CursorExpired",
    "Delete",
    "EmailTaken",
    "ExpiredToken",
    "Forbidden",
    "Grant",
    "HistoryGone",
    "Invalid",
    "InvalidCredentials",
    "InvalidToken",
    "KeyInProgress",
    "KeyReused",
    "LabelCount",
    "LastAdmin",
    "LogPosition",
    "Misconfigured",
    "NotFound",
    "NotMigrated",
    "OneTimePassword",
    "Operation",
    "Origin",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "PasswordChangeRequired",
    "Priority",
    "Problem",
    "Progress",
    "Restore",
    "RightsMissing",
    "Role",
    "SchemaTooNew",
    "Session",
    "SessionId",
    "SessionPosition",
    "Settings",
    "Sort",
    "StaleWrite",
    "Status",
    "Task",
    "TaskEvent",
    "TaskEventType",
    "TaskId",
    "TaskPosition",
    "TaskQuery",
    "TaskcoreError",
    "TooMany",
    "TrashPosition",
    "Unauthenticated",
    "Unavailable",
    "Update",
    "User",
    "UserId",
    "WrongEncoding",
    "open_core",
    "time_budget",
]


def open_core(
    settings: Settings, **adapters: Unpack[Adapters]
) -> AbstractAsyncContextManager[Core]:
    """A Core on PostgreSQL, for as long as the block lasts.

    The embedded database is started and migrated. The one of DATABASE_URL is not changed: raises
    Misconfigured when it is not migrated. When it does not answer, the core opens all the same;
    its calls raise Unavailable until the database answers.

    A keyword replaces one adapter: `store`, `limiter`, `hasher`, `access_tokens`, `refresh_tokens`,
    `pseudonyms`, `clock`. With a store of the caller's no database is opened, and limits are
    counted in this process. Raises ModuleNotFoundError, which says what to install, where an
    adapter of ours lacks its package.

    The core belongs to the event loop in which the block begins; in another one its calls raise
    RuntimeError.
    """
    from taskcore import opening  # noqa: PLC0415 - imports asyncio, which takes as long again

    return opening.open_core(settings, **adapters)
