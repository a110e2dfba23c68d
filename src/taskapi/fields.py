"""Types of the fields in JSON bodies, with their limits and examples in the OpenAPI document."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from taskcore import Role
from taskcore.domain.rules import (
    CONTROL,
    DESCRIPTION,
    EMAIL,
    FULL_NAME,
    MAX_ID,
    PASSWORD,
    TIME_ZONE,
    TITLE,
    TextRule,
)


def _documented(rule: TextRule, example: str, **more: object) -> Meta:
    """The rule's limits, for the document only: the domain enforces them."""
    schema: dict[str, object] = {
        "minLength": rule.min,
        "maxLength": rule.max,
        "examples": [example],
    }
    return Meta(extra_json_schema=schema | more)


_PLAIN_TEXT = "^[^" + CONTROL.replace(r"\x", r"\u00") + "]*$"

Title = Annotated[str, _documented(TITLE, "Write the letter", pattern=_PLAIN_TEXT)]
Description = Annotated[str, _documented(DESCRIPTION, "Two pages, by hand", pattern=_PLAIN_TEXT)]
FullName = Annotated[str, _documented(FULL_NAME, "Ada Lovelace", pattern=_PLAIN_TEXT)]
Email = Annotated[str, _documented(EMAIL, "ada@example.org", format="email")]
NewPassword = Annotated[
    str, _documented(PASSWORD, "correct horse battery", format="password", pattern="^[^\\u0000]*$")
]
# A password to compare has no rule of its own: one that breaks the rules is simply wrong.
Password = Annotated[
    str, Meta(extra_json_schema={"format": "password", "examples": ["correct horse battery"]})
]
TimeZone = Annotated[
    str,
    _documented(
        TIME_ZONE,
        "Europe/Berlin",
        format="time-zone",
        description="A name of the IANA time zone database",
    ),
]
Id = Annotated[int, Meta(ge=1, le=MAX_ID, examples=[1])]
Version = Annotated[int, Meta(ge=1, le=MAX_ID, description="Counts the changes", examples=[1])]
Timestamp = Annotated[
    datetime, Meta(description="RFC 3339, in UTC", examples=["2026-01-31T09:30:00Z"])
]
# Not `admin`: trying out the example must not create an administrator.
UserRole = Annotated[Role, Meta(examples=[Role.USER.value])]
IsActive = Annotated[bool, Meta(examples=[True])]
Total = Annotated[
    Annotated[int, Meta(ge=0, examples=[1])] | None,
    Meta(
        description="How many there are in all. Tasks always have it. Others are counted for "
        "each page: null with a cursor, and where counting takes more than two seconds",
    ),
]
Ip = Annotated[str, Meta(description="An IP address", examples=["192.0.2.7"])]
UserAgent = Annotated[str, Meta(description="What the client calls itself", examples=["curl/8.5"])]
