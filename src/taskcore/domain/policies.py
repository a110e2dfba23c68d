"""Who may do what, and that one active administrator is left. The only module that compares roles.

Two checks, in this order: may the actor see the thing (else NotFound), and may they do this to it
(else Forbidden). The task of another account is not even read for a user who may see none: `found`
in `usecases/task_access.py`.
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from taskcore.domain.errors import Forbidden, LastAdmin, NotFound
from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.sessions import SessionId
from taskcore.domain.tasks import Task
from taskcore.domain.users import DEFAULT_TIME_ZONE, Role, UserId


@dataclass(frozen=True, slots=True)
class Actor:
    """The user or operator a use case runs for, as stored when the request arrived."""

    user_id: UserId | None
    role: Role
    session_id: SessionId | None = None
    origin: Origin = NOWHERE
    time_zone: str = DEFAULT_TIME_ZONE
    expires: float = field(default=math.inf, compare=False)
    """When the access token does, in seconds since 1970."""


# The operator at the terminal: an administrator without an account, hence without tasks.
SYSTEM = Actor(user_id=None, role=Role.ADMIN)


class Permission(StrEnum):
    VIEW = "view"
    EDIT = "edit"
    DELETE = "delete"
    RESTORE = "restore"
    PURGE = "purge"


# What a role may do with any task. Owners may do everything with their own.
_WITH_ANY_TASK = {
    Role.USER: frozenset[Permission](),
    Role.ADMIN: frozenset(Permission),
}


def may(actor: Actor, permission: Permission, task: Task) -> bool:
    return task.owner_id == actor.user_id or permission in _WITH_ANY_TASK[actor.role]


def authorize(actor: Actor, permission: Permission, task: Task) -> None:
    """Raises NotFound if the actor may not see the task, Forbidden if they may only see it."""
    if not may(actor, Permission.VIEW, task):
        raise NotFound
    if not may(actor, permission, task):
        raise Forbidden


def reaches_all_tasks(actor: Actor) -> bool:
    """Whether the actor may do anything at all with a task of another account."""
    return bool(_WITH_ANY_TASK[actor.role])


def visible_tasks(actor: Actor, owner_id: UserId | None = None) -> UserId | None:
    """The scope of a list: one owner's tasks, or all (None).

    Raises Forbidden when a user names another owner.
    """
    if _administers(actor):
        return owner_id
    if owner_id is not None and owner_id != actor.user_id:
        raise Forbidden("You may list your own tasks only")
    return own_id(actor)


def authorize_accounts(actor: Actor, admins: Container[UserId] | None = None) -> None:
    """Demand the right to manage other accounts, their sessions and events. Raises Forbidden.

    `admins` are the active administrators, locked. An actor who has lost their rights since the
    request arrived is refused, because the actor could otherwise restore those rights.
    """
    demoted = admins is not None and actor.user_id is not None and actor.user_id not in admins
    if demoted or not _administers(actor):
        raise Forbidden("Only administrators manage accounts")


def authorize_password_of(actor: Actor, user_id: UserId) -> None:
    """Raises Forbidden for one's own, which only the current password changes.

    Otherwise a stolen access token would take over the account for good.
    """
    if actor.user_id == user_id:
        raise Forbidden("Change your own password with the current one")


def keep_an_admin(admins: Sequence[UserId], *, without: UserId) -> None:
    """Raises LastAdmin if that user is the only one of `admins`, the active administrators."""
    if list(admins) == [without]:
        raise LastAdmin


def own_id(actor: Actor) -> UserId:
    """The actor's user id. Raises Forbidden for an actor without an account."""
    if actor.user_id is None:
        raise Forbidden("The system operator has no account; name a user to act as")
    return actor.user_id


def _administers(actor: Actor) -> bool:
    return actor.role is Role.ADMIN
