"""Values of query parameters, parsed strictly: one file for each kind."""

from taskapi.query.choices import (
    BOOLEANS,
    ONLY_TRUE,
    flag,
    one_of,
    parse_choice,
    parse_choices,
    several,
)
from taskapi.query.integers import (
    ANY_USER,
    DEFAULT_LIMIT,
    DEFAULT_SKIP,
    NOT_AN_INTEGER,
    Limit,
    QueryInt,
    Skip,
    decode_query_int,
    is_query_int,
)
from taskapi.query.times import moment, moment_or_day, parse_moment_or_day, parse_timestamp

__all__ = [
    "ANY_USER",
    "BOOLEANS",
    "DEFAULT_LIMIT",
    "DEFAULT_SKIP",
    "NOT_AN_INTEGER",
    "ONLY_TRUE",
    "Limit",
    "QueryInt",
    "Skip",
    "decode_query_int",
    "flag",
    "is_query_int",
    "moment",
    "moment_or_day",
    "one_of",
    "parse_choice",
    "parse_choices",
    "parse_moment_or_day",
    "parse_timestamp",
    "several",
]
