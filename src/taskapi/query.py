"""Query parameters: integers, words and timestamps, parsed strictly."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self, TypeVar

import msgspec
from litestar._kwargs import extractors
from msgspec import Meta

from taskcore import Invalid, Problem
from taskcore.domain import rules
from taskcore.domain.rules import MAX_ID, MAX_LIMIT, MAX_SKIP, READ_ON

Choice = TypeVar("Choice")

_INTEGER = re.compile(r"-?[0-9]{1,19}")
NOT_AN_INTEGER = "must be a whole number"

# Litestar keeps the last 1024 queries of any client, parsed: at the longest that `edge` lets
# through, 160 KB each. There is no public way to keep fewer.
_KEPT_QUERIES = 32
for _name in ("parse_query_string", "create_query_default_dict"):
    _parse = getattr(extractors, _name).__wrapped__
    setattr(extractors, _name, lru_cache(_KEPT_QUERIES)(_parse))


class QueryInt(int):
    """An integer in plain digits. Without this class msgspec would also accept `1e1`."""

    low: ClassVar[int] = 1
    high: ClassVar[int] = MAX_ID
    advice: ClassVar[str] = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        if _INTEGER.fullmatch(text) and cls.low <= (number := cls(text)) <= cls.high:
            return number
        raise ValueError(f"{NOT_AN_INTEGER} from {cls.low} to {cls.high}{cls.advice}")

    @classmethod
    def meta(cls, description: str) -> Meta:
        bounds = {"type": "integer", "minimum": cls.low, "maximum": cls.high}
        return Meta(description=description, extra_json_schema=bounds)


def is_query_int(kind: Any) -> bool:  # noqa: ANN401 - any annotation of a handler
    return isinstance(kind, type) and issubclass(kind, QueryInt)


def decode_query_int(kind: type[QueryInt], value: Any) -> QueryInt:  # noqa: ANN401 - Litestar's
    return value if isinstance(value, QueryInt) else kind.parse(str(value))


class _Skip(QueryInt):
    low, high, advice = 0, MAX_SKIP, READ_ON


class _Limit(QueryInt):
    low, high = 1, MAX_LIMIT


Skip = Annotated[_Skip, _Skip.meta("How many to leave out, newest first")]
Limit = Annotated[_Limit, _Limit.meta("How many to return at most")]
DEFAULT_SKIP, DEFAULT_LIMIT = _Skip(0), _Limit(rules.DEFAULT_LIMIT)
# The default of a filter by user. Not None, which the query `owner_id=null` would also give; and
# below `low`, so that no client can send it.
ANY_USER = QueryInt(0)


def parse_choice(field: str, word: str | None, choices: Mapping[str, Choice]) -> Choice | None:
    """Raises Invalid for a word that is not among the choices."""
    if word is None:
        return None
    if (choice := choices.get(word.lower())) is None:
        raise Invalid(Problem(field, f"must be one of {', '.join(choices)}", "wrong_type"))
    return choice


_AwareDatetime = Annotated[datetime, Meta(tz=True)]


def parse_timestamp(field: str, text: str | None) -> datetime | None:
    """Raises Invalid for anything but RFC 3339 with an offset."""
    if text is None:
        return None
    try:
        # A plus in a query stands for a space, and few clients write the offset's plus as %2B.
        return msgspec.convert(text[:11] + text[11:].replace(" ", "+"), _AwareDatetime)
    except msgspec.ValidationError:
        detail = "must be a moment such as 2026-01-31T09:30:00Z"
        raise Invalid(Problem(field, detail, "wrong_type")) from None
