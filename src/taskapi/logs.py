"""Structured logs: one JSON object a line, or colours on a terminal. Never a secret."""

import asyncio
import json
import logging
import os
import re
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import Any, BinaryIO, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from taskapi.log_stream import lossy, report_losses
from taskcore.domain.printable import ascii_json, block, visible

# The id of the request that is being served in this context.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
# The id of its trace, if requests are traced.
TRACE_ID: ContextVar[str | None] = ContextVar("trace_id", default=None)
# Info lines of this context that `held` keeps back; None outside of it.
_HELD: ContextVar[list[bytes] | None] = ContextVar("held", default=None)
_SECRET = ("password", "token", "secret", "authorization", "cookie")


@lru_cache(maxsize=256)  # the names are few, and none comes from a client
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


class Lines:
    """Writes log lines; under load, all lines of one turn of the event loop together.

    Each write releases the GIL, which the server's threads then take: a write for each line would
    be an eighth of the cost of a request. A warning is written at once. The file drops what it
    cannot write (`log_stream`), so that no request fails or waits for a line. For the event loop's
    thread only.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self.file = file
        self._waiting: deque[bytes] = deque()
        self._due_in: asyncio.AbstractEventLoop | None = None

    def info(self, line: bytes) -> None:
        held = _HELD.get()
        if held is not None:
            held.append(line)
            return
        self._write_soon(line)

    def _write_soon(self, line: bytes) -> None:
        self._waiting.append(line + b"\n")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # without a loop there are no turns
            self.write_out()
            return
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_soon(self.write_out)

    debug = info

    def warning(self, line: bytes) -> None:
        self._write_soon(line)
        self.write_out()

    error = critical = warning

    def write_out(self) -> None:
        self._due_in = None
        while self._waiting:
            batch = self._waiting.popleft()
            # A longer write to a pipe may be mixed with the lines of another worker.
            while self._waiting and len(batch) + len(self._waiting[0]) <= PIPE_BUF:
                batch += self._waiting.popleft()
            if self.file:
                self.file.write(batch)
                self.file.flush()


LINES = Lines()


@contextmanager
def held() -> Iterator[None]:
    """Keep info lines back. If the block raises they are dropped: what they report was undone."""
    lines: list[bytes] = []
    before = _HELD.set(lines)
    try:
        yield
    finally:
        _HELD.reset(before)
    for line in lines:
        LINES.info(line)


def configure(level: str, style: str | None) -> None:
    """`style` is `console` or `json`; None means console if stderr is a terminal, else json."""
    style = style or ("console" if sys.stderr.isatty() else "json")
    stream = lossy(sys.stderr)
    report_losses(stream, line_of_losses(style))
    LINES.file = stream.buffer
    structlog.configure(
        processors=[*_PROCESSORS, *rendered(style), _as_bytes],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: LINES,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(style))
    # Of libraries, only warnings are logged: their debug and info lines would bury ours.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def pass_errors(to: Processor) -> None:
    """Also give each line, without its secrets, to this processor. Call it before `configure`."""
    _PROCESSORS.append(to)


def formatter(style: str) -> logging.Formatter:
    """Formats the lines of the server and of libraries as ours."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_PROCESSORS,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered(style)],
    )


def line_of_losses(style: str) -> Callable[[int], bytes]:
    """Return what makes the line that says how many lines were lost.

    It neither writes nor imports anything, because the stream calls it in the middle of a write.
    """
    processors = [_stamped, *rendered(style), _as_bytes]

    def line(count: int) -> bytes:
        made: Any = {"event": "log.lines_lost", "lines": count}
        for processor in processors:
            made = processor(None, "warning", made)
        return cast(bytes, made) + b"\n"

    return line


def rendered(style: str) -> list[Processor]:
    if style == "console":
        return [
            _visible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                # If rich is installed, the default shows local variables, passwords included.
                exception_formatter=_traceback,
            ),
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_encoded),
    ]


def _as_bytes(_: WrappedLogger, __: str, line: Any) -> bytes:  # noqa: ANN401 - rendered text
    return cast(str, line).encode(errors="backslashreplace")


def _encoded(event: EventDict, **_: object) -> str:
    """One line of ASCII: other characters may end a line, or act on a terminal."""
    try:
        line = msgspec.json.encode(event, enc_hook=str).decode()
    except UnicodeEncodeError:  # half a character, such as in the name of a file that is not UTF-8
        line = json.dumps(msgspec.to_builtins(event, enc_hook=str), separators=(",", ":"))
    return ascii_json(line)


def _visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Makes each event one line for people. Names are ours; `repr` shows values of other types."""
    if isinstance(said := event.get("event"), str):
        # Libraries pass on what others say: PostgreSQL writes two blanks after FATAL.
        event["event"] = _BLANKS.sub(" ", said).strip(" ")
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = visible(value)
    return event


def _traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a traceback indented, so that no text of an error can begin a line as an event does."""
    lines = block("".join(traceback.format_exception(*error)).rstrip("\n"))
    out.writelines(f"\n    {line}" for line in lines)


def _without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The code logs no secret; this is the safety net for a mistake."""
    for name in event:
        if _is_secret(name):
            event[name] = "***"
    return event


def of_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    if (trace_id := TRACE_ID.get()) is not None:
        event["trace_id"] = trace_id
    return event


def _stamped(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    event["level"] = "error" if level == "exception" else level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return event


_BLANKS = re.compile("  +")
_PROCESSORS: list[Processor] = [of_request, _stamped, _without_secrets]
