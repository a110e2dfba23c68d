"""How an answer is sent."""

from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.status_codes import HTTP_200_OK
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

Content = TypeVar("Content")
# A Whole is a plain number to clients.
_encode = msgspec.json.Encoder(enc_hook=int).encode
_JSON = (b"content-type", b"application/json")


class Answer(Response[Content]):
    """JSON, or nothing where the content is None.

    Litestar's own response can do much more, cookies and background tasks and encoders of one's
    own; looking for each costs more than all that happens here.
    """

    def __init__(
        self,
        content: Content,
        *,
        status_code: int | None = None,
        headers: dict[str, str] | None = None,
        **_: Any,  # noqa: ANN401 - what Litestar would have otherwise
    ) -> None:
        self.content, self.status_code, self.headers = content, status_code, headers or {}

    def to_asgi_response(  # type: ignore[override]
        self,
        app: object,  # noqa: ARG002 - as Litestar calls it
        request: object,  # noqa: ARG002
        *,
        status_code: int | None = None,
        **_: Any,  # noqa: ANN401 - what was not asked for
    ) -> "_Sent":
        status = self.status_code or status_code or HTTP_200_OK
        headers = [(name.lower().encode(), text.encode()) for name, text in self.headers.items()]
        if self.content is None:
            return _Sent(status, headers, b"")
        body = _encode(self.content)
        headers += (_JSON, (b"content-length", str(len(body)).encode()))
        return _Sent(status, headers, body)


class _Sent:
    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._status, self._headers, self._body = status, headers, body

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": self._status,
            "headers": self._headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
