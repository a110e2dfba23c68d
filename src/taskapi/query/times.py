"""Times in a query: a moment, or a moment or a day."""

from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from taskcore import Invalid, Problem

_AwareDatetime = Annotated[datetime, Meta(tz=True)]
_MOMENT = "2026-01-31T09:30:00Z"
_DAY = "2026-01-31"


def moment(description: str) -> Meta:
    """Documents a `str` that `parse_timestamp` reads."""
    return Meta(
        description=f"{description}: RFC 3339, with its offset",
        extra_json_schema={"format": "date-time"},
    )


def moment_or_day(description: str) -> Meta:
    """Documents a `str` that `parse_moment_or_day` reads."""
    return Meta(
        description=f"{description}: a day, or a moment in RFC 3339 with its offset",
        extra_json_schema={
            "anyOf": [{"format": "date"}, {"format": "date-time"}],
            "examples": [_DAY, _MOMENT],
        },
    )


def parse_timestamp(field: str, text: str | None) -> datetime | None:
    """The moment in UTC. Raises Invalid for anything but RFC 3339 with an offset."""
    if text is None:
        return None
    if (found := _moment(text)) is None:
        raise Invalid(Problem(field, f"must be a moment such as {_MOMENT}", "wrong_type"))
    return found


def parse_moment_or_day(field: str, text: str | None) -> date | datetime | None:
    """A moment in UTC, or a day, which is not a `datetime`. Raises Invalid for anything else."""
    if text is None:
        return None
    if (found := _moment(text) or _day(text)) is None:
        detail = f"must be a day such as {_DAY} or a moment such as {_MOMENT}"
        raise Invalid(Problem(field, detail, "wrong_type"))
    return found


def _moment(text: str) -> datetime | None:
    try:
        # A plus in a query stands for a space, and few clients write the offset's plus as %2B.
        found = msgspec.convert(text[:11] + text[11:].replace(" ", "+"), _AwareDatetime)
        return found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):  # the latter near the years 1 and 9999
        return None


def _day(text: str) -> date | None:
    try:
        return msgspec.convert(text, date)
    except msgspec.ValidationError:
        return None
