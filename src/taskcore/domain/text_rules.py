"""Which characters a text may hold, and what a bound on its length is.

The bounds stand with what they bound: `TITLE` in `tasks.py`, `EMAIL` in `emails.py`, and so on.
"""

import re
from dataclasses import dataclass

from taskcore.domain.errors import Problem
from taskcore.domain.refusals import refuse

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
