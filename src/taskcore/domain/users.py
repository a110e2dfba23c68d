"""Users: their accounts, and how an account is created and edited."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self, TypedDict, Unpack

from taskcore.domain import one_time
from taskcore.domain.dues import check_time_zone
from taskcore.domain.emails import Email
from taskcore.domain.errors import Problem
from taskcore.domain.refusals import Refusals, only, refuse
from taskcore.domain.text_rules import TextRule

UserId = NewType("UserId", int)
DEFAULT_TIME_ZONE = "UTC"
FULL_NAME = TextRule("full_name", 0, 255)


class Role(StrEnum):
    """What a user may do: an administrator sees and changes all accounts."""

    USER = "user"
    ADMIN = "admin"


def _role_problem(role: str) -> Problem | None:
    if role in set(Role):
        return None
    return Problem("role", f"must be one of {', '.join(Role)}", "wrong_type")


class ProfileChanges(TypedDict, total=False):
    """What users may change about themselves. A key left out stays; `None` removes the name."""

    full_name: str | None
    time_zone: str


class UserChanges(ProfileChanges, total=False):
    """What administrators may change."""

    role: Role
    is_active: bool


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account that has passed every rule and has no id yet."""

    email: Email
    full_name: str | None
    role: Role
    created_at: datetime
    time_zone: str = DEFAULT_TIME_ZONE

    def stored_as(self, user_id: UserId) -> "User":
        return User(
            id=user_id,
            email=self.email.address,
            full_name=self.full_name,
            role=self.role,
            is_active=True,
            time_zone=self.time_zone,
            created_at=self.created_at,
            updated_at=self.created_at,
        )


@dataclass(frozen=True, slots=True)
class User:
    """An account as use cases return it: it holds no secret, so that any part may be shown."""

    id: UserId
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    time_zone: str
    """The name of the user's zone in the IANA time zone database, where their days begin."""
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def new(
        email: str,
        now: datetime,
        *,
        full_name: str | None,
        role: Role,
        time_zone: str = DEFAULT_TIME_ZONE,
    ) -> NewUser:
        """Raises Invalid, with every broken rule."""
        refusals = Refusals()
        with refusals:
            address = Email.parse(email)
        with refusals:
            refuse(
                FULL_NAME.problem(full_name or ""), _role_problem(role), check_time_zone(time_zone)
            )
        refusals.raise_all()
        return NewUser(address, full_name, Role(role), now, time_zone)

    def edited(self, now: datetime, **changes: Unpack[UserChanges]) -> Self:
        """A changed copy, or this very object if nothing would change. Raises Invalid."""
        only(changes, UserChanges)
        refuse(
            FULL_NAME.problem(changes.get("full_name") or ""),
            _role_problem(changes["role"]) if "role" in changes else None,
            check_time_zone(changes["time_zone"]) if "time_zone" in changes else None,
        )
        if "role" in changes:
            changes["role"] = Role(changes["role"])  # from a plain text
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return replace(self, **changes, updated_at=now)

    @property
    def is_active_admin(self) -> bool:
        return self.is_active and self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class StoredCredentials:
    """An account and the hash of its password, to verify one. No use case returns it."""

    user: User
    password_hash: str = field(repr=False)
    """As stored: that of a one-time password has a mark in front."""

    @property
    def is_one_time(self) -> bool:
        return one_time.unmarked(self.password_hash)[1] is not None

    def to_verify(self, now: datetime) -> str | None:
        """The hash that a password has to match now; None if none would be right."""
        password_hash, expires_at = one_time.unmarked(self.password_hash)
        return password_hash if expires_at is None or now < expires_at else None
