"""What handlers ask for: the Core of this process, and the Actor of this request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from dishka import AsyncContainer, Provider, Scope, make_async_container, provide
from litestar import Request

from taskapi.bodies import JsonRequest
from taskcore import Actor, Core, InvalidToken, Origin, Unauthenticated

AnyRequest = Request[Any, Any, Any]  # as Litestar has it; ours are all ActorRequests
CoreOpener = Callable[[], AbstractAsyncContextManager[Core]]


class CoreProvider(Provider):
    """The graph holds what lives as long as the process. Requests do not pass through it."""

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
    """A request, as far as it is anybody's."""

    @property
    def core(self) -> Core:
        return cast(Core, self.scope["litestar_app"].state.core)


class ActorRequest(ApiRequest):
    """A request of somebody who is logged in: for handlers that `logged_in` guards."""

    @property
    def actor(self) -> Actor:
        return cast(Actor, self.scope["state"]["actor"])


def bearer_token(request: ApiRequest) -> str:
    """RFC 6750 section 2.1, the only way in: never a query parameter, never a cookie."""
    scheme, _, token = (request.given(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    if not token or " " in token:
        raise InvalidToken
    return token


def origin_of(request: ApiRequest) -> Origin:
    """Where a request comes from, for the limits and the audit."""
    state = request.scope["state"]
    return Origin.new(
        ip=state["client"],
        user_agent=request.given(b"user-agent") or "",
        request_id=state["request_id"],
    )


# What stands before a handler: the `before_request` of its route, or of its router. It comes
# before the body is read, so that strangers learn nothing about that. (A guard of Litestar's would
# do as well, but is given a copy of the handler each time, which costs more than the check.)


async def logged_in(request: AnyRequest) -> None:
    """Raises Unauthenticated."""
    request = cast(ActorRequest, request)
    request.scope["state"]["actor"] = await request.core.sessions.authenticate(
        bearer_token(request), origin=origin_of(request)
    )


async def administers(request: AnyRequest) -> None:
    """The core decides this anyway. Raises Unauthenticated and Forbidden."""
    request = cast(ActorRequest, request)
    await logged_in(request)
    await request.core.gate.administers(request.actor)
