"""The arguments that several commands take."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated

from cyclopts import Parameter, Token

from taskcli.exits import Usage
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP
from taskcore.domain.printable import quoted

Json = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print one JSON object, shaped as over HTTP.",
    ),
]
Yes = Annotated[bool, Parameter(name="--yes", negative="", show_default=False, help="Do not ask.")]
DryRun = Annotated[
    bool,
    Parameter(
        name="--dry-run",
        negative="",
        show_default=False,
        help="Say what would be done, and change nothing.",
    ),
]


def meant(word: str, words: Sequence[str]) -> str:
    """A question about the word that is most alike, if one is; advice for several in one."""
    if "," in word and all(each.strip().lower() in words for each in word.split(",")):
        return "; for several repeat the option"
    bare = {name.lstrip("-"): name for name in words}
    found = get_close_matches(word.lstrip("-"), bare, n=1)
    return "".join(f"; did you mean {bare[name]}?" for name in found)


def one_of(text: str, words: Sequence[str]) -> str:
    """Raises ValueError, with a sentence for people."""
    if text.lower() not in words:
        raise ValueError(f"{quoted(text)} is none of {', '.join(words)}{meant(text, words)}")
    return text.lower()


def whole(text: str) -> int:
    """Raises ValueError, with a sentence for people."""
    # cyclopts would round, and `tasks delete 5.7` must not delete task 6.
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ValueError(f"{quoted(text)} is not a whole number")
    return int(text)


def _whole(_: object, tokens: Sequence[Token]) -> int:
    return whole(tokens[0].value)


Whole = Annotated[int, Parameter(converter=_whole, metavar="NUMBER")]
Cursor = Annotated[
    str,
    Parameter(
        show_default=False,
        metavar="CURSOR",
        help="Continue after the previous page: the cursor it printed.",
    ),
]
Version = Annotated[
    Whole | None,
    Parameter(
        name="--expected-version",
        metavar="NUMBER",
        help="Exit with 65 unless the task has this version.",
    ),
]
USER = "EMAIL|ID"
"""How help pages write a value that names a user."""


ALL = "--all"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Paging:
    """Which page of a list, and how it is printed."""

    skip: Annotated[Whole, Parameter(help=f"Skip this many rows, up to {MAX_SKIP}.")] = 0
    limit: Annotated[Whole, Parameter(help=f"Show at most this many, 1 to {MAX_LIMIT}.")] = (
        DEFAULT_LIMIT
    )
    cursor: Cursor = ""
    every: Annotated[
        bool,
        Parameter(
            name=ALL,
            negative="",
            show_default=False,
            help="Show all, and not a page: with --json or in a pipe, an export.",
        ),
    ] = False
    as_json: Json = False

    def __post_init__(self) -> None:
        """Raises Invalid, and Usage where a limit contradicts --all."""
        if not 1 <= self.limit <= MAX_LIMIT:
            detail = f"must be from 1 to {MAX_LIMIT}; {ALL} shows all"
            raise Invalid(Problem("--limit", detail, "out_of_range"))
        if self.every and self.limit != DEFAULT_LIMIT:
            raise Usage(f"{ALL} shows all: leave it out, or --limit")


FIRST_PAGE = Paging()
