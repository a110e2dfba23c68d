"""Structured logs: one JSON object a line, or colours on a terminal. Never a secret."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Of the request that is served in this context.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
_SECRET = ("password", "token", "secret", "authorization", "cookie")


@lru_cache(maxsize=256)  # the names are written in the code, and they are few
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


def configure(level: str, style: str | None) -> None:
    """`style` is `console` or `json`; None takes the one that fits where stderr goes."""
    style = style or ("console" if sys.stderr.isatty() else "json")
    structlog.configure(
        processors=[*_FIRST, *_rendered(style), _as_bytes],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write for a line and its end: the lines of several workers must not mix.
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
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
