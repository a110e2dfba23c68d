"""Accounts over HTTP: one's own under /auth, everybody's under /users."""

import structlog
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from taskapi.problems import LIMITED, MAY_REFUSE
from taskapi.providers import ActorRequest, ApiRequest, administers, logged_in, origin_of
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
async def register(request: ApiRequest, data: JSONBody[Registration]) -> UserView:
    """Register an account.

    Anybody may. The role is `user`; only an administrator makes administrators.
    """
    user = await request.core.accounts.register(
        email=data.email,
        password=data.password,
        full_name=data.full_name,
        origin=origin_of(request),
    )
    log.info("account.registered", user_id=user.id)
    return view(user, UserView)


@get("/me", operation_id="me", before_request=logged_in)
async def me(request: ActorRequest) -> UserView:
    """Show who is logged in."""
    return view(await request.core.accounts.me(request.actor), UserView)


@patch("/me", operation_id="changeProfile", before_request=logged_in, opt={MAY_REFUSE: (Invalid,)})
async def change_profile(request: ActorRequest, data: JSONBody[ProfilePatch]) -> UserView:
    """Change one's own profile.

    What is not named stays as it is; `null` removes the name.
    """
    user = await request.core.accounts.change_profile(request.actor, **named(data))
    log.info("account.changed", user_id=user.id, fields=sorted(named(data)))
    return view(user, UserView)


@post(
    "/password",
    operation_id="changePassword",
    status_code=204,
    before_request=logged_in,
    opt={MAY_REFUSE: (InvalidCredentials, TooMany), LIMITED: CHANGE_PASSWORD},
)
async def change_password(request: ActorRequest, data: JSONBody[PasswordChange]) -> None:
    """Change one's own password.

    Every other session ends.
    """
    await request.core.accounts.change_password(
        request.actor, current_password=data.current_password, new_password=data.new_password
    )
    log.info("account.password_changed", user_id=request.actor.user_id)


@post(
    "/delete-account",
    operation_id="deleteAccount",
    status_code=204,
    before_request=logged_in,
    opt={MAY_REFUSE: (InvalidCredentials, LastAdmin, TooMany), LIMITED: DELETE_ACCOUNT},
)
async def delete_account(request: ActorRequest, data: JSONBody[AccountDeletion]) -> None:
    """Delete one's own account, with all its tasks.

    The password proves that it is the owner who asks. There is no way back.
    """
    await request.core.accounts.delete_own(request.actor, password=data.password)
    log.info("account.deleted", user_id=request.actor.user_id)


own_account = [register, me, change_profile, change_password, delete_account]


@get("/", operation_id="listUsers", opt={MAY_REFUSE: (Forbidden, Invalid)})
async def list_users(
    request: ActorRequest,
    skip: FromQuery[Skip] = FIRST,
    limit: FromQuery[Limit] = MOST,
    email: FromQuery[Address | None] = None,
    role: FromQuery[RoleName | None] = None,
    is_active: FromQuery[Active] = None,
) -> UserPage:
    """List accounts, newest first."""
    page = await request.core.accounts.page(
        request.actor,
        skip=skip,
        limit=limit,
        email=email,
        role=chosen("role", role, ROLES),
        is_active=chosen("is_active", is_active, TRUTHS),
    )
    return UserPage([view(user, UserView) for user in page.items], page.total, skip, limit)


@post("/", operation_id="createUser", opt={MAY_REFUSE: (Forbidden, EmailTaken, Invalid)})
async def create_user(request: ActorRequest, data: JSONBody[UserDraft]) -> UserView:
    """Create an account for somebody."""
    user = await request.core.accounts.create(
        request.actor,
        email=data.email,
        password=data.password,
        full_name=data.full_name,
        role=data.role,
    )
    log.info("account.created", user_id=user.id, role=user.role, by=request.actor.user_id)
    return view(user, UserView)


@get("/{user_id:str}", operation_id="getUser", opt={MAY_REFUSE: (Forbidden, NotFound)})
async def get_user(request: ActorRequest, user_id: FromPath[str]) -> UserView:
    """Show an account."""
    return view(
        await request.core.accounts.get(request.actor, UserId(identifier(user_id))), UserView
    )


@patch(
    "/{user_id:str}",
    operation_id="changeUser",
    opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin, Invalid)},
)
async def change_user(
    user_id: FromPath[str],
    data: JSONBody[UserPatch],
    request: ActorRequest,
) -> UserView:
    """Change an account: its name, its role, whether it may log in.

    What is not named stays as it is. It takes effect with the next request of whom it concerns.
    """
    user = await request.core.accounts.change(
        request.actor, UserId(identifier(user_id)), **named(data)
    )
    log.info(
        "account.changed", user_id=user.id, by=request.actor.user_id, fields=sorted(named(data))
    )
    return view(user, UserView)


@delete(
    "/{user_id:str}",
    operation_id="deleteUser",
    opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin)},
)
async def delete_user(request: ActorRequest, user_id: FromPath[str]) -> None:
    """Delete an account, with all its tasks."""
    await request.core.accounts.delete(request.actor, UserId(identifier(user_id)))
    log.info("account.deleted", user_id=int(user_id), by=request.actor.user_id)


@delete(
    "/{user_id:str}/sessions",
    operation_id="endUserSessions",
    opt={MAY_REFUSE: (Forbidden, NotFound)},
)
async def end_user_sessions(request: ActorRequest, user_id: FromPath[str]) -> None:
    """Log a user out everywhere."""
    ended = await request.core.sessions.end_all_of(request.actor, UserId(identifier(user_id)))
    log.info("session.revoked", user_id=int(user_id), by=request.actor.user_id, sessions=ended)


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
    before_request=administers,
    tags=["Users"],
)
