"""When a task is due: days, moments, and the time zones between them.

A day is meant wherever its reader lives; a moment is one instant for all. Moments are kept in UTC.
Where the calendar of years 1..9999 ends, results are clamped: nothing here raises OverflowError.

Which tasks are overdue: `TaskQuery.filter` in `task_queries.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from taskcore.domain.errors import Problem
from taskcore.domain.text_rules import TextRule

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
# Twice the longest name of the IANA time zone database.
TIME_ZONE = TextRule("time_zone", 1, 64)

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)

# Files of the tz database that are no IANA zones: this machine's setting, the absence of a setting,
# and defaults for POSIX rules.
_NO_ZONES = {"localtime", "Factory", "posixrules"}
_LONGEST_NAME = 40  # characters; longer than any
_DIGIT = re.compile(r"[0-9]")
NO_DATABASE = "needs the time zone database: install the package tzdata"


@cache
def zone_names() -> frozenset[str]:
    """The IANA names this machine knows, about 600. Always has UTC.

    The first call looks into each file of the tz database, which can take some tenths of a second:
    a server makes it before it serves. A changed database counts from the next start.
    """
    return frozenset(available_timezones()) - _NO_ZONES | {"UTC"}


def check_time_zone(name: str, field: str = "time_zone") -> Problem | None:
    """Compares with the known names, in their spelling; no path is made of what was sent."""
    if name in zone_names():
        return None
    if len(zone_names()) == 1:
        return Problem(field, NO_DATABASE, "unknown_time_zone")
    like = f"; did you mean {near}?" if (near := _meant(name)) else " like Europe/Berlin"
    return Problem(field, f"must be an IANA time zone{like}", "unknown_time_zone")


def _meant(name: str) -> str | None:
    """The zone that is spelled most alike, or whose city is: `berlin`, `New York`."""
    from difflib import get_close_matches  # noqa: PLC0415 - few programs need it

    typed = name[:_LONGEST_NAME].casefold().replace(" ", "_")
    # Only those of the same first letter, so that a refusal takes less than a millisecond.
    near = [key for key in _spellings() if key[:1] == typed[:1]]
    found = get_close_matches(typed, near, n=1, cutoff=0.8)
    return _spellings()[found[0]] if found else None


@cache
def _spellings() -> Mapping[str, str]:
    """Each zone by its name and by its city, in small letters.

    Names with a digit do not count: Etc/GMT+1, which is an hour behind UTC, is hardly ever meant.
    """
    names = sorted(name for name in zone_names() if not _DIGIT.search(name))
    cities = {name.rpartition("/")[2].casefold(): name for name in names}
    return cities | {name.casefold(): name for name in names}


def zone(name: str) -> tzinfo:
    """The zone of a stored name; UTC if this machine does not know the name.

    A zone may be gone after the tz database was changed or another machine has taken over. That
    must not make a task unreadable.
    """
    if name == "UTC" or name not in zone_names():
        return UTC
    try:
        return _zone(name)
    except (OSError, ValueError, KeyError):  # the database was changed since its names were read
        return UTC


@cache  # at most all of zone_names()
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


def check_moment(field: str, moment: datetime) -> Problem | None:
    if moment.utcoffset() is None:
        return Problem(field, "needs an offset from UTC, such as Z or +01:00", "offset_required")
    if in_utc(moment) in {None, LAST}:  # LAST is the `NO_DUE` of `task_orders.py`
        return Problem(field, "must be in the years 1 to 9999 in UTC", "out_of_range")
    return None


def in_utc(moment: datetime) -> datetime | None:
    """The moment in UTC; None if it has no offset, or is beyond the years 1 to 9999 in UTC."""
    offset = moment.utcoffset()
    if offset is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) - offset
    except OverflowError:
        return None


def local_moment(local: datetime, zone: tzinfo) -> datetime:
    """The moment, in UTC, at which a clock in the zone shows `local`, which has no zone.

    As in RFC 5545: a time that the clock skips is read with the offset before the gap, and of a
    time that it shows twice the first is meant.
    """
    return _utc(local.replace(tzinfo=zone, fold=0))


def _utc(moment: datetime) -> datetime:
    return in_utc(moment) or (FIRST if moment.year == 1 else LAST)


def today(now: datetime, zone: tzinfo) -> date:
    """The day that a calendar in the zone shows."""
    try:
        return now.astimezone(zone).date()
    except (OverflowError, ValueError):
        return date.min if now.year == 1 else date.max


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first moment, in UTC, at which a calendar in the zone shows the day or a later one.

    That is midnight, unless the clock skips it, or even the whole day (Apia, 2011-12-30).
    """
    before = datetime.combine(day, time.min, zone)
    after = before.replace(fold=1)
    end = _utc(before)
    if before.utcoffset() == after.utcoffset():
        return end
    # If clocks skip midnight, the offset before gives the later moment; else the first midnight.
    start = _utc(after)
    while end - start > _SECOND:  # clocks are changed at whole seconds
        middle = start + (end - start) // _SECOND // 2 * _SECOND
        if today(middle, zone) < day:
            start = middle
        else:
            end = middle
    return end


@dataclass(frozen=True, slots=True)
class DueRange:
    """Half-open bounds for both kinds of dues; None is no bound. Moments are in UTC."""

    at_from: datetime | None = None
    date_from: date | None = None
    at_until: datetime | None = None
    date_until: date | None = None

    @classmethod
    def between(
        cls, start: date | datetime | None, end: date | datetime | None, zone: tzinfo
    ) -> Self:
        """A bound is a day in the zone, or a moment that check_moment has passed.

        A due of the other kind than the bound is compared by the moment when the day begins.
        """
        at_from, date_from = _bounds(start, zone)
        at_until, date_until = _bounds(end, zone)
        if at_from is not None and date_from is None:  # no day begins so late
            date_from = date_until = date.max
        return cls(at_from, date_from, at_until, date_until)

    @classmethod
    def past(cls, now: datetime, zone: tzinfo) -> Self:
        """Moments before `now`, and days before today in the zone.

        A task is overdue if its due is in there and it is open: `TaskQuery.filter`.
        """
        return cls(at_until=_utc(now), date_until=today(now, zone))

    def narrowed(self, other: "DueRange") -> "DueRange":
        """The range of what is in both ranges."""
        return DueRange(
            _latest(self.at_from, other.at_from),
            _latest(self.date_from, other.date_from),
            _earliest(self.at_until, other.at_until),
            _earliest(self.date_until, other.date_until),
        )

    def contains(self, due_date: date | None, due_at: datetime | None) -> bool:
        """False for a task without a due."""
        if due_at is not None:
            return _within(self.at_from, due_at, self.at_until)
        return due_date is not None and _within(self.date_from, due_date, self.date_until)


# Moments with moments, or days with days: a datetime is a date, but the two do not compare.
_Bound = TypeVar("_Bound", date, datetime)


def _latest(one: _Bound | None, other: _Bound | None) -> _Bound | None:
    return max((bound for bound in (one, other) if bound is not None), default=None)


def _earliest(one: _Bound | None, other: _Bound | None) -> _Bound | None:
    return min((bound for bound in (one, other) if bound is not None), default=None)


def _within(start: _Bound | None, value: _Bound, end: _Bound | None) -> bool:
    return (start is None or start <= value) and (end is None or value < end)


def _bounds(bound: date | datetime | None, zone: tzinfo) -> tuple[datetime | None, date | None]:
    """The bound for moments and the bound for days."""
    if bound is None:
        return None, None
    if isinstance(bound, datetime):
        moment = _utc(bound)
        return moment, _first_day_from(moment, zone)
    return start_of_day(bound, zone), bound


def _first_day_from(moment: datetime, zone: tzinfo) -> date | None:
    """The first day that begins at the moment or later; None if the calendar ends before."""
    day = today(moment, zone)
    while start_of_day(day, zone) < moment:
        if day == date.max:
            return None
        day += _DAY
    while day > date.min and start_of_day(day - _DAY, zone) >= moment:  # days that were skipped
        day -= _DAY
    return day
