"""Idempotency-Key: a request that is sent again gets the answer of the first one.

How long an answer is kept, and how many: `taskcore/domain/idempotency.py`.
"""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.types import AnyCallable
from msgspec import Struct

from taskapi import logs
from taskapi.providers import ActorRequest
from taskapi.request_state import request_state
from taskapi.responses import AsgiResponse, JsonResponse, RawResponse
from taskcore import Core
from taskcore.domain.idempotency import MAX_KEY, check_key

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# A string of structured fields, RFC 9651 section 3.3.3, or the key as it is.
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*+)"')
_LONGEST = 2 * MAX_KEY + 2  # with each character escaped, and quotes
PATTERN = f'^([!#-~][!-~]{{0,{MAX_KEY - 1}}}|"([!#-[\\]-~]|\\\\["\\\\]){{1,{MAX_KEY}}}")$'

Handler = Callable[..., Awaitable[Any]]
_takes_key: set[AnyCallable] = set()


class _Kept(Struct, array_like=True):
    """What is kept of a response; the edge adds the headers that every response gets."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def once(handler: Handler) -> Handler:
    """Makes a handler behind `logged_in` answer a request with a key once.

    Its work, and its answer if that is a success, are one transaction. What it logs is written
    after that is committed.
    """
    return once_unless(lambda _: False)(handler)


def once_unless(is_secret: Callable[[dict[str, Any]], bool]) -> Callable[[Handler], Handler]:
    """As `once`, but for requests with a secret in the answer, which must not be stored.

    These are done each time. `is_secret` gets the arguments of the handler.
    """

    def decorated(handler: Handler) -> Handler:
        @wraps(handler)
        async def answered(**arguments: Any) -> Any:  # noqa: ANN401 - as Litestar calls handlers
            request: ActorRequest = arguments["request"]
            header = request.header(b"idempotency-key")
            if header is None:
                return await handler(**arguments)
            key = _unquoted(header)
            check_key(key)
            if is_secret(arguments):
                return await handler(**arguments)
            return await _answered(request, key, handler, arguments)

        _takes_key.add(answered)
        return answered

    return decorated


def takes_key(handler: HTTPRouteHandler) -> bool:
    return handler.fn in _takes_key


async def _answered(
    request: ActorRequest,
    key: str,
    handler: Callable[..., Awaitable[Any]],
    arguments: dict[str, Any],
) -> RawResponse:
    async def work(core: Core) -> bytes:
        request.bound_core = core
        answer = await handler(**arguments)
        response = answer if isinstance(answer, JsonResponse) else JsonResponse(answer)
        status = request.route_handler.status_code
        made = response.to_asgi_response(None, None, status_code=status)
        return msgspec.msgpack.encode(_Kept(made.status, made.headers, made.body))

    with logs.held():
        answer = await request.core.once(request.actor, key, await _identity(request), work)
    kept = msgspec.msgpack.decode(answer.content, type=_Kept)
    if answer.is_replay:
        request_state(request.scope).is_replay = True
        kept.headers.append((REPLAYED.lower().encode(), b"true"))
    return RawResponse(AsgiResponse(kept.status, kept.headers, kept.body))


async def _identity(request: ActorRequest) -> bytes:
    """What makes this the same request: what decides about its effect."""
    scope = request.scope
    conditions = request.header(b"if-match"), request.header(b"if-none-match")
    named = (scope["method"], scope["path"], scope["query_string"], conditions)
    return msgspec.msgpack.encode((*named, await request.body()))


def _unquoted(header: str) -> str:
    """The key, or an empty one for a malformed string, which the core refuses."""
    if not header.startswith('"'):
        return header
    if len(header) > _LONGEST:  # before it is looked at
        return ""
    match = _QUOTED.fullmatch(header)
    return re.sub(r"\\(.)", r"\1", match[1]) if match else ""
