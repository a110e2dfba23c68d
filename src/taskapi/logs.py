"""Structured logs: one JSON object a line, or colours on a terminal. Never a secret."""

import asyncio
import logging
import sys
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import Any, BinaryIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Of the request that is served in this context.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
_SECRET = ("password", "token", "secret", "authorization", "cookie")


@lru_cache(maxsize=256)  # the names are written in the code, and they are few
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


class Lines:
    """Where structlog's lines go: under load those of one turn of the event loop go out together.

    Each write lets go of the interpreter's lock, and the threads of the server take it then: a
    write for each line is an eighth of what a request costs. A warning waits for nothing. What
    cannot be written is lost: the disk is full or nobody reads, and no request shall fail of that.
    For the loop's own thread.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self.file = file
        self._waiting: deque[bytes] = deque()
        self._due_in: asyncio.AbstractEventLoop | None = None

    def info(self, line: bytes) -> None:
        self._waiting.append(line + b"\n")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # there are no turns here
            self.write_out()
            return
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_soon(self.write_out)

    debug = info

    def warning(self, line: bytes) -> None:
        self.info(line)
        self.write_out()

    error = critical = warning

    def write_out(self) -> None:
        self._due_in = None
        while self._waiting:
            together = self._waiting.popleft()
            # What is longer may be torn in a pipe, by the lines of another worker.
            while self._waiting and len(together) + len(self._waiting[0]) <= PIPE_BUF:
                together += self._waiting.popleft()
            if self.file:
                with suppress(OSError):
                    self.file.write(together)
                    self.file.flush()


LINES = Lines()


def configure(level: str, style: str | None) -> None:
    """`style` is `console` or `json`; None takes the one that fits where stderr goes."""
    style = style or ("console" if sys.stderr.isatty() else "json")
    LINES.file = sys.stderr.buffer
    structlog.configure(
        processors=[*_FIRST, *_rendered(style), _as_bytes],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: LINES,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style))
    # Libraries speak up when something is wrong; their chatter would drown ours.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def formatter(style: str) -> logging.Formatter:
    """For the lines of the server and of libraries, so that all come out in one shape."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_FIRST,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendered(style),
        ],
    )


def _rendered(style: str) -> list[Processor]:
    if style == "console":
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Where rich is installed the default shows variables, passwords among them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_encoded),
    ]


def _as_bytes(_: WrappedLogger, __: str, line: Any) -> bytes:  # noqa: ANN401 - rendered text
    return cast(str, line).encode(errors="backslashreplace")


def _encoded(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Nobody should log one; this is for the day when somebody does."""
    for name in event:
        if _is_secret(name):
            event[name] = "***"
    return event


def of_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    return event


def _stamped(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    event["level"] = "error" if level == "exception" else level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return event


_FIRST: list[Processor] = [of_request, _stamped, _without_secrets]
