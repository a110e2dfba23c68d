"""`taskcli serve`: the HTTP server, and the database under it for as long as it runs."""

import asyncio
import gc
import io
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

from taskcli.output import message
from taskcli.signals import run
from taskcore import Misconfigured, Settings
from taskcore.settings import environment

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# In seconds. Deployments wait longer than this before they kill: docs/deployment.md.
DRAIN = 25
_RESPAWN = 3.0  # at SIGHUP: the old worker goes when the new one surely serves
_HEADER_BYTES = 65536
_HEADER_TIMEOUT_MS = 10_000
_APPLICATION = "taskapi.app:production"


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on, else SERVER_HOST.")] = None,
    port: Annotated[str | None, Parameter(help="Port to listen on, else SERVER_PORT.")] = None,
    workers: Annotated[str | None, Parameter(help="Worker processes, else WORKERS.")] = None,
) -> None:
    """Serve the API until SIGTERM or ctrl-C, which let the requests under way finish.

    Without DATABASE_URL a PostgreSQL runs in DATA_DIR for as long as it is used. A worker that
    dies is replaced.
    """
    given = {"SERVER_HOST": host, "SERVER_PORT": port, "WORKERS": workers}
    overriding = {name: value for name, value in given.items() if value is not None}
    _serve(Settings.from_env(environment() | overriding))


def _serve(settings: Settings) -> None:
    # Only this command needs the server and the drivers; the others start without them.
    from granian import Granian  # noqa: PLC0415
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415

    sys.stdout, sys.stderr = _lossy(sys.stdout), _lossy(sys.stderr)
    for warning in settings.warnings:
        message(warning)
    os.environ["WORKERS"] = str(settings.workers)  # the workers read their settings themselves
    with _claimed_address(settings.server_host, settings.server_port) as address:
        server = Granian(
            _APPLICATION,
            address=address,
            port=settings.server_port,
            interface=Interfaces.ASGI,
            # While it may still become HTTP/2, a connection that says nothing is kept for ever.
            http=HTTPModes.http1,
            factory=True,
            workers=settings.workers,
            respawn_failed_workers=True,
            respawn_interval=_RESPAWN,
            workers_kill_timeout=DRAIN,
            websockets=False,
            http1_settings=HTTP1Settings(
                max_buffer_size=_HEADER_BYTES, header_read_timeout=_HEADER_TIMEOUT_MS
            ),
            log_level=LogLevels.info,
            log_dictconfig=_logging(settings),
        )
        server.main_loop_interrupt = _Wakeup()  # type: ignore[assignment]
        with run(_prepared(settings)):
            _start_workers_afresh()
            gc.freeze()  # what is here by now stays: to look through it takes 0.1 s
            gc.enable()
            if _style(settings) == "console":
                page = f"http://{settings.server_host}:{settings.server_port}/api/v1/docs"
                message(f"documentation at {page} (ctrl-C stops)")
            server.serve()


async def _prepared(settings: Settings) -> ExitStack:
    """The database is up until the returned stack is closed, and the application is imported.

    Both take their time, so they run side by side. Workers are forked afterwards, and so have the
    application already.
    """
    from taskcore.wiring import start_database  # noqa: PLC0415

    module = _APPLICATION.partition(":")[0]
    importing = asyncio.create_task(asyncio.to_thread(import_module, module))
    with await start_database(settings, serving=True) as started:
        await importing
        return started.pop_all()


class _Wakeup:
    """As much of `threading.Event` as the server's main loop uses, for its signal handlers to set.

    An Event has a lock that is not reentrant. A handler that calls `set` while the loop it
    interrupts holds that lock, at the beginning or the end of `wait`, would wait for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._bell: SimpleQueue[None] = SimpleQueue()  # whose `put` is reentrant

    def set(self) -> None:
        self._is_set = True
        self._bell.put(None)

    def clear(self) -> None:
        self._is_set = False

    def wait(self) -> None:
        while not self._is_set:
            self._bell.get()


class _Lossy(io.FileIO):
    """What cannot be written now is lost: the disk is full, nobody reads, or not fast enough.

    Serving goes on. Otherwise everybody would wait for a reader that is stuck, and no worker could
    be started: what is left unwritten is tried again then.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)

    def write(self, data: "ReadableBuffer", /) -> int:
        # So much goes into a pipe that has room at all.
        piece, written = memoryview(data)[: select.PIPE_BUF], None
        with suppress(OSError):
            if self._room.poll(0):
                written = super().write(piece)
        return len(piece) if written is None else written


def _lossy(stream: TextIO | None) -> TextIO:
    if stream is None:  # it was closed; taking its place keeps sockets from getting it
        return Path(os.devnull).open("w", encoding="utf-8")
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(stream.fileno())),
        stream.encoding,
        "backslashreplace",
        line_buffering=True,
    )


@contextmanager
def _claimed_address(host: str, port: int) -> Iterator[str]:
    """The number behind the name, which the server asks for, and the port for us alone.

    The server lets several processes share a port: a second start would mix old and new code.
    The claim neither listens nor keeps our own workers out, who share the port as it does.
    """
    with ExitStack() as claim:
        try:
            info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                family, kind, protocol, _, address = info[0]
                claim.pop_all().close()  # the first only shows that nobody listens
                bound = claim.enter_context(socket.socket(family, kind, protocol))
                bound.setsockopt(socket.SOL_SOCKET, option, 1)
                bound.bind(address)
        except OSError as error:
            raise Misconfigured(
                [f"SERVER_HOST and SERVER_PORT: cannot listen on {host}:{port}: {error.strerror}"]
            ) from None
        yield str(address[0])


def _start_workers_afresh() -> None:
    """A worker is forked with our handlers, and would lose in them what comes while it loads.

    Then SIGTERM ends it, for it has no requests yet. A ctrl-C, which reaches the whole group, is
    for us to pass on. And it looks for garbage when it has been loaded.
    """
    stops = {signal.SIGINT, signal.SIGTERM}

    def start_afresh() -> None:
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, stops),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stops),
        after_in_child=start_afresh,
    )


def _logging(settings: Settings) -> dict[str, Any]:
    """The server's own lines, and the embedded database's, in the shape of the application's."""
    ours = {"()": "taskapi.logs.formatter", "style": _style(settings)}
    handler = {"class": "logging.StreamHandler", "formatter": "ours", "stream": "ext://sys.stderr"}
    return {
        "formatters": {"ours": ours},
        "handlers": {"console": handler, "access": handler},
        "root": {"handlers": ["console"], "level": "WARNING"},
    }


def _style(settings: Settings) -> str:
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")
