"""The outermost layer: what every request meets before it reaches a route."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from taskapi.capacity import Newcomers, Places
from taskapi.cors import Cors, is_preflight
from taskapi.exchange import Exchange
from taskapi.headers import Header
from taskapi.logs import LINES
from taskapi.paths import HEALTH_PATHS
from taskapi.problems import (
    BY_STATUS,
    SEVERAL_CREDENTIALS,
    UNKNOWN_HOST,
    HttpProblem,
    send_problem,
)
from taskapi.proxies import Proxies
from taskapi.query_limits import query_refusal
from taskapi.request_state import MAX_HEADER_BYTES, RequestState
from taskcore import NotFound, Settings
from taskcore.domain.errors import RETRY_AFTER
from taskcore.domain.origins import address
from taskcore.ports import BUDGET, Measures

if TYPE_CHECKING:  # imported only where they are asked for
    from taskapi.metrics.recorder import Recorder
    from taskapi.telemetry.traces import Traces

log = structlog.get_logger("taskapi")

_MAX_PATH = 256  # bytes
# A method that no route has: the router's 405 names those that the resource does have.
_PROBE = "PROBE"
_PORT = re.compile(rb":[0-9]*\Z")


class Edge:
    """Refuses what no route should see, and answers HEAD and OPTIONS. The rest is in `exchange`."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        in_flight: int,
        recorder: "Recorder | None" = None,
        traces: "Traces | None" = None,
    ) -> None:
        self._app, self._recorder, self._traces = app, recorder, traces
        self._storms = 0  # requests refused in one
        self._cors = Cors(settings)
        self._proxies = Proxies(settings.trusted_proxies)
        self._hosts = frozenset(host.encode() for host in settings.allowed_hosts)
        self._newcomers, self._places = Newcomers(), Places(in_flight)
        # Bound once: to resolve the lazy `log` costs as much as to write a line.
        self._log = log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if self._comes_in_a_storm(scope):
            self._storms += 1
            await _refuse_at_little_cost(send)
            return
        exchange = Exchange(
            scope,
            receive,
            send,
            self._cors,
            self._proxies,
            self._places,
            self._recorder,
            self._traces,
        )
        receive = exchange.receive
        before = BUDGET.set(exchange.budget)
        method = scope["method"]
        # Health checks take no place: they must be answered when all are taken.
        takes_place = scope["path"] not in HEALTH_PATHS
        has_place = not takes_place or exchange.enter()
        try:
            if not has_place or (takes_place and not await exchange.take_turn()):
                exchange.is_overload = True
                await send_problem(scope, exchange.send, self._places.refusal())
            elif refusal := self._refusal(scope, exchange.state):
                if is_preflight(scope, method, exchange.allowed_origin):
                    await self._allow(exchange)
                else:
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
            BUDGET.reset(before)
            exchange.release()
            exchange.report(self._log)
            if self._places.are_free:  # no other request would be delayed
                LINES.write_out()

    def measures(self) -> Measures:
        return {**self._places.measures(), "refused:storm": self._storms}

    def _comes_in_a_storm(self, scope: HTTPScope) -> bool:
        if scope["client"] is None:
            return False
        ip, port = scope["client"]
        peer = self._proxies.stranger(address(ip))
        return peer is not None and self._newcomers.are_too_many(peer.network or "", port)

    def _refusal(self, scope: HTTPScope, state: RequestState) -> HttpProblem | None:
        """Why to refuse a request that the server and the router would wrongly let through."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        # RFC 9112 section 3.2. Granian adds an empty Host where there is none.
        if scope["http_version"] == "1.1" and (len(hosts) != 1 or not hosts[0]):
            return HttpProblem(400, "malformed_request", "Send one Host header")
        if (
            self._hosts
            and scope["path"] not in HEALTH_PATHS
            and not self._hosts.issuperset(_PORT.sub(b"", host.lower()) for host in hosts)
        ):
            return HttpProblem(400, *UNKNOWN_HOST)
        # The router would skip an empty segment, so that an id of `/` would mean the list. It also
        # decodes %2F to a slash, which the path rules of a proxy do not. A target without a slash,
        # such as `GET livez`, has no path.
        raw_path = scope["raw_path"] or b""
        path = scope["path"]
        if not path or "//" in path or b"%2f" in raw_path.lower() or len(raw_path) > _MAX_PATH:
            return HttpProblem(404, NotFound.code, NotFound.title)
        # RFC 9112 section 6.1. Under another coding a proxy may see another end of the body.
        coding = state.header(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            return HttpProblem(501, *BY_STATUS[501])
        if state.header_bytes > MAX_HEADER_BYTES:
            return HttpProblem(431, *BY_STATUS[431])
        return query_refusal(scope["query_string"]) or _credentials_refusal(scope)

    async def _options(self, scope: HTTPScope, receive: Receive, exchange: Exchange) -> None:
        headers: list[Header] = []
        status = HTTPStatus.NOT_FOUND

        async def listen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                headers.extend(h for h in message["headers"] if h[0].lower() == b"allow")

        scope["method"] = _PROBE  # type: ignore[typeddict-item]
        await self._app(scope, receive, listen)
        if status is HTTPStatus.METHOD_NOT_ALLOWED or is_preflight(
            scope, exchange.method, exchange.allowed_origin
        ):
            await self._allow(exchange, *headers)
        else:
            scope["method"] = "GET"
            await self._app(scope, receive, exchange.send)

    async def _allow(self, exchange: Exchange, *allow: Header) -> None:
        headers = [*allow, *(self._cors.preflight if exchange.allowed_origin else ())]
        await exchange.send(
            {"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": headers}
        )
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse_at_little_cost(send: Send) -> None:
    """Answer without an id, a line in the log, or a look at the request."""
    headers = [
        (b"content-length", b"0"),
        (b"retry-after", f"{RETRY_AFTER:.0f}".encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _credentials_refusal(scope: HTTPScope) -> HttpProblem | None:
    if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
        return HttpProblem(400, *SEVERAL_CREDENTIALS)
    return None


_FAILED = HttpProblem(500, *BY_STATUS[500])
