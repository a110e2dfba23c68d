"""The headers that every response gets: security, CORS (`cors.py`), the request id."""

from collections.abc import Iterable

from taskapi.cors import VARY, readable
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


def completed(
    headers: Iterable[Header], state: RequestState, allowed_origin: bytes | None
) -> list[Header]:
    """All headers of a response: its own win over those that every response gets."""
    complete = _SECURITY | {name.lower(): value for name, value in headers}
    complete[b"x-request-id"] = state.request_id.encode()
    if allowed_origin:
        complete |= readable(allowed_origin)
    if state.is_secure:
        complete[b"strict-transport-security"] = _HSTS
    for name in (b"location", b"link"):
        if reference := complete.get(name):
            complete[name] = _relative(reference, state.path)
    if allow := complete.get(b"allow"):
        complete[b"allow"] = _with_head(allow)
    # Appended, not merged: a response may have a Vary of its own.
    return [*complete.items(), VARY]


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
