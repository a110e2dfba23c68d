"""What a server tells others of itself: traces by OpenTelemetry, unexpected errors to Sentry.

    request    traces.py    a span for each, in which the core makes those of its use cases
    log line   errors.py    one with an unexpected error goes to Sentry too

Without OTEL_EXPORTER_OTLP_ENDPOINT and SENTRY_DSN neither is imported.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskcore import Misconfigured, Settings
from taskcore.environment import environment
from taskcore.extras import needing
from taskcore.prefixes import own_variables

if TYPE_CHECKING:
    from taskapi.telemetry.errors import ErrorReports
    from taskapi.telemetry.traces import Traces

# ruff: noqa: PLC0415 - what is off is not imported
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class Telemetry:
    traces: "Traces | None" = None
    errors: "ErrorReports | None" = None

    async def close(self) -> None:
        """Send what is left, for a second at most."""
        parts = [part for part in (self.traces, self.errors) if part is not None]
        await asyncio.gather(*(asyncio.to_thread(part.close) for part in parts))


def check(settings: Settings) -> None:
    """Import what is asked for. Raises Misconfigured, where a package is not installed too.

    For the process that forks the workers: no thread begins here.
    """
    if settings.otlp_endpoint:
        with _installed(_ENDPOINT, "otel"):
            from taskapi.telemetry.traces import check_variables
        check_variables(settings.otlp_endpoint, own_variables(environment()))
    if settings.sentry_dsn:
        with _installed("SENTRY_DSN", "sentry"):
            from taskapi.telemetry.errors import check_dsn
        check_dsn(settings.sentry_dsn)


def started(settings: Settings) -> Telemetry:
    """What a worker needs. Raises as `check`."""
    check(settings)
    traces = errors = None
    if settings.otlp_endpoint or settings.sentry_dsn:
        _show_variables(environment())
    if settings.otlp_endpoint:
        from taskapi.telemetry.traces import Traces

        traces = Traces.exporting()
    if settings.sentry_dsn:
        from taskapi.telemetry.errors import ErrorReports

        errors = ErrorReports(settings.sentry_dsn)
    return Telemetry(traces, errors)


@contextmanager
def _installed(variable: str, extra: str) -> Iterator[None]:
    try:
        with needing(extra):
            yield
    except ModuleNotFoundError as error:
        raise Misconfigured([f"{variable}: {error}"]) from None


def _show_variables(env: Mapping[str, str]) -> None:
    """Show the SDKs, which read the process's environment alone, what `.env` has for them."""
    for name, value in own_variables(env).items():
        if name.startswith(("OTEL_", "SENTRY_")):
            if value.strip():
                os.environ[name] = value
            else:  # an empty one counts as not set
                os.environ.pop(name, None)
