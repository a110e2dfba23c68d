"""One-time passwords, and the mark of a stored one."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from taskcore.domain import one_time
from taskcore.domain.passwords import new_password
from taskcore.domain.users import StoredCredentials
from tests.domain.test_entities import USER

NOW = datetime(2026, 11, 27, 12, 0, 0, 500, tzinfo=UTC)


def test_each_is_random_easy_to_type_and_a_password_by_the_rules() -> None:
    made = {one_time.new(NOW).password for _ in range(1000)}
    assert len(made) == 1000
    for password in made:
        assert re.fullmatch("[2-9a-hjkmnp-z]{5}(-[2-9a-hjkmnp-z]{5}){2}", password)
        assert new_password(password) == password


def test_it_does_not_show_itself() -> None:
    made = one_time.new(NOW)
    assert made.password not in f"{made!r} {made}"


@pytest.mark.parametrize("stored", ["$argon2id$v=19$x", "!", "", "one-time:", "one-time:x:y", "\n"])
def test_what_has_no_mark_is_a_hash_as_it_is(stored: str) -> None:
    assert one_time.unmarked(stored) == (stored, None)
    credentials = StoredCredentials(USER, stored)
    assert not credentials.is_one_time
    assert credentials.to_verify(NOW) == stored


def test_the_mark_holds_the_end_to_the_second() -> None:
    ends = one_time.new(NOW).expires_at
    assert ends == NOW.replace(microsecond=0) + one_time.LIFETIME
    credentials = StoredCredentials(USER, one_time.marked("a hash", ends))
    assert credentials.is_one_time
    assert credentials.to_verify(ends - timedelta(microseconds=1)) == "a hash"
    assert credentials.to_verify(ends) is None


def test_the_longest_hash_fits_into_the_column_with_its_mark() -> None:
    assert len(one_time.marked("x" * 230, datetime.max.replace(tzinfo=UTC))) <= 255
