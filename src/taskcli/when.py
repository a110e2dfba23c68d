"""Days and moments as people type them: `2026-12-01`, `friday`, `-1w`, `tomorrow 09:00`.

What is typed is parsed before the core opens, so that a typing error costs nothing. Which day
`tomorrow` is depends on the user's time zone, which is known later.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, Self

from cyclopts import Parameter, Token

from taskcore.domain.dues import in_utc, local_moment, today
from taskcore.domain.visible import quoted

_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[a-z]+|[+-][0-9]{1,4}[dw])"
    r"(?:[t ]([0-9]{2}:[0-9]{2}.*))?"  # a time, and perhaps its offset from UTC
)
_NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {"d": 1, "w": 7}
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class When:
    """A day, or a time on a day."""

    _day: str
    _clock: time | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, with a sentence for people."""
        with suppress(ValueError):
            if form := _FORM.fullmatch(text.strip().lower()):
                when = cls(form[1], time.fromisoformat(form[2].upper()) if form[2] else None)
                when.resolved(_ANY_TIME, UTC)  # so that it never raises later
                return when
        raise ValueError(
            f"{quoted(text)} is neither a day, such as 2026-12-01, tomorrow, friday or +3d, nor a"
            " moment, such as 2026-12-01T09:00, 2026-12-01T09:00:00+01:00 or friday 09:00"
        )

    @property
    def is_day(self) -> bool:
        return self._clock is None

    def resolved(self, now: datetime, zone: tzinfo, *, past: bool = False) -> date | datetime:
        """The day, or the moment in UTC. A time without an offset is meant in the zone.

        A weekday is the next one after today; with `past` the last one, which may be today.
        """
        day = _day(self._day, today(now, zone), past=past)
        if self._clock is None:
            return day
        moment = datetime.combine(day, self._clock)
        if moment.tzinfo is None:
            return local_moment(moment, zone)
        if (known := in_utc(moment)) is None:
            raise ValueError(self._day)
        return known


def _day(word: str, here: date, *, past: bool) -> date:
    """Raises ValueError for a word that names none."""
    if word in _NEAR:
        return here + timedelta(_NEAR[word])
    if word in _WEEK:
        since = (here.weekday() - _WEEK.index(word)) % 7
        return here - timedelta(since) if past else here + timedelta(7 - since)
    if word[0] in "+-":
        return here + timedelta(int(word[:-1]) * _UNITS[word[-1]])
    return date.fromisoformat(word)


def _when(_: object, tokens: Sequence[Token]) -> When:
    return When.parse(tokens[0].value)


def _due(_: object, tokens: Sequence[Token]) -> When | Literal["none"]:
    text = tokens[0].value
    return "none" if text.lower() == "none" else When.parse(text)


# A hyphen may lead: `-1w` is no option. The fields of When are no options either.
Bound = Annotated[
    When | None,
    Parameter(converter=_when, allow_leading_hyphen=True, accepts_keys=False, n_tokens=1),
]
Due = Annotated[
    When | Literal["none"] | None,
    Parameter(
        converter=_due,
        allow_leading_hyphen=True,
        accepts_keys=False,
        n_tokens=1,
        show_choices=False,
    ),
]
