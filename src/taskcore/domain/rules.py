"""The limits on input, each stated once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskcore.domain.errors import Invalid, Problem

# The largest int8 of PostgreSQL, which holds identifiers and versions.
MAX_ID = 2**63 - 1

# C0 and C1 control characters except tab, line feed and carriage return. Refused, not removed: text
# is stored as sent. PostgreSQL text cannot hold NUL.
CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_CONTROL = re.compile(f"[{CONTROL}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TextRule:
    """Bounds on a text, in Unicode code points."""

    field: str
    min: int
    max: int

    def check(self, text: str) -> str:
        refuse(self.problem(text))
        return text

    def problem(self, text: object) -> Problem | None:
        if not isinstance(text, str):
            return Problem(self.field, "must be text", "wrong_type")
        if len(text) < self.min:
            return Problem(self.field, f"needs at least {_characters(self.min)}", "too_short")
        if len(text) > self.max:
            return Problem(self.field, f"takes at most {self.max} characters", "too_long")
        if _CONTROL.search(text):
            return Problem(self.field, "must not hold control characters", "control_character")
        if not text.isascii() and _SURROGATE.search(text):
            return Problem(self.field, "must be text that UTF-8 can hold", "not_unicode")
        return None


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


TITLE = TextRule("title", 1, 255)
DESCRIPTION = TextRule("description", 0, 5000)
TASK_RULES = (TITLE, DESCRIPTION)
FULL_NAME = TextRule("full_name", 0, 255)
# Twice the longest name of the IANA time zone database. `dues` knows the names.
TIME_ZONE = TextRule("time_zone", 1, 64)
# RFC 5321 allows 254 octets in a path without its brackets; the shortest address is `a@b`.
EMAIL = TextRule("email", 3, 254)
# NIST SP 800-63B: count code points after normalisation, never truncate. The maximum is ours.
PASSWORD = TextRule("password", 8, 256)


def refuse(*problems: Problem | None) -> None:
    """Raises Invalid with all problems at once, unless there are none."""
    if broken := [problem for problem in problems if problem]:
        raise Invalid(*broken)


def check(content: Mapping[str, object], rules: Iterable[TextRule]) -> None:
    """Raises Invalid, with every rule that a text in `content` breaks."""
    refuse(*(rule.problem(content[rule.field]) for rule in rules if rule.field in content))


class Refusals:
    """Collects the problems of several blocks, to raise them all at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, refusal: BaseException | None, __: object) -> bool:
        if isinstance(refusal, Invalid):
            self._problems += refusal.problems
            return True
        return False

    def raise_all(self) -> None:
        """Raises Invalid if there are problems."""
        refuse(*self._problems)


def only(changes: Mapping[str, object], shape: type) -> None:
    """Raises TypeError for names that are not in the TypedDict `shape`."""
    if unknown := changes.keys() - shape.__annotations__.keys():
        raise TypeError(f"cannot change {', '.join(sorted(unknown))}")


# The store reads the rows that it skips: ten thousand take milliseconds.
MAX_SKIP = 10_000
DEFAULT_LIMIT = 100
MAX_LIMIT = 100
READ_ON = "; read on with a cursor"


def check_slice(skip: int, limit: int, most: int = MAX_LIMIT) -> None:
    """Raises Invalid for a `skip` or `limit` out of range."""
    bounds = (("skip", skip, 0, MAX_SKIP, READ_ON), ("limit", limit, 1, most, ""))
    refuse(
        *(
            Problem(name, f"must be from {low} to {high}{advice}", "out_of_range")
            for name, value, low, high, advice in bounds
            if not low <= value <= high
        )
    )
