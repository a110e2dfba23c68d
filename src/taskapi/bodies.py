"""How a request body is read: JSON only, completely, and as strictly as it is documented."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import msgspec
from litestar import Request
from litestar.exceptions import SerializationException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from msgspec import UNSET, Struct

from taskapi.exchange import incomplete
from taskapi.problems import BY_STATUS, HttpProblem
from taskapi.request_state import request_state

# RFC 9110 section 5.6.6: blanks around each `;`, after which a parameter may be left out.
_JSON = re.compile(
    r"application/(?:json|merge-patch\+json)(?:[ \t]*+;[ \t]*+(?:charset=(\"?)utf-?8\1)?)*+[ \t]*+",
    re.IGNORECASE,
)
_DIGITS = 18  # of a Content-Length: enough to compare it, however many there are


class Body(Struct, forbid_unknown_fields=True):
    """What clients send. Unknown fields are errors, because ignoring them would hide mistakes."""

    shown: ClassVar[Sequence[str]] = ()
    """The fields of the example in the document, if not all."""

    def __repr__(self) -> str:  # the fields may hold passwords and tokens
        return f"{type(self).__name__}(…)"


def fields_set(body: Body) -> dict[str, Any]:
    """The fields that the client sent, or that have a default: absent is not null."""
    fields = msgspec.structs.asdict(body)
    return {name: value for name, value in fields.items() if value is not UNSET}


class JsonRequest(Request[Any, Any, Any]):
    """The request of every handler that takes `data`."""

    _content: bytes | None = None

    def header(self, name: bytes) -> str | None:
        """One of the headers that the edge keeps."""
        return request_state(self.scope).header(name)

    async def body(self) -> bytes:
        if self._content is None:
            self._content = await self._read()
        return self._content

    async def _read(self) -> bytes:
        limit = self.route_handler.resolve_request_max_body_size() or 0
        announced = self.header(b"content-length") or ""
        if announced.isdecimal() and int(announced[:_DIGITS]) > limit:
            raise RequestEntityTooLarge
        body = b""
        while (message := await self.receive())["type"] == "http.request":
            body += message.get("body", b"")
            if len(body) > limit:
                raise RequestEntityTooLarge
            if not message.get("more_body"):
                return body
        raise incomplete()

    async def json(self) -> Any:  # noqa: ANN401 - whatever the handler takes
        """Called by Litestar if there is a body.

        Makes the type that the handler takes at once: what does not fit is refused where it stands,
        and the rest of it is not made. Litestar would convert as leniently as it does queries,
        where `0` may stand for false; it passes an instance of that type through unchanged.
        """
        media_type = self.header(b"content-type") or ""
        coding = self.header(b"content-encoding") or "identity"
        if not _JSON.fullmatch(media_type) or coding.lower() != "identity":
            raise HttpProblem(415, *BY_STATUS[415], {"Accept": "application/json"})
        content = await self.body()
        data = self.route_handler.parsed_data_field
        try:
            return _decoder(data.annotation if data else Any).decode(content)
        except msgspec.ValidationError as error:
            reason = str(error)
        except msgspec.DecodeError as error:
            raise SerializationException(str(error)) from None
        _check_syntax(content)
        raise ValidationException(extra=[_field_error(reason)])


@cache  # once for each handler
def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _check_syntax(content: bytes) -> None:
    """Raises UnicodeDecodeError and SerializationException: what is no JSON is refused as such.

    That it has a wrong field as well, further to the front, does not matter then.
    """
    content.decode()
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise SerializationException(str(error)) from None


def _field_error(message: str) -> dict[str, str]:
    """In the form of Litestar's own errors; `data` is its name for the whole body."""
    reason, _, path = message.partition(" - at `$")
    return {"message": reason, "key": path.strip(".`") or "data", "source": "body"}
