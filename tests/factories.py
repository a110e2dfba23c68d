"""Entities with default values: a test names only the fields that it is about."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from taskcore.domain.sessions import RefreshToken, SessionId
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import Role, User, UserId
from taskcore.testing import START

NOW = START
# Of every account that a test makes, unless it is about passwords.
PASSWORD = "correct horse battery"


def a_task(**fields: Any) -> Task:
    new = NewTask(UserId(3), NOW, title="Write", description="the letter")
    return replace(new.stored_as(TaskId(7)), **fields)


def a_user(**fields: Any) -> User:
    defaults: dict[str, Any] = {
        "id": UserId(3),
        "email": "a@b.org",
        "full_name": "Ada",
        "role": Role.USER,
        "is_active": True,
        "time_zone": "UTC",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return User(**defaults | fields)


def a_refresh_token(**fields: Any) -> RefreshToken:
    defaults: dict[str, Any] = {
        "digest": b"digest",
        "session_id": SessionId(UUID(int=1)),
        "nonce": b"nonce",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(days=7),
    }
    return RefreshToken(**defaults | fields)
