"""The tree of refusals."""

import re
from collections.abc import Iterator

import pytest

from taskcore.domain import errors
from taskcore.domain.errors import (
    ExpiredToken,
    Invalid,
    InvalidToken,
    Misconfigured,
    NotMigrated,
    Problem,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)


def below(kind: type[TaskcoreError]) -> Iterator[type[TaskcoreError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from below(child)


# Adapters may have leaves of their own; the tree is what this module draws.
KINDS = [
    kind
    for kind in below(TaskcoreError)
    if kind is not TaskcoreError and kind.__module__ == errors.__name__
]


def test_every_refusal_has_a_slug_of_its_own_and_a_title() -> None:
    codes = [kind.__dict__["code"] for kind in KINDS]
    assert len(set(codes)) == len(codes)
    for kind in KINDS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        assert kind.__dict__["title"]


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    branch = re.compile(r"^[ \u2502]*[\u251c\u2514]\u2500\u2500 (\w+)", re.MULTILINE)
    drawn = branch.findall(errors.__doc__ or "")
    assert sorted(drawn) == sorted(kind.__name__ for kind in KINDS)


def test_a_refusal_speaks_for_itself() -> None:
    assert str(InvalidToken()) == InvalidToken().detail == InvalidToken.title
    assert InvalidToken("no").detail == "no"
    assert (Unavailable().retry_after, TooMany("wait", retry_after=9).retry_after) == (1.0, 9)
    assert NotMigrated().retry_after == 1.0
    assert Misconfigured(["A is wrong", "B too"]).problems == ("A is wrong", "B too")
    assert str(Misconfigured(["A is wrong", "B too"])) == "A is wrong\nB too"
    problems = Problem("a", "is bad", "x"), Problem("b", "is worse", "y")
    assert Invalid(*problems).problems == problems
    assert str(Invalid(*problems)) == "a: is bad; b: is worse"


def test_an_expired_token_is_not_valid_and_means_no_login() -> None:
    assert issubclass(ExpiredToken, InvalidToken)
    assert issubclass(InvalidToken, Unauthenticated)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (1.2, "2 seconds"),
        (120, "120 seconds"),
        (120.5, "3 minutes"),
        (7200, "120 minutes"),
        (7201, "3 hours"),
        (25_920, "8 hours"),
    ],
)
def test_a_wait_is_told_in_words_and_never_too_short(seconds: float, words: str) -> None:
    assert TooMany(retry_after=seconds).detail == f"Too many attempts; try again in {words}"
    assert TooMany("Otherwise", retry_after=seconds).detail == "Otherwise"
