"""Days and moments as people type them."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from taskcli.when import When

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


def test_a_time_may_stand_behind_any_day() -> None:
    found = When.parse("tomorrow 09:00").resolved(NOW, BERLIN)
    assert found == datetime(2026, 11, 29, 9, tzinfo=timezone(timedelta(hours=1)))


def test_a_time_that_the_clock_skips_is_read_with_the_offset_before() -> None:
    found = When.parse("2026-03-29T02:30").resolved(NOW, BERLIN)
    assert found == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "someday", "2026-02-30", "2026-13-01", "0000-01-01", "20261201", "2026-W48"),
        *("2026-12-01T", "2026-12-01T25:00", "2026-12-01T09:00 Berlin", "+3", "3d", "+3m"),
        *("+99999d", "٢٠٢٦-12-01", "0001-01-01T00:00+14:00", "2026\n12", "09:00"),
    ],
)
def test_nonsense_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2026-12-01") as refused:
        When.parse(text)
    assert "\n" not in str(refused.value)
