"""What the edge reads off a request: its id, its client and the headers that matter."""

import random
import re
from asyncio import Lock
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Self

from litestar.types import HTTPScope, Scope

from taskapi.logs import REQUEST_ID
from taskapi.proxies import Proxies
from taskcore import Actor

_HEADERS = {
    *(b"origin", b"x-request-id", b"content-length", b"transfer-encoding", b"content-type"),
    *(b"content-encoding", b"authorization", b"user-agent", b"if-match", b"if-none-match"),
    *(b"last-event-id", b"idempotency-key", b"accept-encoding", b"traceparent"),
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = "taskapi"
MAX_HEADER_BYTES = 16384  # of all together; an access token takes 400


def has_ended() -> AbstractAsyncContextManager[Lock]:
    """The default of `streaming`, for a request that holds no place in the server."""
    raise RuntimeError("a stream begins once, and before the response")


@dataclass(slots=True)
class RequestState:
    request_id: str
    client: str | None  # the IP address
    is_secure: bool  # whether the client uses TLS
    headers: Mapping[bytes, bytes]  # those in `_HEADERS`; Litestar's own take longer to build
    path: bytes  # as the client has sent it
    is_head: bool  # HEAD: the response has no body
    header_bytes: int  # of names and values
    actor: Actor | None = None  # set by `providers.logged_in`
    is_replay: bool = False  # whether the answer is that of an earlier request
    streaming: Callable[[], AbstractAsyncContextManager[Lock]] = has_ended
    """Gives back the request's place and turn, which a stream must not hold while it lasts.

    Yields the lock to hold while the stream sends what its client has missed. Raises HttpProblem if
    the request has a body that does not arrive, and TooMany if its client has as many streams as it
    may.
    """

    @classmethod
    def of(cls, scope: HTTPScope, proxies: Proxies) -> Self:
        """Read the request, and attach the state to it. Keeps an id that fits _REQUEST_ID."""
        headers: dict[bytes, bytes] = {}
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name not in _HEADERS:
                continue
            if name not in headers:
                headers[name] = value
            elif size <= MAX_HEADER_BYTES:  # else the request is refused
                headers[name] += b", " + value  # several lines are one list: RFC 9110 section 5.3
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = random.randbytes(16).hex()  # noqa: S311 - an id, not a secret
        REQUEST_ID.set(request_id)
        peer = scope["client"][0] if scope["client"] else None
        path = scope["raw_path"] or scope["path"].encode()
        is_head = scope["method"] == "HEAD"
        state = cls(request_id, *proxies.client(peer, scope), headers, path, is_head, size)
        scope["state"][_KEY] = state
        return state

    def header(self, name: bytes) -> str | None:
        """The value of a header in _HEADERS. Several lines of it are one list, with commas."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def request_state(scope: Scope) -> RequestState:
    state: RequestState = scope["state"][_KEY]
    return state
