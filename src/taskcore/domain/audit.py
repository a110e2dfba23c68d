"""The audit: who did what to whom, from where. Written once, never changed, never a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self

from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId

EventId = NewType("EventId", int)


class EventName(StrEnum):
    USER_REGISTERED = "user.registered"
    USER_CREATED = "user.created"
    USER_DEACTIVATED = "user.deactivated"
    USER_REACTIVATED = "user.reactivated"
    USER_DELETED = "user.deleted"
    USER_UNLOCKED = "user.unlocked"
    """What strangers have used up of the account's login limits is forgotten."""
    ROLE_CHANGED = "role.changed"
    PROFILE_CHANGED = "profile.changed"
    """Somebody else's, by an administrator. What people do with their own is not told."""
    TASK_CHANGED = "task.changed"
    TASK_DELETED = "task.deleted"
    ADMIN_BOOTSTRAP = "admin.bootstrap"
    """An administrator was made where there was none."""
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    REFRESH_FAILED = "refresh.failed"
    LOGOUT = "logout"
    SESSION_REVOKED = "session.revoked"
    REUSE_DETECTED = "session.reuse_detected"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - a name
    REAUTH_FAILED = "reauth.failed"
    """Somebody logged in gave a wrong password where it was asked for again."""
    AUTHZ_DENIED = "authz.denied"
    RATELIMIT_TRIPPED = "ratelimit.tripped"
    KEY_ROTATED = "config.key_rotated"
    """Access tokens are signed with another key from now on."""


class ActorKind(StrEnum):
    USER = "user"
    SYSTEM = "system"
    """The operator at the terminal; the user agent tells as which user of the machine."""
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`user_id` is whom it concerns, `actor_id` who did it. Neither need exist any more."""

    event: EventName
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
        actor: Actor,
        event: EventName,
        now: datetime,
        *,
        user_id: UserId | None = None,
        session_id: SessionId | None = None,
        **detail: str | int,
    ) -> Self:
        """Of somebody known. It concerns them and their session, unless another is named."""
        return cls(
            event,
            now,
            ActorKind.SYSTEM if actor.user_id is None else ActorKind.USER,
            actor.user_id,
            user_id or actor.user_id,
            session_id or actor.session_id,
            *_noted(actor.origin),
            detail,
        )

    @classmethod
    def of_anybody(
        cls,
        origin: Origin,
        event: EventName,
        now: datetime,
        *,
        user_id: UserId | None = None,
        session_id: SessionId | None = None,
        **detail: str | int,
    ) -> Self:
        """Of somebody who has not proved who they are."""
        noted = _noted(origin)
        return cls(event, now, ActorKind.ANONYMOUS, None, user_id, session_id, *noted, detail)


@dataclass(frozen=True, slots=True)
class Event(NewEvent):
    id: EventId


def _noted(origin: Origin) -> tuple[str | None, str | None, str | None]:
    return origin.ip, origin.user_agent, origin.request_id
