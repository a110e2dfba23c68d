"""The arguments that several commands take."""

import re
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token

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


def _whole(_: type, tokens: Sequence[Token]) -> int:
    # cyclopts would round: `tasks delete 5.7` must not delete task 6.
    text = tokens[0].value
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ValueError(f'"{text}" is not a whole number')
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
Skip = Annotated[Whole, Parameter(help="Leave out so many of the newest.")]
Limit = Annotated[Whole, Parameter(help="Show so many at most (1 to 100).")]
Version = Annotated[
    Whole | None, Parameter(name="--expected-version", help="Refuse any other version (65).")
]
