"""Users over HTTP: their own account under /auth, all accounts under /users."""

from typing import Annotated, Any

import structlog
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, UnsetType

from taskapi.bodies import Body, fields_set
from taskapi.cursors import UserCursor, next_page
from taskapi.documented_operations import SENDS
from taskapi.fields import (
    Email,
    FullName,
    Id,
    IsActive,
    NewPassword,
    Password,
    Timestamp,
    TimeZone,
    Total,
    UserRole,
)
from taskapi.idempotency import once, once_unless
from taskapi.paths import parse_id
from taskapi.problems import LIMITED, MAY_REFUSE
from taskapi.providers import ActorRequest, ApiRequest, administers, logged_in, origin_of
from taskapi.query import (
    BOOLEANS,
    DEFAULT_LIMIT,
    DEFAULT_SKIP,
    Limit,
    Skip,
    flag,
    one_of,
    parse_choice,
)
from taskapi.responses import JsonResponse, View
from taskcore import (
    EmailTaken,
    Forbidden,
    Invalid,
    InvalidCredentials,
    LastAdmin,
    NotFound,
    Problem,
    Role,
    TooMany,
    UserId,
)
from taskcore.cursors import USERS
from taskcore.domain.rate_limits import CHANGE_PASSWORD, DELETE_ACCOUNT, REGISTER
from taskcore.domain.users import DEFAULT_TIME_ZONE

log = structlog.get_logger("taskapi")

_ROLES = {role.value: role for role in Role}
ActiveFilter = Annotated[Any, flag("Who may log in, or who may not")]
RoleFilter = Annotated[str, one_of(Role, "Of one role", name="Role")]
EmailFilter = Annotated[Email, Meta(description="The one account with this address")]


class Registration(Body):
    email: Email
    password: NewPassword
    full_name: FullName | None = None
    time_zone: TimeZone = DEFAULT_TIME_ZONE


class ProfilePatch(Body):
    shown = ("time_zone",)

    full_name: FullName | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType = UNSET


class PasswordChange(Body):
    current_password: Password
    new_password: NewPassword


class AccountDeletion(Body):
    password: Password


class UserDraft(Body):
    email: Email
    password: NewPassword
    full_name: FullName | None = None
    role: UserRole = Role.USER
    time_zone: TimeZone = DEFAULT_TIME_ZONE


class UserPatch(Body):
    shown = ("full_name", "is_active")

    full_name: FullName | UnsetType | None = UNSET
    role: UserRole | UnsetType = UNSET
    is_active: IsActive | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET


class PasswordDraft(Body):
    shown = ("one_time",)

    one_time: Annotated[bool, Meta(examples=[True])] = False
    password: NewPassword | UnsetType = UNSET


class PasswordSetView(View):
    """The one-time password, if one was asked for. It is shown here alone."""

    one_time_password: Annotated[str, Meta(examples=["k7fqm-2xw9r-hd4tz"])] | None
    expires_at: Timestamp | None


def _is_one_time(arguments: dict[str, Any]) -> bool:
    data: PasswordDraft = arguments["data"]
    return data.one_time


class UserView(View):
    """An account."""

    id: Id
    email: Email
    full_name: FullName | None
    role: UserRole
    is_active: IsActive
    time_zone: TimeZone
    created_at: Timestamp
    updated_at: Timestamp


class UserPage(View):
    items: list[UserView]
    total: Total
    skip: Skip
    limit: Limit
    next_cursor: UserCursor | None


@post(
    "/register",
    operation_id="register",
    opt={MAY_REFUSE: (EmailTaken, Invalid, TooMany), LIMITED: REGISTER},
)
async def register(request: ApiRequest, data: JSONBody[Registration]) -> UserView:
    """Register an account.

    No login is needed. The role is `user`; only an administrator makes administrators.
    """
    user = await request.core.accounts.register(**fields_set(data), origin=origin_of(request))
    log.info("account.registered", user_id=user.id)
    return UserView.of(user)


@get("/me", operation_id="me", before_request=logged_in)
async def me(request: ActorRequest) -> UserView:
    """Show who is logged in."""
    return UserView.of(await request.core.accounts.me(request.actor))


@patch("/me", operation_id="changeProfile", before_request=logged_in, opt={MAY_REFUSE: (Invalid,)})
async def change_profile(request: ActorRequest, data: JSONBody[ProfilePatch]) -> UserView:
    """Change your own profile.

    What is not named stays as it is; `null` removes the name.
    """
    changes = fields_set(data)
    user = await request.core.accounts.change_profile(request.actor, **changes)
    log.info("account.changed", user_id=user.id, fields=sorted(changes))
    return UserView.of(user)


@post(
    "/password",
    operation_id="changePassword",
    status_code=204,
    before_request=logged_in,
    opt={MAY_REFUSE: (InvalidCredentials, TooMany), LIMITED: CHANGE_PASSWORD},
)
async def change_password(request: ActorRequest, data: JSONBody[PasswordChange]) -> None:
    """Change your own password.

    Every other session ends.
    """
    await request.core.accounts.change_password(request.actor, **fields_set(data))
    log.info("account.password_changed", user_id=request.actor.user_id)


@post(
    "/delete-account",
    operation_id="deleteAccount",
    status_code=204,
    before_request=logged_in,
    opt={MAY_REFUSE: (InvalidCredentials, LastAdmin, TooMany), LIMITED: DELETE_ACCOUNT},
)
async def delete_account(request: ActorRequest, data: JSONBody[AccountDeletion]) -> None:
    """Delete your own account, with all its tasks.

    The password proves that it is the owner who asks. There is no way back.
    """
    await request.core.accounts.delete_own(request.actor, **fields_set(data))
    request.housekeeper.wake()
    log.info("account.deleted", user_id=request.actor.user_id)


own_account = [me, change_profile, change_password]


@get("/", operation_id="listUsers", opt={MAY_REFUSE: (Forbidden, Invalid), SENDS: ("Link",)})
async def list_users(
    request: ActorRequest,
    skip: FromQuery[Skip] = DEFAULT_SKIP,
    limit: FromQuery[Limit] = DEFAULT_LIMIT,
    email: FromQuery[EmailFilter | None] = None,
    role: FromQuery[RoleFilter | None] = None,
    is_active: FromQuery[ActiveFilter] = None,
    cursor: FromQuery[UserCursor] = "",
) -> JsonResponse[UserPage]:
    """List accounts, newest first.

    For the next page send `next_cursor` as `cursor`, or follow the `Link` header.
    """
    page = await request.core.accounts.page(
        request.actor,
        skip=skip,
        limit=limit,
        email=email,
        role=parse_choice("role", role, _ROLES),
        is_active=parse_choice("is_active", is_active, BOOLEANS),
        after=USERS.read(cursor),
    )
    following = USERS.after(page)
    items = [UserView.of(user) for user in page.items]
    filters = {"email": email, "role": role, "is_active": is_active}
    link = next_page("/users", following, limit, **filters)
    return JsonResponse(UserPage(items, page.total, skip, limit, following), headers=link)


@post("/", operation_id="createUser", opt={MAY_REFUSE: (Forbidden, EmailTaken, Invalid)})
@once
async def create_user(request: ActorRequest, data: JSONBody[UserDraft]) -> UserView:
    """Create an account for another person."""
    user = await request.core.accounts.create(request.actor, **fields_set(data))
    log.info("account.created", user_id=user.id, role=user.role, by=request.actor.user_id)
    return UserView.of(user)


@get("/{user_id:str}", operation_id="getUser", opt={MAY_REFUSE: (Forbidden, NotFound)})
async def get_user(request: ActorRequest, user_id: FromPath[str]) -> UserView:
    """Show an account."""
    user = await request.core.accounts.get(request.actor, UserId(parse_id(user_id)))
    return UserView.of(user)


@patch(
    "/{user_id:str}",
    operation_id="changeUser",
    opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin, Invalid)},
)
@once
async def change_user(
    user_id: FromPath[str], data: JSONBody[UserPatch], request: ActorRequest
) -> UserView:
    """Change an account: its name, time zone and role, and whether it may log in.

    What is not named stays as it is. The change takes effect with the user's next request.
    """
    changes = fields_set(data)
    user = await request.core.accounts.change(request.actor, UserId(parse_id(user_id)), **changes)
    log.info("account.changed", user_id=user.id, by=request.actor.user_id, fields=sorted(changes))
    return UserView.of(user)


@delete(
    "/{user_id:str}", operation_id="deleteUser", opt={MAY_REFUSE: (Forbidden, NotFound, LastAdmin)}
)
@once
async def delete_user(request: ActorRequest, user_id: FromPath[str]) -> None:
    """Delete an account, with all its tasks."""
    await request.core.accounts.delete(request.actor, UserId(parse_id(user_id)))
    request.housekeeper.wake()
    log.info("account.deleted", user_id=int(user_id), by=request.actor.user_id)


@delete(
    "/{user_id:str}/sessions",
    operation_id="endUserSessions",
    opt={MAY_REFUSE: (Forbidden, NotFound)},
)
@once
async def end_user_sessions(request: ActorRequest, user_id: FromPath[str]) -> None:
    """Log a user out everywhere."""
    ended = await request.core.sessions.end_all_of(request.actor, UserId(parse_id(user_id)))
    log.info("session.revoked", user_id=int(user_id), by=request.actor.user_id, sessions=ended)


@post(
    "/{user_id:str}/password",
    operation_id="setUserPassword",
    status_code=200,
    opt={MAY_REFUSE: (Forbidden, NotFound, Invalid)},
)
@once_unless(_is_one_time)
async def set_user_password(
    user_id: FromPath[str], data: JSONBody[PasswordDraft], request: ActorRequest
) -> PasswordSetView:
    """Give a user another password, who has forgotten theirs.

    All sessions of the user end. Name either a `password`, or `one_time` for a random one, which
    the answer holds: the user can log in with it for 24 hours, once, together with a
    `new_password`. Your own password is changed under `/auth/password`.

    An answer with a one-time password is not kept for an `Idempotency-Key`: sent again, the request
    makes another one, and the one before is void.
    """
    accounts, of = request.core.accounts, UserId(parse_id(user_id))
    made = None
    if data.one_time is (data.password is not UNSET):
        raise Invalid(Problem("", "takes either a password or one_time", "one_password_only"))
    if isinstance(data.password, str):
        await accounts.set_password(request.actor, of, password=data.password)
    else:
        made = await accounts.set_one_time_password(request.actor, of)
    log.info("account.password_set", user_id=of, by=request.actor.user_id, one_time=data.one_time)
    if made is None:
        return PasswordSetView(None, None)
    return PasswordSetView(made.password, made.expires_at)


users = Router(
    "/users",
    route_handlers=[
        list_users,
        create_user,
        get_user,
        change_user,
        delete_user,
        end_user_sessions,
        set_user_password,
    ],
    before_request=administers,
    tags=["Users"],
)
