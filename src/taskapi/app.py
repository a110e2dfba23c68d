"""The application: routes, problem details and the edge around them."""

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from litestar import Litestar, Router

from taskapi import logs
from taskapi.accounts import own_account, users
from taskapi.answers import Answer
from taskapi.audit import audit, own_events
from taskapi.docs import docs_handlers
from taskapi.edge import Edge
from taskapi.health import livez, readyz
from taskapi.openapi import document, document_handler
from taskapi.problems import HANDLERS
from taskapi.providers import ActorRequest, CoreOpener, container
from taskapi.sessions import own_sessions
from taskapi.tasks import tasks
from taskapi.wire import is_whole, parsed_whole
from taskcore import Core, Settings, open_core

PREFIX = "/api/v1"
MAX_BODY_BYTES = 65536  # the largest body with a meaning is a task of 5000 characters, escaped
# Per process. A worker answers some thousand requests a second: this is a fraction of a second.
IN_FLIGHT = 256
ORPHAN_DRAIN = 3  # seconds; hardly a request takes longer
_LISTENS = 0.1  # seconds
_NEW_OBJECTS = 20_000  # until garbage is looked for; Python's own number is 700
_STOPS = {signal.SIGINT, signal.SIGTERM}


def create_app(opener: CoreOpener, settings: Settings) -> Litestar:
    """An ASGI application over whatever core the opener opens, for as long as it runs."""
    di = container(opener)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        try:
            app.state.core = await di.get(Core)
            yield
        finally:
            await di.close()

    auth = Router(
        "/auth", route_handlers=[*own_account, *own_sessions, own_events], tags=["Authentication"]
    )
    v1 = Router(
        PREFIX,
        route_handlers=[
            auth,
            tasks,
            users,
            audit,
            *([document_handler, *docs_handlers(settings.app_name)] if settings.docs else []),
        ],
    )
    app = Litestar(
        route_handlers=[v1, livez, readyz],
        exception_handlers=HANDLERS,
        lifespan=[lifespan],
        request_class=ActorRequest,
        response_class=Answer,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        type_decoders=[(is_whole, parsed_whole)],
        logging_config=None,
    )
    app.state.document = document(app, settings)
    app.asgi_handler = Edge(app.asgi_handler, settings, in_flight=IN_FLIGHT)
    return app


def production() -> Litestar:
    """For the ASGI server: settings from the environment, logs to stderr."""
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        parent = asyncio.create_task(_follow_parent())
        async with open_core(settings) as core:
            _collect_garbage_seldom()  # before the next line: the time that it takes must not count
            # The server listens once we are through, and lets the event loop stand until it does.
            asyncio.get_running_loop().call_later(
                _LISTENS, signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPS
            )
            yield core
        parent.cancel()

    app = create_app(opener, settings)
    # A ctrl-C reaches a worker twice, from the terminal and by its server. Before it listens that
    # would make it hang.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    return app


def served_document(settings: Settings) -> bytes:
    """The OpenAPI document, without serving."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        raise NotImplementedError("a document needs no core")
        yield

    return cast(bytes, create_app(opener, settings).state.document)


def _collect_garbage_seldom() -> None:
    """Python would look for garbage every few requests, through all that was imported.

    What is here by now stays: it is looked at no more. And what requests make is mostly gone
    with its last reference; an edit under load takes 8 % less CPU with this.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    gc.enable()  # `taskcli serve` has kept it off until here


async def _follow_parent() -> None:
    """A worker whose server was killed would go on as an orphan, beside the next server."""
    # The server may have died before this runs: then our parent is somebody else already.
    server = multiprocessing.parent_process()
    parent = server.pid if server else os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing announces that a parent has died
        await asyncio.sleep(0.5)
    signal.alarm(ORPHAN_DRAIN)  # nobody is left to end us when a client never finishes
    os.kill(os.getpid(), signal.SIGTERM)
