"""The audit log: who did what to whom, from where. Append only, and free of secrets.

It is kept for good: PostgreSQL refuses to change or remove its rows (docs/decisions/0012).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType, Self

from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId

AuditEventId = NewType("AuditEventId", int)


class AuditEventName(StrEnum):
    """What an event of the audit is about."""

    USER_REGISTERED = "user.registered"
    USER_CREATED = "user.created"
    USER_DEACTIVATED = "user.deactivated"
    USER_REACTIVATED = "user.reactivated"
    USER_DELETED = "user.deleted"
    USER_UNLOCKED = "user.unlocked"
    """An administrator reset the login limits of the account."""
    ROLE_CHANGED = "role.changed"
    PROFILE_CHANGED = "profile.changed"
    """An administrator changed it. What users do to their own profile and tasks is not recorded."""
    TASK_CHANGED = "task.changed"
    TASK_DELETED = "task.deleted"
    TASK_RESTORED = "task.restored"
    TASK_PURGED = "task.purged"
    ADMIN_BOOTSTRAP = "admin.bootstrap"
    """The first administrator was created."""
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    REFRESH_FAILED = "refresh.failed"
    LOGOUT = "logout"
    SESSION_REVOKED = "session.revoked"
    REUSE_DETECTED = "session.reuse_detected"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - a name
    REAUTH_FAILED = "reauth.failed"
    """A logged-in user gave a wrong password where an operation asks for it again."""
    AUTHZ_DENIED = "authz.denied"
    RATELIMIT_TRIPPED = "ratelimit.tripped"
    KEY_ROTATED = "config.key_rotated"
    """Access tokens are signed with a new key from now on."""
    BACKUP_MADE = "backup.made"
    """The operator has copied all rows, and the secret key, into a file."""
    BACKUP_RESTORED = "backup.restored"
    """The operator has put the rows of such a file in the place of all that was there."""


class ActorKind(StrEnum):
    """Who has caused an event of the audit."""

    USER = "user"
    SYSTEM = "system"
    """The operator at the terminal; `user_agent` holds the name of the Unix user."""
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class NewAuditEvent:
    """`actor_id` is the user who acted, `user_id` the one concerned; both may be deleted by now."""

    event: AuditEventName
    at: datetime
    actor: ActorKind
    actor_id: UserId | None
    user_id: UserId | None
    session_id: SessionId | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    detail: Mapping[str, str | int]

    @classmethod
    def by(
        cls,
        source: Actor | Origin,
        event: AuditEventName,
        now: datetime,
        *,
        user_id: UserId | None = None,
        session_id: SessionId | None = None,
        **detail: str | int,
    ) -> Self:
        """An event caused by an actor, or by an anonymous client of which only the origin is known.

        It concerns the actor and their session, unless others are named.
        """
        if isinstance(source, Origin):
            kind, actor_id, origin = ActorKind.ANONYMOUS, None, source
        else:
            kind = ActorKind.SYSTEM if source.user_id is None else ActorKind.USER
            actor_id, origin = source.user_id, source.origin
            user_id, session_id = user_id or actor_id, session_id or source.session_id
        where = (origin.ip, origin.user_agent, origin.request_id)
        return cls(event, now, kind, actor_id, user_id, session_id, *where, detail)

    def stored_as(self, event_id: AuditEventId) -> "AuditEvent":
        return AuditEvent(
            **{field.name: getattr(self, field.name) for field in fields(self)}, id=event_id
        )


class AuditEventPosition(NamedTuple):
    """Where an event stands in a list, newest first."""

    at: datetime
    id: AuditEventId


@dataclass(frozen=True, slots=True)
class AuditEvent(NewAuditEvent):
    """What happened, when, who did it, and which account it concerns."""

    id: AuditEventId

    @property
    def position(self) -> AuditEventPosition:
        return AuditEventPosition(self.at, self.id)
