"""Accounts over HTTP: one's own under /auth, everybody's under /users."""

from typing import Any

import structlog
from dishka.integrations.litestar import FromDishka, inject
from litestar import Request, Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from taskapi.problems import LIMITED, MAY_REFUSE
from taskapi.providers import administers, logged_in, origin_of
from taskapi.wire import (
    FIRST,
    MOST,
    ROLES,
    TRUTHS,
    Active,
    Address,
    Body,
    EmailText,
    FullName,
    IsActive,
    Limit,
    NewPassword,
    PasswordText,
    RoleName,
    RoleView,
    Skip,
    Total,
    UserView,
    View,
    chosen,
    identifier,
    named,
    view,
)
from taskcore import (
    Actor,
    Core,
    EmailTaken,
    Forbidden,
    Invalid,
    InvalidCredentials,
    LastAdmin,
    NotFound,
    Role,
    TooMany,
    UserId,
)
from taskcore.domain.limits import CHANGE_PASSWORD, DELETE_ACCOUNT, REGISTER

log = structlog.get_logger("taskapi")


class Registration(Body):
    email: EmailText
    password: NewPassword
    full_name: FullName | None = None


class ProfilePatch(Body):
    full_name: FullName | UnsetType | None = UNSET


class PasswordChange(Body):
    current_password: PasswordText
    new_password: NewPassword


class AccountDeletion(Body):
    password: PasswordText


class UserDraft(Body):
    email: EmailText
    password: NewPassword
    full_name: FullName | None = None
    role: RoleView = Role.USER


class UserPatch(Body):
    full_name: FullName | UnsetType | None = UNSET
    role: RoleView | UnsetType = UNSET
    is_active: IsActive | UnsetType = UNSET


class UserPage(View):
    items: list[UserView]
    total: Total
    skip: Skip
    limit: Limit


@post(
    "/register",
    operation_id="register",
    opt={MAY_REFUSE: (EmailTaken, Invalid, TooMany), LIMITED: REGISTER},
)
@inject
async def register(
    data: JSONBody[Registration], core: FromDishka[Core], request: Request[Any, Any, Any]
) -> UserView:
    """Register an account.

    Anybody may. The role is `user`; only an administrator makes administrators.
    """
    user = await core.accounts.register(
        email=data.email,
        password=data.password,
        full_name=data.full_name,
        origin=origin_of(request),
    )
    log.info("account.registered", user_id=user.id)
    return view(user, UserView)


@get("/me", operation_id="me", guards=[logged_in])
@inject
async def me(core: FromDishka[Core], actor: FromDishka[Actor]) -> UserView:
    """Show who is logged in."""
    return view(await core.accounts.me(actor), UserView)


@patch("/me", operation_id="changeProfile", guards=[logged_in], opt={MAY_REFUSE: (Invalid,)})
@inject
async def change_profile(
    data: JSONBody[ProfilePatch], core: FromDishka[Core], actor: FromDishka[Actor]
) -> UserView:
    """Change one's own profile.

    What is not named stays as it is; `null` removes the name.
    """
    user = await core.accounts.change_profile(actor, **named(data))
    log.info("account.changed", user_id=user.id, fields=sorted(named(data)))
    return view(user, UserView)


@post(
    "/password",
    operation_id="changePassword",
    status_code=204,
    guards=[logged_in],
    opt={MAY_REFUSE: (InvalidCredentials, TooMany), LIMITED: CHANGE_PASSWORD},
)
@inject
async def change_password(
    data: JSONBody[PasswordChange], core: FromDishka[Core], actor: FromDishka[Actor]
) -> None:
    """Change one's own password.

    Every other session ends.
    """
    await core.accounts.change_password(
        actor, current_password=data.current_password, new_password=data.new_password
    )
    log.info("account.password_changed", user_id=actor.user_id)


@post(
    "/delete-account",
    operation_id="deleteAccount",
    status_code=204,
    guards=[logged_in],
    opt={MAY_REFUSE: (InvalidCredentials, LastAdmin, TooMany), LIMITED: DELETE_ACCOUNT},
)
@inject
async def delete_account(
    data: JSONBody[AccountDeletion], core: FromDishka[Core], actor: FromDishka[Actor]
) -> None:
    """Delete one's own account, with all its tasks.

    The password proves that it is the owner who asks. There is no way back.
    """
    await core.accounts.delete_own(actor, password=data.password)
    log.info("account.deleted", user_id=actor.user_id)


own_account = [register, me, change_profile, change_password, delete_account]


@get("/", operation_id="listUsers", opt={MAY_REFUSE: (Forbidden, Invalid)})
@inject
async def list_users(
    core: FromDishka[Core],
    actor: FromDishka[Actor],
    skip: FromQuery[Skip] = FIRST,
    limit: FromQuery[Limit] = MOST,
    email: FromQuery[Address | None] = None,
    role: FromQuery[RoleName | None] = None,
    is_active: FromQuery[Active] = None,
) -> UserPage:
    """List accounts, newest first."""
    page = await core.accounts.page(
        actor,
        skip=skip,
        limit=limit,
        email=email,
        role=chosen("role", role, ROLES),
        is_active=chosen("is_active", is_active, TRUTHS),
    )
    return UserPage([view(user, UserView) for user in page.items], page.total, skip, limit)


@post("/", operation_id="createUser", opt={MAY_REFUSE: (Forbidden, EmailTaken, Invalid)})
@inject
async def create_user(
    data: JSONBody[UserDraft], core: FromDishka[Core], actor: FromDishka[Actor]
) -> UserView:
    """Create an account for somebody."""
    user = await core.accounts.create(
        actor,
        email=data.email,
        password=data.password,
        full_name=data.full_name,
        role=data.role,
    )
    log.info("account.created", user_id=user.id, role=user.role, by=actor.user_id)
    return view(user, UserView)


@get("/{user_id:str}", operation_id="getUser", opt={MAY_REFUSE: (Forbidden, NotFound)})
@inject
async def get_user(
    user_id: FromPath[str], core: FromDishka[Core], actor: FromDishka[Actor]
) -> UserView:
    """Show an account."""
    return view(await core.accounts.get(actor, UserId(identifier(user_id))), UserView)


@patch(
    "/{user_id:str}",
    operation_id="changeUser",
    opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin, Invalid)},
)
@inject
async def change_user(
    user_id: FromPath[str],
    data: JSONBody[UserPatch],
    core: FromDishka[Core],
    actor: FromDishka[Actor],
) -> UserView:
    """Change an account: its name, its role, whether it may log in.

    What is not named stays as it is. It takes effect with the next request of whom it concerns.
    """
    user = await core.accounts.change(actor, UserId(identifier(user_id)), **named(data))
    log.info("account.changed", user_id=user.id, by=actor.user_id, fields=sorted(named(data)))
    return view(user, UserView)


@delete(
    "/{user_id:str}",
    operation_id="deleteUser",
    opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin)},
)
@inject
async def delete_user(
    user_id: FromPath[str], core: FromDishka[Core], actor: FromDishka[Actor]
) -> None:
    """Delete an account, with all its tasks."""
    await core.accounts.delete(actor, UserId(identifier(user_id)))
    log.info("account.deleted", user_id=int(user_id), by=actor.user_id)


@delete(
    "/{user_id:str}/sessions",
    operation_id="endUserSessions",
    opt={MAY_REFUSE: (Forbidden, NotFound)},
)
@inject
async def end_user_sessions(
    user_id: FromPath[str], core: FromDishka[Core], actor: FromDishka[Actor]
) -> None:
    """Log a user out everywhere."""
    ended = await core.sessions.end_all_of(actor, UserId(identifier(user_id)))
    log.info("session.revoked", user_id=int(user_id), by=actor.user_id, sessions=ended)


users = Router(
    "/users",
    route_handlers=[
        list_users,
        create_user,
        get_user,
        change_user,
        delete_user,
        end_user_sessions,
    ],
    guards=[logged_in, administers],
    tags=["Users"],
)
