"""Days, moments and zones."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskcore.domain.dues import (
    FIRST,
    LAST,
    DueRange,
    check_moment,
    check_time_zone,
    in_utc,
    local_moment,
    start_of_day,
    today,
    zone,
    zone_names,
)
from taskcore.domain.task_orders import NO_DUE, due_key

BERLIN = zone("Europe/Berlin")
DAY = timedelta(days=1)
# The ends of the day, clocks that skip midnight or a day, and clocks that show midnight twice.
ZONES = st.sampled_from(
    [
        *("UTC", "Pacific/Kiritimati", "Pacific/Niue", "Asia/Kathmandu", "Europe/Berlin"),
        *("America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Pacific/Kwajalein"),
        *("America/St_Johns", "America/Havana", "Asia/Manila", "America/Juneau"),
    ]
).map(zone)
DATES = st.dates() | st.dates(date(2009, 1, 1), date(2013, 1, 1))
MOMENTS = st.datetimes(timezones=st.just(UTC))
EDGES = [date.min, date.min + DAY, date.max - DAY, date.max]


def clock(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return clock(text).replace(tzinfo=UTC)


def test_zones_have_iana_names() -> None:
    for name in ("UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "Etc/GMT+12"):
        assert check_time_zone(name) is None
        assert zone(name).utcoffset(clock("2026-01-01")) is not None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "localtime",
            "Factory",
            "posixrules",
            "posix/UTC",
            "right/UTC",
            "tzdata.zi",
            "Europe",
        ),
        *("europe/berlin", "utc", "/usr/share/zoneinfo/UTC", "../UTC", "./UTC", "Europe//Berlin"),
        *("Europe/Berlin/", " UTC", "UTC\n", "UTC\x00", "\ud800", "UTC0", "+01:00", "x" * 100_000),
    ],
)
def test_what_is_no_iana_name_is_refused_and_read_as_utc(name: str) -> None:
    problem = check_time_zone(name, "zone")
    assert problem is not None
    assert (problem.field, problem.code) == ("zone", "unknown_time_zone")
    assert zone(name) is UTC


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("utc", "UTC"),
        ("Asia/Tokio", "Asia/Tokyo"),
    ],
)
def test_a_zone_that_may_be_meant_is_named(typed: str, meant: str) -> None:
    problem = check_time_zone(typed)
    assert problem is not None
    assert problem.detail == f"must be an IANA time zone; did you mean {meant}?"


@pytest.mark.parametrize("typed", ["", "Mars/Olympus", "GMT+1", "x" * 100_000, "\ud800"])
def test_a_zone_like_none_is_refused_with_an_example(typed: str) -> None:
    problem = check_time_zone(typed)
    assert problem is not None
    assert problem.detail == "must be an IANA time zone like Europe/Berlin"


def test_without_a_database_a_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskcore.domain.dues.zone_names", lambda: frozenset({"UTC"}))
    problem = check_time_zone("Europe/Berlin")
    assert problem is not None
    assert "tzdata" in problem.detail
    assert check_time_zone("UTC") is None


def test_all_known_names_can_be_read() -> None:
    assert all(zone(name) is not None for name in zone_names())


# Moments


@given(st.datetimes(), st.integers(-1439, 1439))
def test_a_moment_is_in_the_years_of_utc_or_refused(local: datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    problem = check_moment("due_at", moment)
    found = in_utc(moment)
    if problem is None:
        assert found == moment
        assert found.tzinfo is UTC
    else:
        assert (problem.field, problem.code) == ("due_at", "out_of_range")
        assert found is None
        assert local.date() in EDGES


def test_moments_that_leave_the_calendar_are_refused() -> None:
    ahead, behind = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))
    assert in_utc(FIRST.replace(tzinfo=ahead)) is None
    assert in_utc(LAST.replace(tzinfo=behind)) is None
    assert in_utc(LAST) == LAST


def test_a_moment_needs_an_offset() -> None:
    problem = check_moment("due_at", clock("2026-01-01"))
    assert problem is not None
    assert problem.code == "offset_required"


def test_a_clock_in_a_gap_has_the_offset_before_and_in_an_overlap_the_first() -> None:
    assert local_moment(clock("2026-03-29T02:30"), BERLIN) == utc("2026-03-29T01:30")
    assert local_moment(clock("2026-10-25T02:30"), BERLIN) == utc("2026-10-25T00:30")
    assert local_moment(clock("2026-10-25T02:30").replace(fold=1), BERLIN) == utc(
        "2026-10-25T00:30"
    )
    kathmandu = zone("Asia/Kathmandu")
    assert local_moment(clock("2026-02-28T09:00"), kathmandu) == utc("2026-02-28T03:15")


@given(st.datetimes(), ZONES)
@example(FIRST.replace(tzinfo=None), BERLIN)
@example(LAST.replace(tzinfo=None), zone("Pacific/Niue"))
def test_any_clock_is_a_moment(local: datetime, where: tzinfo) -> None:
    assert FIRST <= local_moment(local, where) <= LAST


# Days


@pytest.mark.parametrize(
    ("name", "day", "start"),
    [
        ("UTC", "2028-02-29", "2028-02-29T00:00"),
        ("Pacific/Kiritimati", "2028-02-29", "2028-02-28T10:00"),
        ("Pacific/Niue", "2028-02-29", "2028-02-29T11:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00"),
        ("America/Havana", "2025-11-02", "2025-11-02T04:00"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30"),
        ("Pacific/Kiritimati", "9999-12-31", "9999-12-30T10:00"),
        ("Pacific/Niue", "9999-12-31", "9999-12-31T11:00"),
        ("UTC", "0001-01-01", "0001-01-01T00:00"),
    ],
)
def test_a_day_begins_when_its_zone_says(name: str, day: str, start: str) -> None:
    assert start_of_day(date.fromisoformat(day), zone(name)) == utc(start)


class Skips(tzinfo):
    """Its clock goes from 23:20 to 00:20 on the first of July 2026."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        gap = clock("2026-06-30T23:20")
        local = when.replace(tzinfo=None) if when else gap
        summer = local >= gap + timedelta(hours=1) or (
            local >= gap and when is not None and when.fold
        )
        return timedelta(hours=bool(summer))

    def tzname(self, _: datetime | None) -> str:
        return "skips"

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def fromutc(self, when: datetime) -> datetime:
        gap = clock("2026-06-30T23:20")
        return when + timedelta(hours=when.replace(tzinfo=None) >= gap)


def test_a_day_that_begins_inside_a_gap_begins_at_its_end() -> None:
    assert start_of_day(date(2026, 7, 1), Skips()) == utc("2026-06-30T23:20")


@given(DATES, ZONES)
def test_a_day_begins_when_the_calendar_turns_to_it(day: date, where: tzinfo) -> None:
    start = start_of_day(day, where)
    if start > FIRST:
        assert today(start, where) >= day
        assert today(start - timedelta(microseconds=1), where) < day
    if day < date.max:
        assert start <= start_of_day(day + DAY, where)


@given(MOMENTS, ZONES)
@example(FIRST, zone("Pacific/Niue"))
@example(LAST, zone("Pacific/Kiritimati"))
def test_there_is_always_a_today(now: datetime, where: tzinfo) -> None:
    assert abs(today(now, where) - now.date()) <= DAY


# Ranges


def bounds() -> st.SearchStrategy[date | datetime | None]:
    return st.none() | DATES | st.sampled_from(EDGES) | MOMENTS


@given(bounds(), bounds(), DATES | st.sampled_from(EDGES), ZONES)
@example(utc("2011-12-30T10:00"), None, date(2011, 12, 30), zone("Pacific/Apia"))
@example(LAST, None, date.max, zone("Pacific/Kiritimati"))
@example(None, LAST, date.max, zone("Pacific/Kiritimati"))
def test_a_day_is_in_a_range_by_itself_or_by_its_beginning(
    start: date | datetime | None, end: date | datetime | None, day: date, where: tzinfo
) -> None:
    def reached(bound: date | datetime) -> bool:
        if isinstance(bound, datetime):
            return start_of_day(day, where) >= bound
        return day >= bound

    expected = (start is None or reached(start)) and (end is None or not reached(end))
    assert DueRange.between(start, end, where).contains(day, None) is expected


@given(bounds(), bounds(), MOMENTS, ZONES)
def test_a_moment_is_in_a_range_by_itself_or_by_the_beginning_of_a_day(
    start: date | datetime | None, end: date | datetime | None, moment: datetime, where: tzinfo
) -> None:
    def reached(bound: date | datetime) -> bool:
        if isinstance(bound, datetime):
            return moment >= bound
        return moment >= start_of_day(bound, where)

    expected = (start is None or reached(start)) and (end is None or not reached(end))
    assert DueRange.between(start, end, where).contains(None, moment) is expected


@given(bounds(), bounds(), MOMENTS, DATES, MOMENTS, ZONES)
def test_a_narrowed_range_has_what_is_in_both(
    start: date | datetime | None,
    end: date | datetime | None,
    now: datetime,
    day: date,
    moment: datetime,
    where: tzinfo,
) -> None:
    one, other = DueRange.between(start, end, where), DueRange.past(now, where)
    both = one.narrowed(other)
    assert both == other.narrowed(one)
    for due in [(day, None), (None, moment), (None, None)]:
        assert both.contains(*due) is (one.contains(*due) and other.contains(*due))


def test_overdue_is_by_the_calendar_of_the_zone() -> None:
    now = utc("2026-12-01T10:30")
    ahead, behind = (
        DueRange.past(now, zone(name)) for name in ("Pacific/Kiritimati", "Pacific/Niue")
    )
    assert ahead.contains(date(2026, 12, 1), None)
    assert not behind.contains(date(2026, 11, 30), None)
    assert ahead.contains(None, now - timedelta(microseconds=1))
    assert not ahead.contains(None, now)
    assert not ahead.contains(None, None)


def test_tasks_are_sorted_by_their_dues_and_those_without_come_last() -> None:
    assert due_key(date(2026, 12, 1), None) == utc("2026-12-01T00:00")
    assert due_key(None, utc("2026-12-01T09:00")) == utc("2026-12-01T09:00")
    assert due_key(None, None) == NO_DUE
    assert due_key(date.max, None) < NO_DUE
