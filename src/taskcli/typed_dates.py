"""Days and moments as people type them: `2026-12-01`, `fri`, `-1w`, `18:00`, `tomorrow 9:00`.

What is typed is parsed before the core opens, so that a typing error costs nothing. Which day
`tomorrow` is depends on the user's time zone, which is known later.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, Self

from cyclopts import Parameter, Token

from taskcore.domain.dues import in_utc, local_moment, today
from taskcore.domain.printable import quoted

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[a-z]+|[+-][0-9]{1,4}[dw]"
_TIME = r"[0-9]{1,2}:[0-9]{2}.*"  # perhaps with seconds, and with its offset from UTC
_FORM = re.compile(rf"({_DAY})(?:[t ]({_TIME}))?|({_TIME})")
_NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT_WEEK = tuple(name[:3] for name in _WEEK)
_UNITS = {"d": 1, "w": 7}
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_ACCEPTED = (
    "type a day (2026-12-01, today, tomorrow, yesterday, friday or fri, +3d, -2w), a time of today"
    ' (18:00), or both ("fri 17:30", 2026-12-01T09:00, 2026-12-01T09:00+01:00)'
)


@dataclass(frozen=True, slots=True)
class When:
    """A day, or a time on a day."""

    _day: str
    _clock: time | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, with a sentence for people."""
        if form := _FORM.fullmatch(" ".join(text.lower().split())):
            day, clock = form[1] or "today", form[2] or form[3]
            with suppress(ValueError):
                when = cls(day, _time(clock) if clock else None)
                when.resolved(_ANY_TIME, UTC)  # so that it never raises later
                return when
            if day[0].isdigit() and not _is_in_calendar(day):
                raise ValueError(f"there is no day {day} in the calendar")
        raise ValueError(f"{quoted(text)} is not understood; {_ACCEPTED}")

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

    def skipped(self, now: datetime, zone: tzinfo) -> datetime | None:
        """The local time that was typed, if no clock in the zone ever shows it; else None."""
        if self._clock is None or self._clock.tzinfo is not None:
            return None
        local = datetime.combine(_day(self._day, today(now, zone), past=False), self._clock)
        shown = local_moment(local, zone).astimezone(zone)
        return None if shown.replace(tzinfo=None) == local else local


def _is_in_calendar(day: str) -> bool:
    with suppress(ValueError):
        return bool(date.fromisoformat(day))
    return False


def _time(text: str) -> time:
    """Raises ValueError."""
    return time.fromisoformat(f"0{text}".upper() if text[1] == ":" else text.upper())


def _day(word: str, here: date, *, past: bool) -> date:
    """Raises ValueError for a word that names none."""
    if word in _NEAR:
        return here + timedelta(_NEAR[word])
    if word in _WEEK or word in _SHORT_WEEK:
        number = _WEEK.index(word) if word in _WEEK else _SHORT_WEEK.index(word)
        since = (here.weekday() - number) % 7
        return here - timedelta(since) if past else here + timedelta(7 - since)
    if word[0] in "+-":
        return here + timedelta(int(word[:-1]) * _UNITS[word[-1]])
    return date.fromisoformat(word)


def _when(_: object, tokens: Sequence[Token]) -> When:
    return When.parse(tokens[0].value)


def _due(_: object, tokens: Sequence[Token]) -> When | Literal["none"]:
    text = tokens[0].value
    if text.lower() == "none":
        return "none"
    return When.parse(text)


def _changed_due(argument: object, tokens: Sequence[Token]) -> When | Literal["none"]:
    try:
        return _due(argument, tokens)
    except ValueError as refusal:
        raise ValueError(f"{refusal}; `none` takes the due away") from None


def typed(converter: Callable[[object, Sequence[Token]], object], metavar: str) -> Parameter:
    """A parameter whose value may begin with a hyphen, as `-1w`. Fields of When are no options."""
    return Parameter(
        converter=converter,
        allow_leading_hyphen=True,
        accepts_keys=False,
        n_tokens=1,
        show_choices=False,
        metavar=metavar,
    )


Bound = Annotated[When | None, typed(_when, "WHEN")]
Due = Annotated[When | Literal["none"] | None, typed(_due, "WHEN")]
ChangedDue = Annotated[When | Literal["none"] | None, typed(_changed_due, "WHEN")]
