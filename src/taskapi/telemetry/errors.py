"""Unexpected errors to Sentry: those that the log has with a traceback."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import BadDsn, Dsn
from structlog.typing import EventDict, WrappedLogger

from taskcore import Misconfigured, __version__
from taskcore.settings import Secret

_CLOSES_WITHIN = 1.0  # seconds
_PER_SECOND = 5
_MAX_TEXT = 4096  # characters of an error's message
_LEVELS = {"error", "critical"}
# Of a log line; all are made by us. `event` may be the text of another library.
_TAGS = ("request_id", "trace_id", "kind")
# Of what the SDK collects. The rest could hold what is private: request, user, breadcrumbs, extra.
_KEPT = {
    *("event_id", "timestamp", "platform", "level", "exception", "tags", "logger"),
    *("release", "environment", "server_name", "sdk"),
}
_FRAME = {
    *("filename", "function", "module", "lineno", "in_app"),
    *("context_line", "pre_context", "post_context"),
}


def check_dsn(dsn: Secret) -> None:
    """Raises Misconfigured."""
    try:
        Dsn(dsn.reveal().strip())
    except BadDsn:
        raise Misconfigured(["SENTRY_DSN must be the DSN of a project"]) from None


class ErrorReports:
    """A processor of the log. At most 100 errors wait to be sent; the rest is dropped.

    A thread sends them, and no request waits for it. To collect one takes milliseconds of the event
    loop, so at most 5 are in a second; the log has them all.
    """

    def __init__(self, dsn: Secret, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second, self._count = 0, 0
        sentry_sdk.init(
            dsn.reveal().strip(),
            release=None if "SENTRY_RELEASE" in os.environ else f"taskcore@{__version__}",
            default_integrations=False,
            integrations=[DedupeIntegration()],
            before_send=scrubbed,
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            max_value_length=_MAX_TEXT,
            auto_session_tracking=False,
            send_client_reports=False,
            spotlight=False,
        )

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if "exc_info" in event and event.get("level") in _LEVELS:
            error = _error(event["exc_info"])
            if error is not None and self._admits():
                tags = {name: str(event[name]) for name in _TAGS if name in event}
                sentry_sdk.capture_exception(error, tags=tags)
        return event

    def _admits(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= _PER_SECOND

    def close(self) -> None:
        """Send the errors that wait, for a second at most; those that are left are lost."""
        sentry_sdk.get_client().close(timeout=_CLOSES_WITHIN)


def scrubbed(event: Event, _: Hint) -> Event:
    """No more of an error than the log has of it."""
    whole: dict[str, Any] = dict(event)
    kept = {name: whole[name] for name in _KEPT if name in whole}
    for error in kept.get("exception", {}).get("values", ()):
        frames = (error.get("stacktrace") or {}).get("frames", ())
        for frame in frames:
            for name in set(frame) - _FRAME:
                del frame[name]
    return kept  # type: ignore[return-value]


def _error(given: object) -> BaseException | None:
    """What structlog and the standard library have as `exc_info`."""
    if isinstance(given, tuple):
        given = given[1]
    elif given is True:
        given = sys.exc_info()[1]
    return given if isinstance(given, BaseException) else None
