"""The parts of URL paths: the prefix of the API, the health checks, and how ids are read."""

import re
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from taskcore import NotFound, SessionId
from taskcore.domain.ids import MAX_ID

PREFIX = "/api/v1"
HEALTH_PATHS = ("/livez", "/readyz")

SessionUuid = Annotated[
    str,
    Meta(
        extra_json_schema={
            "format": "uuid",
            "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        }
    ),
]
_ID = re.compile(r"[1-9][0-9]{0,18}")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_id(text: str) -> int:
    """Raises NotFound for any spelling but plain decimal digits without leading zeros."""
    if not _ID.fullmatch(text) or int(text) > MAX_ID:
        raise NotFound
    return int(text)


def parse_session_id(text: str) -> SessionId:
    """Raises NotFound for any spelling but the canonical one of a UUID."""
    if not _UUID.fullmatch(text):
        raise NotFound
    return SessionId(UUID(text))
