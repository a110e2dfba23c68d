"""What handlers need: the Core of this process, and the Actor of this request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from time import monotonic
from typing import cast

from dishka import AsyncContainer, Provider, Scope, make_async_container, provide

from taskapi.bodies import JsonRequest
from taskapi.housekeeping import Housekeeper
from taskapi.parameters import READS_FIRST_PAGE, check_parameters
from taskapi.paths import parse_id
from taskapi.problems import AnyRequest
from taskapi.query import DEFAULT_LIMIT
from taskapi.request_state import request_state
from taskcore import Actor, Core, InvalidToken, NotFound, Origin, TaskId, Unauthenticated

# Seconds. After that, what the store said of a session and its user is asked again. A body nearly
# always comes with its headers, so that this costs the usual request nothing.
FRESH_FOR = 0.5

CoreOpener = Callable[[], AbstractAsyncContextManager[Core]]


class CoreProvider(Provider):
    """Holds what lives as long as the process; requests do not use the container."""

    scope = Scope.APP

    def __init__(self, opener: CoreOpener) -> None:
        super().__init__()
        self._opener = opener

    @provide
    async def core(self) -> AsyncIterator[Core]:
        async with self._opener() as core:
            yield core


def container(opener: CoreOpener) -> AsyncContainer:
    return make_async_container(CoreProvider(opener))


class ApiRequest(JsonRequest):
    """A request that needs no login."""

    bound_core: Core | None = None
    """The core of the transaction, for a request with a key."""

    @property
    def core(self) -> Core:
        return self.bound_core or cast(Core, self.scope["litestar_app"].state.core)

    @property
    def housekeeper(self) -> Housekeeper:
        return cast(Housekeeper, self.scope["litestar_app"].state.housekeeper)


class ActorRequest(ApiRequest):
    """A request of a logged-in user, for handlers behind `logged_in`."""

    authenticated_at: float | None = None

    @property
    def actor(self) -> Actor:
        """By the latest look: a slow body brings another."""
        return cast(Actor, request_state(self.scope).actor)

    async def _read(self) -> bytes:
        """Read the body, and if that took long, check again who sends it.

        A body may take a minute to arrive. Meanwhile the session may have ended, the token have
        expired, the role and the task have changed.
        """
        content = await super()._read()
        if self.authenticated_at is not None and monotonic() - self.authenticated_at > FRESH_FOR:
            check = self.route_handler.resolve_before_request()
            assert check is not None  # noqa: S101 - for mypy: it has authenticated
            await check(self)
        return content


_HOW = "Log in, and send the access token in the header `Authorization: Bearer <access_token>`"


def bearer_token(authorization: str) -> str:
    """The token in the header (RFC 6750 section 2.1), never of a query parameter or cookie.

    One or more spaces are before it, as in `Bearer  x`.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(_HOW)
    if not token or " " in token:
        raise InvalidToken
    return token


def origin_of(request: ApiRequest) -> Origin:
    """Where a request comes from, for rate limits and the audit log."""
    state = request_state(request.scope)
    return Origin.new(
        ip=state.client, user_agent=state.header(b"user-agent") or "", request_id=state.request_id
    )


# The `before_request` of the app, of routers and routes: the innermost runs. It runs before the
# query and the body are read, so that clients without permission learn nothing from validation. It
# runs again behind a slow body (`ActorRequest`).
# (Litestar would give a guard a copy of the handler at each request, which costs more than the
# check.)


async def anyone(request: AnyRequest) -> None:
    check_parameters(request)


async def logged_in(request: AnyRequest) -> None:
    """Raises Unauthenticated."""
    await _authenticate(request)
    check_parameters(request)


async def administers(request: AnyRequest) -> None:
    """Raises Unauthenticated and Forbidden. The core would refuse too, after the body was read."""
    await _authenticate(request)
    request = cast(ActorRequest, request)
    await request.core.gate.administers(request.actor)
    check_parameters(request)


async def _authenticate(request: AnyRequest) -> None:
    request = cast(ActorRequest, request)
    request_state(request.scope).actor = await request.core.sessions.authenticate(
        bearer_token(request.header(b"authorization") or ""),
        origin=origin_of(request),
        task_id=_task_id(request),
        first_page=_first_page(request),
    )
    request.authenticated_at = monotonic()


def _task_id(request: ActorRequest) -> TaskId | None:
    """That of the path, if it has one. The handler refuses one that is spelled wrongly."""
    text = request.path_params.get("task_id")
    if text is None:
        return None
    with suppress(NotFound):
        return TaskId(parse_id(text))
    return None


def _first_page(request: ActorRequest) -> int | None:
    """The limit, if the request seems to be for the first page of a plain list of tasks.

    Only a guess, so that this page is read together with the actor: the handler checks the query.
    """
    if READS_FIRST_PAGE not in request.route_handler.opt:
        return None
    query = request.scope["query_string"]
    if not query:
        return DEFAULT_LIMIT
    name, _, limit = query.partition(b"=")
    if name == b"limit":
        with suppress(ValueError):
            return DEFAULT_LIMIT.parse(limit.decode("ascii"))
    return None
