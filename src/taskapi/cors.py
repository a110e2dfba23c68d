"""CORS: pages of which origins may use the API in a browser, and what they may send and read."""

from litestar.types import HTTPScope

from taskcore import Settings

# Those that we read, and those that tracing libraries (OpenTelemetry, Sentry) add to every request
# of a page.
_MAY_SEND = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Last-Event-ID", "X-Request-Id", "traceparent", "tracestate", "baggage", "sentry-trace"),
)
_MAY_READ = (
    b"ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"WWW-Authenticate, X-Request-Id"
)

VARY = (b"vary", b"Origin")
"""Of every response: a cache must not show that for one origin to the pages of another."""


class Cors:
    """The rule of a server, from CORS_ORIGINS and CORS_HEADERS."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        may_send = ", ".join((*_MAY_SEND, *settings.cors_headers))
        self.preflight = [
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", may_send.encode()),
            (b"access-control-max-age", b"600"),
        ]
        """What a page of an allowed origin may send."""

    def allowed(self, origin: bytes | None) -> bytes | None:
        """The origin of a request, or None if its pages may not read the response."""
        return origin if origin in self._origins else None


def readable(allowed_origin: bytes) -> dict[bytes, bytes]:
    """The headers with which a browser lets pages of an allowed origin read a response."""
    return {
        b"access-control-allow-origin": allowed_origin,
        b"access-control-expose-headers": _MAY_READ,
    }


def is_preflight(scope: HTTPScope, method: str, allowed_origin: bytes | None) -> bool:
    """Whether a browser asks for a page of an allowed origin, before it sends the request itself.

    It is answered with a success also where the request will be refused, as for an unknown path:
    otherwise the browser would keep the refusal from the page, and call it a network error.
    """
    return (
        method == "OPTIONS"
        and allowed_origin is not None
        and any(name == b"access-control-request-method" for name, _ in scope["headers"])
    )
