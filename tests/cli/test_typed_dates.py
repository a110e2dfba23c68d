"""Days and moments as people type them."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from taskcli.typed_dates import When

BERLIN = ZoneInfo("Europe/Berlin")
# A Friday, 23:30 in UTC; in Berlin the Saturday after it.
NOW = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-01", date(2026, 12, 1)),
        ("today", date(2026, 11, 27)),
        ("Tomorrow", date(2026, 11, 28)),
        ("yesterday", date(2026, 11, 26)),
        ("+3d", date(2026, 11, 30)),
        ("-1w", date(2026, 11, 20)),
        ("Sat", date(2026, 11, 28)),
    ],
)
def test_a_day_is_typed_in_several_ways(text: str, day: date) -> None:
    assert When.parse(text).resolved(NOW, UTC) == day


def test_today_is_the_day_in_the_zone_of_the_user() -> None:
    assert When.parse("today").resolved(NOW, BERLIN) == date(2026, 11, 28)


@pytest.mark.parametrize(
    ("text", "following", "last"),
    [
        ("thursday", date(2026, 12, 3), date(2026, 11, 26)),
        ("thu", date(2026, 12, 3), date(2026, 11, 26)),
        ("friday", date(2026, 12, 4), date(2026, 11, 27)),
        ("saturday", date(2026, 11, 28), date(2026, 11, 21)),
    ],
)
def test_a_weekday_is_the_next_one_or_the_last_one(text: str, following: date, last: date) -> None:
    assert When.parse(text).resolved(NOW, UTC) == following
    assert When.parse(text).resolved(NOW, UTC, past=True) == last


@pytest.mark.parametrize(
    "text",
    ["2026-12-01T09:00", "2026-12-01 09:00:00", "2026-12-01T09:00+01:00", "2026-12-01t08:00z"],
)
def test_a_moment_without_an_offset_is_meant_in_the_zone(text: str) -> None:
    assert When.parse(text).resolved(NOW, BERLIN) == datetime(2026, 12, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "day"), [("tomorrow 9:00", 29), ("sun  09:00", 29), ("+1d 9:00", 29), ("9:00", 28)]
)
def test_a_time_may_stand_behind_any_day_and_alone(text: str, day: int) -> None:
    found = When.parse(text).resolved(NOW, BERLIN)
    assert found == datetime(2026, 11, day, 9, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-03-29T02:30", 1), ("2026-10-25 2:30", 0), ("2026-10-25 3:30", 2)]
)
def test_of_a_time_twice_the_first_is_meant_and_a_skipped_one_is_moved(
    text: str, hour: int
) -> None:
    """Where the clock is changed, as `local_moment` has it."""
    found = When.parse(text).resolved(NOW, BERLIN)
    assert (found.day, found) == (int(text[8:10]), found)
    assert isinstance(found, datetime)
    assert (found.hour, found.minute) == (hour, 30)


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("2026-03-29T02:30", datetime(2026, 3, 29, 2, 30)),  # noqa: DTZ001 - as it was typed
        ("2026-03-29T03:00", None),
        ("2026-03-29T02:30Z", None),
        ("2026-10-25 2:30", None),
        ("2026-03-29", None),
    ],
)
def test_a_time_that_no_clock_shows_is_told(text: str, skipped: datetime | None) -> None:
    assert When.parse(text).skipped(NOW, BERLIN) == skipped
    assert When.parse(text).skipped(NOW, UTC) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "someday", "20261201", "2026-W48"),
        *("2026-12-01T", "2026-12-01T25:00", "2026-12-01T09:00 Berlin", "+3", "3d", "+3m"),
        *("+99999d", "٢٠٢٦-12-01", "0001-01-01T00:00+14:00", "2026\n12", "9", "24:30"),
        *("next week", "in 3 days", "fr", "fri 9", "none"),
    ],
)
def test_nonsense_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="type a day \\(2026-12-01") as refused:
        When.parse(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01 9:00", "0000-01-01"])
def test_a_day_that_is_in_no_calendar_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"there is no day {text[:10]} in the calendar"):
        When.parse(text)
