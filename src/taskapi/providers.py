"""What handlers ask for: the Core of this process, and the Actor of this request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import unquote

from dishka import AsyncContainer, Provider, Scope, make_async_container, provide
from dishka.integrations.litestar import LitestarProvider
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from taskapi.problems import FieldProblem, HttpProblem
from taskcore import Actor, Core, Invalid, InvalidToken, Origin, Unauthenticated

CoreOpener = Callable[[], AbstractAsyncContextManager[Core]]
Connection = ASGIConnection[Any, Any, Any, Any]


class CoreProvider(Provider):
    def __init__(self, opener: CoreOpener) -> None:
        super().__init__()
        self._opener = opener

    @provide(scope=Scope.APP)
    async def core(self) -> AsyncIterator[Core]:
        async with self._opener() as core:
            yield core

    @provide(scope=Scope.REQUEST)
    async def actor(self, request: Request, core: Core) -> Actor:  # type: ignore[type-arg]  # as dishka has it
        actor = await core.sessions.authenticate(bearer_token(request), origin=origin_of(request))
        request.scope["state"]["user_id"] = actor.user_id
        return actor


def container(opener: CoreOpener) -> AsyncContainer:
    return make_async_container(CoreProvider(opener), LitestarProvider())


def bearer_token(request: Connection) -> str:
    """RFC 6750 section 2.1, the only way in: never a query parameter, never a cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    if not token or " " in token:
        raise InvalidToken
    return token


def origin_of(request: Connection) -> Origin:
    """Where a request comes from, for the limits and the audit."""
    state = request.scope["state"]
    return Origin.new(
        ip=state["client"],
        user_agent=request.headers.get("user-agent"),
        request_id=state["request_id"],
    )


async def well_formed(connection: Connection, _: BaseRouteHandler) -> None:
    """What no operation takes: NUL, and contradictory credentials."""
    for parameter in connection.scope["query_string"].split(b"&"):
        if b"%00" in parameter:
            name = unquote(parameter.partition(b"=")[0].decode("latin-1"))
            found = FieldProblem("must not hold NUL", "control_character", parameter=name)
            raise HttpProblem(422, Invalid.code, Invalid.title, errors=[found])
    if len(connection.headers.getall("authorization", [])) > 1:
        raise HttpProblem(400, "several_credentials", "Send one Authorization header")


async def logged_in(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard, because guards come before the body is read: strangers learn nothing about it."""
    await connection.state.dishka_container.get(Actor)


async def administers(connection: Connection, _: BaseRouteHandler) -> None:
    """The core decides this anyway; here it is asked before the body is read."""
    container = connection.state.dishka_container
    core, actor = await container.get(Core), await container.get(Actor)
    await core.gate.administers(actor)
