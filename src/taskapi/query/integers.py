"""Integers in a query: the type of each, with its bounds."""

import re
from typing import Annotated, Any, ClassVar, Self

from msgspec import Meta

from taskcore.domain import pages
from taskcore.domain.ids import MAX_ID
from taskcore.domain.pages import MAX_LIMIT, MAX_SKIP, READ_ON

_INTEGER = re.compile(r"-?[0-9]{1,19}")
NOT_AN_INTEGER = "must be a whole number"


class QueryInt(int):
    """An integer in plain digits. Without this class msgspec would also accept `1e1`."""

    low: ClassVar[int] = 1
    high: ClassVar[int] = MAX_ID
    advice: ClassVar[str] = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        if _INTEGER.fullmatch(text) and cls.low <= (number := cls(text)) <= cls.high:
            return number
        raise ValueError(cls.refusal())

    @classmethod
    def refusal(cls) -> str:
        return f"{NOT_AN_INTEGER} from {cls.low} to {cls.high}{cls.advice}"

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


Skip = Annotated[
    _Skip, _Skip.meta("How many to leave out at the beginning, in the order of the list")
]
Limit = Annotated[_Limit, _Limit.meta("How many to return at most")]
DEFAULT_SKIP, DEFAULT_LIMIT = _Skip(0), _Limit(pages.DEFAULT_LIMIT)
# The default of a filter by user. Not None, which the query `owner_id=null` would also give; and
# below `low`, so that no client can send it.
ANY_USER = QueryInt(0)
