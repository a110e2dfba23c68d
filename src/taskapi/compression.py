"""gzip, for answers in which no secret stands beside text that others chose.

The handlers choose what may be compressed: lists of tasks and the documentation. docs/security.md
says what is never compressed, and why.
"""

import asyncio
import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from litestar import Response
from litestar.status_codes import HTTP_304_NOT_MODIFIED
from litestar.types import Receive, Scope, Send

from taskapi.etags import matches
from taskapi.problems import AnyRequest
from taskapi.request_state import request_state
from taskapi.responses import AsgiResponse, Content, JsonResponse
from taskcore import Actor, Overloaded
from taskcore.lanes import Lane

LEAST = 1024  # bytes: below, the headers outweigh what is saved
_AT_ONCE = 32768  # bytes, which take half a millisecond; larger ones are packed in a thread
# One thread, because each takes time of a core from the event loop and the database. Users take
# turns; what would wait for longer is sent as it is.
_THREADS = 1
_PATIENCE = 0.2  # seconds
_LEVEL = 1  # higher ones save 5 % more, and take up to twice as long
_GZIP = 16 + zlib.MAX_WBITS
_MOST_CODINGS = 20  # clients send up to five
_packer = ThreadPoolExecutor(_THREADS, "gzip")
_turns = Lane(width=_THREADS, wait=_PATIENCE)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the header allows gzip (RFC 9110 section 12.5.3). Without a header it does not.

    Only the first _MOST_CODINGS count.
    """
    weights: dict[str, bool] = {}
    for item in (accept_encoding or "").lower().split(",", _MOST_CODINGS)[:_MOST_CODINGS]:
        coding, _, weight = item.partition(";")
        name, _, value = weight.strip().partition("=")
        weights[coding.strip()] = name != "q" or value.strip("0. ") != ""
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _packed(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


class PackableJson(JsonResponse[Content]):
    """A JSON response without a secret that stands beside text of others.

    It has no ETag, because each coding would need one of its own.
    """

    def to_asgi_response(  # type: ignore[override]
        self,
        app: object,
        request: object,
        *,
        status_code: int | None = None,
        **_: Any,  # noqa: ANN401 - Litestar's other options
    ) -> AsgiResponse:
        made = super().to_asgi_response(app, request, status_code=status_code)
        if len(made.body) < LEAST:
            return made
        return _Packable(made.status, made.headers, made.body)


class _Packable(AsgiResponse):
    __slots__ = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers.append((b"vary", b"Accept-Encoding"))
        if accepts_gzip(request_state(scope).header(b"accept-encoding")):
            if len(self.body) <= _AT_ONCE:
                self._take(_packed(self.body))
            else:
                with suppress(Overloaded):
                    await self._pack_in_turn(request_state(scope).actor)
        await super().__call__(scope, receive, send)

    async def _pack_in_turn(self, actor: Actor | None) -> None:
        async with _turns.turn(actor and actor.user_id):
            loop = asyncio.get_running_loop()
            self._take(await loop.run_in_executor(_packer, _packed, self.body))

    def _take(self, packed: bytes) -> None:
        self.body = packed
        length = str(len(packed)).encode()
        self.headers = [each for each in self.headers if each[0] != b"content-length"]
        self.headers += [(b"content-encoding", b"gzip"), (b"content-length", length)]


@dataclass(frozen=True)
class Kept:
    """A text that is the same for every client: as it is, packed, and the digest for its tags."""

    body: bytes
    packed: bytes
    digest: str

    def answer(
        self, request: AnyRequest, media_type: str, headers: dict[str, str]
    ) -> Response[bytes]:
        """All of it, or a 304 for a client that has it."""
        is_packed = accepts_gzip(request.headers.get("accept-encoding"))
        tag = f'"{self.digest}-gzip"' if is_packed else f'"{self.digest}"'
        # Revalidation costs a 304, and what was changed is seen at once.
        headers = {"cache-control": "no-cache", "vary": "Accept-Encoding", "etag": tag} | headers
        if matches(request.headers.get("if-none-match"), f'"{self.digest}"'):
            return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
        if is_packed:
            headers["content-encoding"] = "gzip"
        content = self.packed if is_packed else self.body
        return Response(content, media_type=media_type, headers=headers)


@lru_cache(maxsize=8)  # the document and the pages: none is made by a client
def kept(body: bytes) -> Kept:
    """Packing takes some milliseconds, once."""
    return Kept(body, gzip.compress(body, mtime=0), sha256(body).hexdigest()[:32])
