"""`taskcli serve`: the HTTP server, and the database under it for as long as it runs."""

import asyncio
import gc
import os
import pwd
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Annotated, Any

from cyclopts import Parameter

from taskcli.graceful_stop import REQUESTS_FINISH_WITHIN, GracefulStop, Wakeup
from taskcli.output import message, note
from taskcli.signals import run
from taskcore import Misconfigured, Settings
from taskcore.environment import environment
from taskcore.networks import in_url
from taskcore.prefixes import PREFIX

_RESPAWN = 3.0  # seconds; at SIGHUP the old worker ends that long after the new one started
_HEADER_BYTES = 65536
_HEADER_TIMEOUT_MS = 5000  # also how long a connection may be silent between two requests
_CONNECTIONS = 4096  # of a worker; 1000 silent ones take 2 MB
_OTHER_FILES = 256  # of a worker: the database's connections, log, libraries
_MODULE = "taskapi.app"
# What listens on all addresses is no address to go to.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


def serve(
    *,
    host: Annotated[
        str | None, Parameter(metavar="ADDRESS", help="Address to listen on, else SERVER_HOST.")
    ] = None,
    port: Annotated[
        str | None, Parameter(metavar="NUMBER", help="Port to listen on, else SERVER_PORT.")
    ] = None,
    workers: Annotated[
        str | None, Parameter(metavar="NUMBER", help="Worker processes, else WORKERS.")
    ] = None,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C, which let the requests under way finish.

    Without DATABASE_URL a PostgreSQL runs in DATA_DIR for as long as it is used. A worker that
    dies is replaced.
    """
    given = {"SERVER_HOST": host, "SERVER_PORT": port, "WORKERS": workers}
    # With the prefix, which wins over the same name without it.
    overriding = {f"{PREFIX}{name}": value for name, value in given.items() if value is not None}
    _serve(Settings.from_env(environment() | overriding))


def _serve(settings: Settings) -> None:
    # Imported here, so that the other commands start without the server and the drivers.
    from granian import Granian  # noqa: PLC0415
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415

    # By name, because neither driving adapter may depend on the other.
    losses = import_module("taskapi.log_stream")
    sys.stdout, sys.stderr = losses.lossy(sys.stdout), losses.lossy(sys.stderr)
    for warning in (*settings.warnings, *_root(settings)):
        message(warning)
    os.environ[f"{PREFIX}WORKERS"] = str(
        settings.workers
    )  # the workers read their settings themselves
    with _claimed_address(settings.server_host, settings.server_port) as address:
        server = Granian(
            f"{_MODULE}:production",
            address=address,
            port=settings.server_port,
            interface=Interfaces.ASGI,
            # With HTTP/2 on offer, a connection that sends nothing would be kept for ever.
            http=HTTPModes.http1,
            factory=True,
            workers=settings.workers,
            respawn_failed_workers=True,
            respawn_interval=_RESPAWN,
            workers_kill_timeout=REQUESTS_FINISH_WITHIN,
            websockets=False,
            backpressure=_connections(),
            http1_settings=HTTP1Settings(
                max_buffer_size=_HEADER_BYTES, header_read_timeout=_HEADER_TIMEOUT_MS
            ),
            log_level=LogLevels.info,
            log_dictconfig=_logging(settings),
        )
        server.main_loop_interrupt = Wakeup()  # type: ignore[assignment]
        stop = GracefulStop(server.signal_handler_interrupt, settings.drain.total_seconds())
        server.signal_handler_interrupt = stop.on_signal  # type: ignore[method-assign]
        import_module("taskapi.telemetry").check(settings)
        if settings.metrics_address:
            metrics = import_module("taskapi.metrics.listener")
            metrics.serve(settings.metrics_address, settings.workers)
        with run(_prepared(settings)):
            _reset_workers_at_fork()
            gc.freeze()  # imported objects stay: each look through them would take 0.1 s
            gc.enable()
            made = import_module("taskapi.logs").line_of_losses(_style(settings))
            losses.report_losses(sys.stderr, made)
            if _style(settings) == "console":
                prefix = import_module("taskapi.paths").PREFIX
                page = f"{base_url(settings.server_host, settings.server_port)}{prefix}/docs"
                note(f"documentation at {page} (ctrl-C stops)")
            server.serve()


def base_url(host: str, port: int) -> str:
    """Where a browser on this machine finds the server."""
    return f"http://{in_url(_ANYWHERE.get(host, host))}:{port}"


def _root(settings: Settings) -> Iterator[str]:
    """A warning if the server stays root although DATA_DIR is another account's."""
    if os.geteuid() == 0 and not settings.database_url:
        with suppress(OSError, KeyError):
            if owner := settings.data_dir.stat().st_uid:
                name = pwd.getpwuid(owner).pw_name
                yield (
                    f"the HTTP server runs as root, because {name}, who owns DATA_DIR, might be "
                    f"unable to read its code and secrets; start it as {name} if possible"
                )


async def _prepared(settings: Settings) -> ExitStack:
    """Start the database, until the returned stack is closed, and import the application.

    Both take their time, so they run side by side. Workers are forked afterwards, and so have the
    application already.
    """
    from taskcore.wiring import start_database  # noqa: PLC0415

    importing = asyncio.create_task(asyncio.to_thread(import_module, _MODULE))
    with await start_database(settings, serving=True) as started:
        await importing
        return started.pop_all()


@contextmanager
def _claimed_address(host: str, port: int) -> Iterator[str]:
    """Resolve the host, because Granian needs an address, and keep other servers off the port.

    Granian lets several processes share a port, so a second start would mix old and new code.
    This socket does not listen, and our own workers can still share the port with it.
    """
    with ExitStack() as claim:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )[0]
            if sys.platform == "linux":
                # Of two that start at the same moment, both would find the port free.
                alone = claim.enter_context(socket.socket(socket.AF_UNIX))
                alone.bind(f"\0taskcore serves {address[0]} {port}")
            with socket.socket(family, kind, protocol) as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind(address)
            bound = claim.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
        except OSError as error:
            place = f"{in_url(host)}:{port}"
            raise Misconfigured(
                [f"SERVER_HOST and SERVER_PORT: cannot listen on {place}: {error.strerror}"]
            ) from None
        yield str(address[0])


def _connections() -> int:
    """How many connections a worker may hold, after raising the limit on open files for them.

    Granian would accept more than there are files for, and try again without a pause.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    connections = files - min(_OTHER_FILES, files // 2)
    if connections < _CONNECTIONS:
        message(f"the limit on open files ({files}) allows {connections} connections to a worker")
    return connections


def _reset_workers_at_fork() -> None:
    """Give each forked worker its own signal handlers and garbage collection.

    With the inherited handlers a signal would be lost while the worker loads. Until it has loaded,
    SIGTERM simply ends the worker, which has no requests yet. The worker ignores Ctrl-C, which
    reaches the whole process group: this process passes it on as SIGTERM. The application turns
    collection on when loaded.
    """
    stops = {signal.SIGINT, signal.SIGTERM}

    def reset() -> None:
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, stops),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stops),
        after_in_child=reset,
    )


def _logging(settings: Settings) -> dict[str, Any]:
    """Format Granian's and the embedded database's log lines as the application's."""
    ours = {"()": "taskapi.logs.formatter", "style": _style(settings)}
    handler = {"class": "logging.StreamHandler", "formatter": "ours", "stream": "ext://sys.stderr"}
    return {
        "formatters": {"ours": ours},
        "handlers": {"console": handler, "access": handler},
        "root": {"handlers": ["console"], "level": "WARNING"},
    }


def _style(settings: Settings) -> str:
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")
