"""What presenting a refresh token amounts to."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.sessions import (
    RETRY_WINDOW,
    SESSION_LIFETIME,
    RefreshToken,
    Session,
    SessionId,
    Use,
)
from taskcore.domain.users import UserId

NOW = datetime(2030, 1, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
MOMENT = timedelta(microseconds=1)
SESSION = Session.new(SessionId(UUID(int=1)), UserId(1), NOW)


def token(used_at: datetime | None = None, *, superseded: bool = False) -> RefreshToken:
    return RefreshToken(b"d", SESSION.id, b"n", NOW, NOW + WEEK, used_at, superseded)


@pytest.mark.parametrize(
    ("used_at", "superseded", "at", "use"),
    [
        (None, False, NOW, Use.FIRST),
        (None, False, NOW + WEEK - MOMENT, Use.FIRST),
        (None, False, NOW + WEEK, Use.EXPIRED),
        (None, False, NOW + 2 * WEEK, Use.EXPIRED),
        (NOW, False, NOW, Use.RETRY),
        (NOW, False, NOW - timedelta(seconds=1), Use.RETRY),
        (NOW, False, NOW + RETRY_WINDOW, Use.RETRY),
        (NOW, False, NOW + RETRY_WINDOW + MOMENT, Use.REPLAY),
        (NOW, False, NOW + 2 * WEEK, Use.REPLAY),
        (NOW, True, NOW, Use.REPLAY),
        (NOW, True, NOW + RETRY_WINDOW, Use.REPLAY),
        (NOW, True, NOW + 2 * WEEK, Use.REPLAY),
    ],
)
def test_the_table_of_uses(
    used_at: datetime | None, at: datetime, use: Use, *, superseded: bool
) -> None:
    assert token(used_at, superseded=superseded).use(at) is use


moments = st.timedeltas(timedelta(days=-300), timedelta(days=300)).map(NOW.__add__)


@given(
    used_at=st.none() | moments,
    at=moments,
    passed=st.timedeltas(timedelta(0), timedelta(days=99)),
    superseded=st.booleans(),
)
def test_time_only_makes_it_worse(
    used_at: datetime | None,
    at: datetime,
    passed: timedelta,
    *,
    superseded: bool,
) -> None:
    worse = {
        Use.FIRST: {Use.FIRST, Use.EXPIRED},
        Use.RETRY: {Use.RETRY, Use.REPLAY},
        Use.EXPIRED: {Use.EXPIRED},
        Use.REPLAY: {Use.REPLAY},
    }
    presented = token(used_at, superseded=superseded)
    assert presented.use(at + passed) in worse[presented.use(at)]


@given(moments.filter(lambda at: at >= NOW), st.timedeltas(timedelta(0), timedelta(days=30)))
def test_no_token_outlives_its_session(at: datetime, idle: timedelta) -> None:
    made = RefreshToken.new(SESSION, b"d", b"n", at, idle)
    assert made.expires_at == min(at + idle, SESSION.expires_at)
    assert (made.session_id, made.used_at, made.superseded) == (SESSION.id, None, False)


def test_a_session_has_an_end_that_use_does_not_move() -> None:
    assert SESSION.expires_at - SESSION.created_at == SESSION_LIFETIME == timedelta(days=30)
    used = SESSION.used(NOW + WEEK)
    assert used.last_used_at == NOW + WEEK
    assert (used.expires_at, used.created_at) == (SESSION.expires_at, SESSION.created_at)
