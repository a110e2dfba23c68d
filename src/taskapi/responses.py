"""JSON responses, and the base class of the objects in their bodies."""

from typing import Any, Self, TypeVar, get_args, get_type_hints

import msgspec
from litestar import Response
from litestar.status_codes import HTTP_200_OK
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send
from msgspec import Struct

Content = TypeVar("Content")
encode = msgspec.json.Encoder(enc_hook=int).encode  # a QueryInt is sent as a plain number
_JSON = (b"content-type", b"application/json")


class View(Struct):
    """An allow-list of the fields that clients may see, so that no other can leak."""

    @classmethod
    def of(cls, entity: object) -> Self:
        return msgspec.convert(entity, cls, from_attributes=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def struct_in(annotation: Any) -> type[Struct] | None:  # noqa: ANN401 - a type expression
    """The struct in `Shape`, `list[Shape]`, `Response[Shape]` or `Response[Shape] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((shape for part in get_args(annotation) if (shape := struct_in(part))), None)


def fields_shown(annotation: Any, *, in_items: bool = False) -> frozenset[str]:  # noqa: ANN401 - a type expression
    """The fields of the view that a handler returns, or of the items of its list."""
    shape = struct_in(annotation)
    if shape is None:
        return frozenset()
    if in_items and "items" in shape.__struct_fields__:
        return fields_shown(get_type_hints(shape)["items"])
    return frozenset(shape.__struct_fields__)


class JsonResponse(Response[Content]):
    """JSON, or an empty body if the content is None.

    Litestar's own response also handles cookies, background tasks and custom encoders; looking
    for each costs more than everything done here.
    """

    def __init__(
        self,
        content: Content,
        *,
        status_code: int | None = None,
        headers: dict[str, str] | None = None,
        **_: Any,  # noqa: ANN401 - Litestar's other options
    ) -> None:
        self.content, self.status_code, self.headers = content, status_code, headers or {}

    def to_asgi_response(  # type: ignore[override]
        self,
        app: object,  # noqa: ARG002 - as Litestar calls it
        request: object,  # noqa: ARG002
        *,
        status_code: int | None = None,
        **_: Any,  # noqa: ANN401 - Litestar's other options
    ) -> "AsgiResponse":
        status = self.status_code or status_code or HTTP_200_OK
        headers = [(name.lower().encode(), text.encode()) for name, text in self.headers.items()]
        if self.content is None:
            return AsgiResponse(status, headers, b"")
        body = encode(self.content)
        headers += (_JSON, (b"content-length", str(len(body)).encode()))
        return AsgiResponse(status, headers, body)


class AsgiResponse:
    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": self.status,
            "headers": self.headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class RawResponse(Response[bytes]):
    """A response that is complete already."""

    def __init__(self, made: AsgiResponse) -> None:
        self._made = made

    def to_asgi_response(self, *_: object, **__: object) -> AsgiResponse:  # type: ignore[override]
        return self._made
