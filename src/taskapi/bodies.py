"""How a body is read: as JSON alone, to its end, and as strictly as it is documented."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from taskapi.problems import HttpProblem

_JSON = re.compile(
    r"application/(json|merge-patch\+json)\s*(;\s*charset=(\"?)utf-?8\3\s*)?", re.IGNORECASE
)
_DIGITS = 18  # enough to tell, of however many there are
ARRIVES_WITHIN = 5.0  # seconds; at 13 KB/s the largest body does


class JsonRequest(Request[Any, Any, Any]):
    """The request of every handler that takes `data`."""

    _arrived: bytes | None = None

    def given(self, header: bytes) -> str | None:
        """A header of those that are read here at all; all its lines, where there are several.

        Litestar's own dictionary of headers costs more to make than most bodies to read.
        """
        given: Mapping[bytes, bytes] = self.scope["state"]["given"]
        return None if (value := given.get(header)) is None else value.decode("latin-1")

    async def body(self) -> bytes:
        if self._arrived is None:
            self._arrived = await self._read()
        return self._arrived

    async def _read(self) -> bytes:
        limit = self.route_handler.resolve_request_max_body_size() or 0
        announced = self.given(b"content-length") or ""
        if announced.isdecimal() and int(announced[:_DIGITS]) > limit:
            raise RequestEntityTooLarge
        body = b""
        with suppress(TimeoutError):
            # Or clients that never finish would take every place there is.
            async with asyncio.timeout(ARRIVES_WITHIN):
                while (message := await self.receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise RequestEntityTooLarge
                    if not message.get("more_body"):
                        return body
        raise HttpProblem(400, "malformed_request", "The body did not arrive whole")

    async def json(self) -> Any:  # noqa: ANN401 - whatever the handler takes
        """Asked by Litestar when there is a body at all.

        It would convert as leniently as it does queries, where `0` may stand for false. An
        instance of the handler's own type passes through that unchanged.
        """
        media_type = self.given(b"content-type") or ""
        coding = self.given(b"content-encoding") or "identity"
        if not _JSON.fullmatch(media_type) or coding.lower() != "identity":
            raise HttpProblem(
                415,
                "unsupported_media_type",
                "Send the body as application/json in UTF-8",
                {"Accept": "application/json"},
            )
        found = await super().json()
        taken = self.route_handler.parsed_data_field
        try:
            return msgspec.convert(found, taken.annotation if taken else Any)
        except msgspec.ValidationError as error:
            raise ValidationException(extra=[_located(str(error))]) from None


def _located(message: str) -> dict[str, str]:
    """As Litestar tells of what it found itself; `data` is its word for the body as a whole."""
    said, _, path = message.partition(" - at `$")
    return {"message": said, "key": path.strip(".`") or "data", "source": "body"}
