"""One request as the edge reads it, and its response as the edge completes it."""

import asyncio
import random
import re
import time
from collections.abc import Iterable
from contextlib import suppress

from litestar.types import HTTPScope, Message, Receive, ReceiveMessage, Send
from structlog.typing import FilteringBoundLogger

from taskapi.logs import REQUEST_ID
from taskapi.proxies import Proxies
from taskapi.request_state import RequestState

HEADERS_READ = {
    *(b"origin", b"x-request-id", b"content-length", b"transfer-encoding", b"content-type"),
    *(b"content-encoding", b"authorization", b"user-agent", b"if-match", b"if-none-match"),
}
HEALTH_PATHS = ("/livez", "/readyz")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# OWASP REST Security Cheat Sheet. The documentation pages set their own policy.
_SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
_EXPOSED = b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
_HSTS = b"max-age=31536000; includeSubDomains"  # RFC 6797; sent if the client uses TLS
_DRAIN_BYTES = 131072
_DRAIN_WITHIN = 1.0  # seconds
_MAX_METHOD = 16  # characters, in the log


class Exchange:
    def __init__(
        self,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        origins: frozenset[bytes],
        proxies: Proxies,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started_at = time.perf_counter()
        self._method = scope["method"]
        self.status: int | None = None
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in HEADERS_READ:  # several lines are one list: RFC 9110 section 5.3
                headers[name] = headers[name] + b", " + value if name in headers else value
        self._unread_body = b"transfer-encoding" in headers or (
            headers.get(b"content-length", b"0") != b"0"
        )
        origin = headers.get(b"origin")
        self.allowed_origin = origin if origin in origins else None
        peer = scope["client"][0] if scope["client"] else None
        client, self._is_secure = proxies.client(peer, scope)
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = random.randbytes(16).hex()  # noqa: S311 - an id, not a secret
        self._state = RequestState(request_id, client, headers)
        self._state.attach(scope)
        REQUEST_ID.set(request_id)

    async def receive(self) -> ReceiveMessage:
        message = await self._receive()
        if not message.get("more_body"):
            self._unread_body = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = self._complete(message["headers"])
            if self._unread_body and not await self._drained():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif message["type"] == "http.response.body" and self._method == "HEAD":
            if message.get("more_body"):
                return
            message["body"] = b""
        await self._send(message)

    async def _drained(self) -> bool:
        """Read and discard the rest of a body that was refused unread. False if it is too long.

        Otherwise the next request on the connection would fail, or the response get lost. If the
        rest is too large or too slow, the connection is closed instead.
        """
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_WITHIN):
                while self._unread_body and size <= _DRAIN_BYTES:
                    message = await self.receive()
                    size += len(message["body"]) if message["type"] == "http.request" else 0
        return not self._unread_body

    def _complete(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        complete = _SECURITY | {name.lower(): value for name, value in headers}
        complete[b"x-request-id"] = self._state.request_id.encode()
        if self.allowed_origin:
            complete[b"access-control-allow-origin"] = self.allowed_origin
            complete[b"access-control-expose-headers"] = _EXPOSED
        if self._is_secure:
            complete[b"strict-transport-security"] = _HSTS
        if allow := complete.get(b"allow"):
            complete[b"allow"] = _with_head(allow)
        # Appended, not merged: a response may have a Vary of its own.
        return [*complete.items(), (b"vary", b"Origin")]

    def log(self, log: FilteringBoundLogger) -> None:
        scope, actor = self._scope, self._state.actor
        if scope["path"] in HEALTH_PATHS:
            return
        log.info(
            "request",
            method=self._method[:_MAX_METHOD],
            route=scope.get("path_template") or "unmatched",
            status=self.status,
            duration_ms=round((time.perf_counter() - self._started_at) * 1000, 2),
            user_id=actor.user_id if actor else None,
            client=self._state.client,
        )


def _with_head(allow: bytes) -> bytes:
    """HEAD works wherever GET does."""
    methods = {method.strip() for method in allow.decode().split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode()
