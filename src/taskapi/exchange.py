"""One request and its response, as they pass the edge.

Here are the time and the pieces that a body may take, what is left of a refused body, the place and
the turn of a request, how long the request waits for the store, and
what metrics and traces count of it. Its log line is in `access_log.py`.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar.types import HTTPScope, Message, Receive, ReceiveMessage, Send
from structlog.typing import FilteringBoundLogger

from taskapi.access_log import log_request
from taskapi.body_limits import LARGEST_BODY, MAX_BODY_BYTES
from taskapi.capacity import Places
from taskapi.cors import Cors
from taskapi.drain_flag import is_draining
from taskapi.headers import completed
from taskapi.paths import HEALTH_PATHS
from taskapi.problems import HttpProblem
from taskapi.proxies import Proxies
from taskapi.request_state import RequestState, has_ended
from taskcore.ports import TimeBudget

if TYPE_CHECKING:  # imported only where they are asked for
    from taskapi.metrics.recorder import Recorder
    from taskapi.telemetry.traces import Traces

# Seconds in all that a request waits for the store: a connection, and a statement that hangs.
WAITS_FOR_STORE = 3.5
ARRIVES_WITHIN = 5.0  # seconds for a body of MAX_BODY_BYTES; enough at 13 KB/s
_BYTES_PER_SECOND = 13_000  # of what is beyond MAX_BODY_BYTES
# A body may arrive in so many pieces, and one more for each _PER_PIECE bytes. Each takes its time.
_PIECES = 256
_PER_PIECE = 256
_GATHERED = 65_536  # bytes of pieces that are put together at a time
_DISCARDED_BYTES = 131072
_DISCARDED_WITHIN = 1.0  # seconds
_DIGITS = 18  # of a Content-Length: enough to compare it, however many there are


def incomplete() -> HttpProblem:
    return HttpProblem(400, "malformed_request", "The body did not arrive whole")


class Exchange:
    """Completes the response's headers, sends no body to HEAD, and reads what was left unread."""

    def __init__(
        self,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        cors: Cors,
        proxies: Proxies,
        places: Places,
        recorder: "Recorder | None" = None,
        traces: "Traces | None" = None,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._places = places
        self._recorder = recorder  # until the request is counted
        self._started_at = time.perf_counter()
        self._patience = ARRIVES_WITHIN
        self._received = self._pieces = 0
        self.method = scope["method"]
        self.status: int | None = None
        self.is_overload = False  # if so, the rest of the body is not waited for
        self._holds_place = False
        self._seconds: float | None = None  # of a stream: until it began
        self.state = RequestState.of(scope, proxies)
        self.state.streaming = self._streaming
        self._span = None
        if traces is not None and scope["path"] not in HEALTH_PATHS:
            self._span = traces.begin(scope, self.state)
        self.client = proxies.stranger(self.state.client)
        subscriber = self.client.subscriber if self.client else None
        self.budget = TimeBudget(WAITS_FOR_STORE, subscriber, self._gone)
        headers = self.state.headers
        self._unread_body = b"transfer-encoding" in headers or (
            headers.get(b"content-length", b"0") != b"0"
        )
        self.allowed_origin = cors.allowed(headers.get(b"origin"))

    def enter(self) -> bool:
        """Whether there is a place for the request. `release` must follow in any case."""
        self._holds_place = True
        return self._places.enter(self.client)

    async def take_turn(self) -> bool:
        """Returns False if the request was displaced while it waited."""
        user = self.state.headers.get(b"authorization")
        return await self._places.turns.take(self, self.client, user)

    def release(self) -> None:
        """Give back the place and the turn, once: a stream does so when it begins.

        What the stream asks of the store while it lasts waits for each call, not for all.
        """
        self.budget.left = math.inf
        if self._holds_place:
            self._holds_place = False
            self._places.turns.end(self)
            self._places.leave(self.client)
            self._places.large.release(self)
        # Else the two would hold each other, and with them the server's request, until the garbage
        # collector runs: granian does not close a connection whose body is still held unread.
        self.state.streaming = has_ended
        self.budget.gone = None

    @asynccontextmanager
    async def _streaming(self) -> AsyncIterator[asyncio.Lock]:
        # While the stream lasts, no place bounds who waits for a body.
        if self._unread_body and not await self._discarded():
            self._patience = 0  # the refusal waits no longer
            raise incomplete()
        streams = self._places.streams
        with streams.joined(self.client):
            self._seconds = time.perf_counter() - self._started_at
            self.release()
            if self._span is not None:  # a trace of all that follows would never be complete
                self._span.end(self._scope.get("path_template"), HTTPStatus.OK)
            yield streams.catching_up(self.client)

    async def receive(self) -> ReceiveMessage:
        """Raises a refusal if no place is left to wait for the body, or then to be served.

        Raises `incomplete` if the client takes more than ARRIVES_WITHIN to send the body, and one
        more second for each _BYTES_PER_SECOND beyond MAX_BODY_BYTES. The wait for a turn does not
        count.
        """
        if not self._unread_body:
            return await self._receive()
        turns = self._places.turns
        deadline = asyncio.timeout(self._patience)
        # A health check has no place to leave.
        with self._places.arriving(self.client, deadline) if self._holds_place else nullcontext():
            had_turn = turns.step_aside(self)
            message = await self._arrived(deadline)
            self._unread_body = bool(message.get("more_body"))
            self._admit(message)
        if had_turn and not await self.take_turn():
            raise self._places.refusal()
        return message

    def _admit(self, message: ReceiveMessage) -> None:
        size = len(message["body"]) if message["type"] == "http.request" else 0
        self._received += size
        if self._received <= MAX_BODY_BYTES or self.status is not None:  # else it is discarded
            return
        if not self._places.large.admit(self, self.client, self._announced()):
            raise self._places.refusal()
        self._patience += size / _BYTES_PER_SECOND

    def _announced(self) -> int:
        """How large the body may become: one that is larger than LARGEST_BODY is refused."""
        length = self.state.headers.get(b"content-length", b"")
        if b"transfer-encoding" in self.state.headers or not length.isdigit():
            return LARGEST_BODY
        return min(int(length[:_DIGITS]), LARGEST_BODY)

    async def _arrived(self, deadline: asyncio.Timeout) -> ReceiveMessage:
        """Receive in time: clients that never finish could use up the places to wait in."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with deadline:
                return await self._gathered()
        except TimeoutError:
            raise incomplete() from None
        finally:
            self._patience -= loop.time() - began

    async def _gathered(self) -> ReceiveMessage:
        """The pieces that follow, put together: what a message costs is paid for once.

        Raises a refusal if the pieces are too many and too small.
        """
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return message
        pieces, size = [message["body"]], len(message["body"])
        while size < _GATHERED and message.get("more_body"):
            self._pieces += 1
            if self._pieces > _PIECES + (self._received + size) // _PER_PIECE:
                raise HttpProblem(
                    400, "malformed_request", "The body arrives in too many small pieces"
                )
            message = await self._receive()
            if message["type"] != "http.request":  # the client has left
                return message
            pieces.append(message["body"])
            size += len(message["body"])
        return {**message, "body": b"".join(pieces)}

    async def _gone(self) -> None:
        """Wait until the client has closed the connection.

        For ever while its body is unread: that would be read here, and lost.
        """
        if self._unread_body:
            await asyncio.get_running_loop().create_future()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = completed(message["headers"], self.state, self.allowed_origin)
            is_unread = self._unread_body and (self.is_overload or not await self._discarded())
            if is_unread or is_draining():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif message["type"] == "http.response.body" and self.method == "HEAD":
            if message.get("more_body"):
                return
            message["body"] = b""
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._count()  # before: what a client has received is counted, even if we are killed
        await self._send(message)

    async def _discarded(self) -> bool:
        """Read and discard the rest of a body that was refused unread. False if it is too long.

        Otherwise the next request on the connection would fail, or the response get lost. If the
        rest is too large or too slow, the connection is closed instead.
        """
        size = 0
        with suppress(TimeoutError, HttpProblem):
            async with asyncio.timeout(_DISCARDED_WITHIN):
                while self._unread_body and size <= _DISCARDED_BYTES:
                    message = await self.receive()
                    size += len(message["body"]) if message["type"] == "http.request" else 0
        return not self._unread_body

    def report(self, log: FilteringBoundLogger) -> None:
        """Write the line of the log, and end the trace if there is one."""
        self._count()
        log_request(
            log,
            self._scope,
            self.state,
            method=self.method,
            route=self._route,
            status=self.status,
            seconds=time.perf_counter() - self._started_at,
        )
        if self._span is not None:
            self._span.end(self._scope.get("path_template"), self.status)

    def _count(self) -> None:
        """Count the request once, if requests are. Without a status the client has left."""
        if self._recorder is None:
            return
        seconds = self._seconds or time.perf_counter() - self._started_at
        self._recorder.request(self.method, self._route, self.status or 499, seconds)
        self._recorder = None

    @property
    def _route(self) -> str:
        return self._scope.get("path_template") or "unmatched"
