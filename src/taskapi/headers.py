"""The headers that every response gets: security, CORS, the request id."""

from collections.abc import Iterable, Sequence

from taskapi.request_state import RequestState

Header = tuple[bytes, bytes]

# OWASP REST Security Cheat Sheet. The documentation pages set their own policy.
_SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
_HSTS = b"max-age=31536000; includeSubDomains"  # RFC 6797; sent if the client uses TLS
_EXPOSED = (
    b"ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"WWW-Authenticate, X-Request-Id"
)
# Those that we read, and those that tracing libraries (OpenTelemetry, Sentry) add to every request
# of a page.
_ALLOWED = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Last-Event-ID", "X-Request-Id", "traceparent", "tracestate", "baggage", "sentry-trace"),
)


def preflight(more: Sequence[str]) -> list[Header]:
    """What a page of an allowed origin may send; `more` are other headers that it may send."""
    return [
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
        (b"access-control-allow-headers", ", ".join((*_ALLOWED, *more)).encode()),
        (b"access-control-max-age", b"600"),
    ]


def completed(
    headers: Iterable[Header], state: RequestState, allowed_origin: bytes | None
) -> list[Header]:
    """All headers of a response: its own win over those that every response gets."""
    complete = _SECURITY | {name.lower(): value for name, value in headers}
    complete[b"x-request-id"] = state.request_id.encode()
    if allowed_origin:
        complete[b"access-control-allow-origin"] = allowed_origin
        complete[b"access-control-expose-headers"] = _EXPOSED
    if state.is_secure:
        complete[b"strict-transport-security"] = _HSTS
    for name in (b"location", b"link"):
        if reference := complete.get(name):
            complete[name] = _relative(reference, state.path)
    if allow := complete.get(b"allow"):
        complete[b"allow"] = _with_head(allow)
    # Appended, not merged: a response may have a Vary of its own.
    return [*complete.items(), (b"vary", b"Origin")]


def _relative(reference: bytes, path: bytes) -> bytes:
    """A Location or Link to a path of ours, relative to the path of the request.

    A proxy may serve us below a prefix that it strips, which we do not know; the client resolves
    the reference against the address that it has asked (RFC 9110 sections 10.2.2 and 7.1).
    """
    # Some ASGI servers leave the query in the path.
    climb = b"../" * (path.partition(b"?")[0].count(b"/") - 1)
    if reference.startswith(b"</"):
        return b"<" + climb + reference[2:]
    return climb + reference[1:] if reference.startswith(b"/") else reference


def _with_head(allow: bytes) -> bytes:
    """The Allow header with HEAD, which works wherever GET does."""
    methods = {method.strip() for method in allow.decode().split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode()
