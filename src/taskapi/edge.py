"""The outermost layer: what holds for every answer, also where no route matches."""

import asyncio
import random
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import unquote

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send
from structlog.typing import FilteringBoundLogger

from taskapi.logs import LINES, REQUEST_ID
from taskapi.problems import FieldProblem, HttpProblem, send_problem
from taskapi.proxies import Proxies
from taskcore import Actor, Invalid, NotFound, Settings

log = structlog.get_logger("taskapi")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# OWASP REST Security Cheat Sheet. The pages of the documentation bring a policy of their own.
_SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
_QUIET = ("/livez", "/readyz")
_EXPOSED = b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
# RFC 6797; sent where the client came over TLS, which ends at a proxy.
_HSTS = b"max-age=31536000; includeSubDomains"
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, If-Match, If-None-Match, X-Request-Id",
    ),
    (b"access-control-max-age", b"600"),
]
MAX_HEADER_BYTES = 16384  # an access token takes 400
# Bytes. No path of ours is half as long, and no query with a meaning. The framework remembers the
# last thousand of each, whoever asked.
_MAX_PATH, _MAX_QUERY = 256, 8192
_MAX_METHOD = 16  # characters, in the log
# A method that nobody has: the router's answer to it names those that the resource does have.
_PROBE = "PROBE"
_PORT = re.compile(rb":[0-9]*\Z")


class Edge:
    """Request ids, HEAD and OPTIONS, CORS, security headers, the access log, and a limit.

    `in_flight` requests are served at a time; those beyond are refused at once, because a
    queue would only make everybody late.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, in_flight: int) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        self._proxies = Proxies(settings.trusted_proxies)
        self._hosts = frozenset(host.encode() for host in settings.allowed_hosts)
        self._limit = in_flight
        self._serving = 0
        # Once: to find out what `log` stands for costs as much as a line.
        self._log = log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send, self._origins, self._proxies)
        receive = exchange.receive
        method = scope["method"]
        self._serving += 1
        try:
            if self._serving > self._limit and scope["path"] not in _QUIET:
                await send_problem(scope, exchange.send, _OVERLOADED)
            elif refusal := self._refusal(scope):
                await send_problem(scope, exchange.send, refusal)
            elif method == "OPTIONS":
                await self._options(scope, receive, exchange)
            else:
                if method == "HEAD":
                    scope["method"] = "GET"
                await self._app(scope, receive, exchange.send)
        except Exception as error:
            log.exception("request.failed", exc_info=error)
            if exchange.status is not None:
                raise
            await send_problem(scope, exchange.send, _FAILED)
        finally:
            self._serving -= 1
            exchange.log(self._log)
            if not self._serving:  # nobody comes whom this would hold up
                LINES.write_out()

    def _refusal(self, scope: HTTPScope) -> HttpProblem | None:
        """What servers and the router overlook."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        # RFC 9112 section 3.2. Granian writes an empty one where there is none.
        if scope["http_version"] == "1.1" and (len(hosts) != 1 or not hosts[0]):
            return HttpProblem(400, "malformed_request", "Send one Host header")
        if (
            self._hosts
            and scope["path"] not in _QUIET
            and not self._hosts.issuperset(_PORT.sub(b"", host.lower()) for host in hosts)
        ):
            return HttpProblem(400, "unknown_host", "This service has another name")
        # The router would pass over the empty segment, and take an id of `/` for the list. And it
        # takes an encoded slash for a plain one, which the rules of a proxy do not.
        raw_path = scope["raw_path"] or b""
        if "//" in scope["path"] or b"%2f" in raw_path.lower() or len(raw_path) > _MAX_PATH:
            return HttpProblem(404, NotFound.code, NotFound.title)
        return _unwelcome(scope)

    async def _options(self, scope: HTTPScope, receive: Receive, exchange: "_Exchange") -> None:
        headers: list[tuple[bytes, bytes]] = []
        status = HTTPStatus.NOT_FOUND

        async def listen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                headers.extend(h for h in message["headers"] if h[0].lower() == b"allow")

        scope["method"] = _PROBE  # type: ignore[typeddict-item]
        await self._app(scope, receive, listen)
        if status is not HTTPStatus.METHOD_NOT_ALLOWED:
            scope["method"] = "GET"
            await self._app(scope, receive, exchange.send)
            return
        if exchange.allowed_origin:
            headers += _PREFLIGHT
        await exchange.send(
            {"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": headers}
        )
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


def _unwelcome(scope: HTTPScope) -> HttpProblem | None:
    """What no operation takes."""
    size, credentials = 0, 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        credentials += name == b"authorization"
    if size > MAX_HEADER_BYTES:
        return HttpProblem(431, "headers_too_large", "The headers are larger than any that help")
    query = scope["query_string"]
    if b"%00" in query:
        return _misfit(query, b"%00", "must not hold NUL", "control_character")
    if len(query) > _MAX_QUERY:
        return _misfit(query, b"", f"{_MAX_QUERY} bytes are enough for all", "too_long")
    if credentials > 1:
        return HttpProblem(400, "several_credentials", "Send one Authorization header")
    return None


def _misfit(query: bytes, holding: bytes, message: str, code: str) -> HttpProblem:
    """About the longest of the parameters that hold this."""
    part = max((part for part in query.split(b"&") if holding in part), key=len)
    name = unquote(part.partition(b"=")[0][:_MAX_PATH].decode("latin-1"))
    found = FieldProblem(message, code, parameter=name)
    return HttpProblem(422, Invalid.code, Invalid.title, errors=[found])


_OVERLOADED = HttpProblem(
    503, "overloaded", "Too many requests at once; try again", {"Retry-After": "1"}
)
_FAILED = HttpProblem(500, "internal_error", "Something went wrong on our side")


class _Exchange:
    """One request and its answer on the way out."""

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
        given: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _READ:  # several lines are one list: RFC 9110 section 5.3
                given[name] = given[name] + b", " + value if name in given else value
        self._body_is_due = b"transfer-encoding" in given or (
            given.get(b"content-length", b"0") != b"0"
        )
        origin = given.get(b"origin")
        self.allowed_origin = origin if origin in origins else None
        peer = scope["client"][0] if scope["client"] else None
        self._client, self._is_secure = proxies.client(peer, scope)
        asked_id = given.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = asked_id if _REQUEST_ID.fullmatch(asked_id) else _new_id()
        scope["state"] |= {"request_id": self.request_id, "client": self._client, "given": given}
        REQUEST_ID.set(self.request_id)

    async def receive(self) -> ReceiveMessage:
        message = await self._receive()
        if not message.get("more_body"):
            self._body_is_due = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = self._complete(message["headers"])
            if self._body_is_due and not await self._drained():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif message["type"] == "http.response.body" and self._method == "HEAD":
            if message.get("more_body"):
                return
            message["body"] = b""
        await self._send(message)

    async def _drained(self) -> bool:
        """Take in what is left of a body that nobody read, because it was refused before.

        Otherwise the next request on the connection would fail, or the answer get lost. What is
        too much or too slow is not worth it: then the connection ends instead.
        """
        taken = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_WITHIN):
                while self._body_is_due and taken <= _DRAIN_BYTES:
                    message = await self.receive()
                    taken += len(message["body"]) if message["type"] == "http.request" else 0
        return not self._body_is_due

    def _complete(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        complete = _SECURITY | {name.lower(): value for name, value in headers}
        complete[b"x-request-id"] = self.request_id.encode()
        if self.allowed_origin:
            complete[b"access-control-allow-origin"] = self.allowed_origin
            complete[b"access-control-expose-headers"] = _EXPOSED
        if self._is_secure:
            complete[b"strict-transport-security"] = _HSTS
        if allow := complete.get(b"allow"):
            complete[b"allow"] = _with_head(allow)
        # In a line of its own: where there are variants, they have brought one.
        return [*complete.items(), (b"vary", b"Origin")]

    def log(self, log: FilteringBoundLogger) -> None:
        scope = self._scope
        if scope["path"] in _QUIET:
            return
        actor: Actor | None = scope["state"].get("actor")
        log.info(
            "request",
            method=self._method[:_MAX_METHOD],
            route=scope.get("path_template") or "unmatched",
            status=self.status,
            duration_ms=round((time.perf_counter() - self._started_at) * 1000, 2),
            user_id=actor.user_id if actor else None,
            client=self._client,
        )


_READ = {
    *(b"origin", b"x-request-id", b"content-length", b"transfer-encoding", b"content-type"),
    *(b"content-encoding", b"authorization", b"user-agent", b"if-match", b"if-none-match"),
}
_DRAIN_BYTES = 131072
_DRAIN_WITHIN = 1.0  # seconds


def _new_id() -> str:
    return random.randbytes(16).hex()  # noqa: S311 - it tells requests apart, and guards nothing


def _with_head(allow: bytes) -> bytes:
    """HEAD works wherever GET does."""
    methods = {method.strip() for method in allow.decode().split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode()
