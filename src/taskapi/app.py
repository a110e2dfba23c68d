"""The application: routes, problem details and the edge around them."""

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from litestar import Litestar, Router
from litestar.config.app import AppConfig

from taskapi import logs, telemetry
from taskapi.audit import audit, own_events
from taskapi.body_limits import MAX_BODY_BYTES
from taskapi.bulk import bulk
from taskapi.capacity import IN_FLIGHT
from taskapi.changes import changes
from taskapi.client_connections import Connections
from taskapi.docs import docs_handlers, show_home
from taskapi.edge import Edge
from taskapi.health import livez, readyz
from taskapi.history import history
from taskapi.housekeeping import Housekeeper
from taskapi.openapi import document, document_handler
from taskapi.parameters import declare_parameters
from taskapi.paths import PREFIX
from taskapi.problems import HANDLERS
from taskapi.providers import ActorRequest, CoreOpener, anyone, container
from taskapi.proxies import Proxies
from taskapi.query import decode_query_int, is_query_int
from taskapi.responses import JsonResponse
from taskapi.sessions import log_in, own_sessions, refresh
from taskapi.task_lists import labels
from taskapi.tasks import tasks
from taskapi.trash import trash
from taskapi.users import delete_account, own_account, register, users
from taskcore import Adapters, Core, Settings, open_core
from taskcore.domain.dues import zone_names
from taskcore.environment import forget_libpq_variables

if TYPE_CHECKING:  # imported only where they are asked for
    from taskapi.metrics.recorder import Recorder
    from taskapi.telemetry.traces import Traces

# Seconds that a worker gives its running requests after its main process was killed. Few need more.
ORPHAN_FINISHES_WITHIN = 3
_LISTENS_WITHIN = 0.1  # seconds
_GC_THRESHOLD = 20_000  # new objects until a collection; Python's default is 700
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def create_app(
    opener: CoreOpener,
    settings: Settings,
    recorder: "Recorder | None" = None,
    traces: "Traces | None" = None,
) -> Litestar:
    """An ASGI application over the core that the opener opens, for as long as it runs."""
    di = container(opener)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        try:
            app.state.core = await di.get(Core)
            # The first look takes tenths of a second, for which no request should wait.
            asyncio.get_running_loop().run_in_executor(None, zone_names)
            async with Housekeeper(app.state.core) as app.state.housekeeper:
                if recorder is None:
                    yield
                else:
                    parts = (edge, app.state.housekeeper)
                    async with recorder.publishing(app.state.core, parts):
                        yield
        finally:
            await di.close()

    # The document has the operations in this order.
    auth = Router(
        "/auth",
        route_handlers=[
            register,
            log_in,
            refresh,
            *own_account,
            *own_sessions,
            own_events,
            delete_account,
        ],
        tags=["Authentication"],
    )
    v1 = Router(
        PREFIX,
        route_handlers=[
            auth,
            tasks,
            bulk,
            labels,
            trash,
            history,
            changes,
            users,
            audit,
            *([document_handler, *docs_handlers(settings.app_name)] if settings.docs else []),
        ],
    )
    app = _App(
        route_handlers=[v1, livez, readyz, *([show_home] if settings.docs else [])],
        before_request=anyone,
        exception_handlers=HANDLERS,
        lifespan=[lifespan],
        request_class=ActorRequest,
        response_class=JsonResponse,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        type_decoders=[(is_query_int, decode_query_int)],
        logging_config=None,
    )
    declare_parameters(app)
    app.state.document = document(app, settings)
    edge = Edge(app.asgi_handler, settings, in_flight=IN_FLIGHT, recorder=recorder, traces=traces)
    app.asgi_handler = edge
    return app


class _App(Litestar):
    @staticmethod
    def _patch_opentelemetry_middleware(config: AppConfig) -> AppConfig:
        """Does nothing: Litestar would import OpenTelemetry, if it is installed, for its plugin."""
        return config


def production() -> Litestar:
    """For the ASGI server: settings from the environment, logs to stderr."""
    forget_libpq_variables()
    settings = Settings.load()
    told = telemetry.started(settings)
    if told.errors is not None:
        logs.pass_errors(told.errors)
    logs.configure(settings.log_level, settings.log_format)
    adapters: Adapters = {} if told.traces is None else {"tracer": told.traces.tracer}
    connections = Connections(Proxies(settings.trusted_proxies))

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        watches = [asyncio.create_task(_follow_parent()), asyncio.create_task(connections.watch())]
        async with open_core(settings, **adapters) as core:
            _end_streams_at_a_signal(core)
            _collect_garbage_seldom()  # before call_later, whose delay must not include it
            # Unblock the signals once the server listens: it begins after this generator yields.
            asyncio.get_running_loop().call_later(
                _LISTENS_WITHIN, signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOP_SIGNALS
            )
            yield core
        for watch in watches:
            watch.cancel()
        await told.close()

    app = create_app(opener, settings, _recorder(settings), told.traces)
    # Ctrl-C reaches a worker twice, from the terminal and from the server's main process. Two
    # signals before the worker listens would make it hang, so they are blocked until then.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    return app


def _recorder(settings: Settings) -> "Recorder | None":
    """What counts requests, if METRICS_ADDRESS is set and `taskcli serve` listens there.

    Under another ASGI server no process adds up the numbers of its workers.
    """
    if settings.metrics_address is None:
        return None
    from taskapi.metrics.listener import claimed  # noqa: PLC0415 - not paid for when it is off

    return claimed()


def served_document(settings: Settings) -> bytes:
    """The OpenAPI document, without serving."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        raise NotImplementedError("a document needs no core")
        yield

    return cast(bytes, create_app(opener, settings).state.document)


def _end_streams_at_a_signal(core: Core) -> None:
    """The server waits for requests before it stops; for streams it would wait until its deadline.

    This does not replace the server's own handlers, which the event loop calls.
    """
    loop = asyncio.get_running_loop()

    def end(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(core.changes.followers.close)

    for number in _STOP_SIGNALS:
        signal.signal(number, end)


def _collect_garbage_seldom() -> None:
    """By default Python would collect every few requests, through all imported objects.

    Freeze exempts the objects that exist now. Most objects of a request are freed by reference
    counting anyway; an edit under load takes 8 % less CPU with this.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *gc.get_threshold()[1:])
    gc.enable()  # `taskcli serve` has disabled it until here


async def _follow_parent() -> None:
    """Stop when the server's main process is killed: an orphan would serve beside a new server."""
    # Not simply os.getppid(): if the main process died before this runs, the parent has changed.
    server = multiprocessing.parent_process()
    parent = server.pid if server else os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the death of a parent raises no event
        await asyncio.sleep(0.5)
    # Without the alarm a client that never finishes would keep this process alive, and no other
    # process would end it.
    signal.alarm(ORPHAN_FINISHES_WITHIN)
    os.kill(os.getpid(), signal.SIGTERM)
