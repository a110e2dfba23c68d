"""How the use of a refresh token is judged."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.origins import Origin
from taskcore.domain.sessions import (
    RETRY_WINDOW,
    SESSION_LIFETIME,
    RefreshToken,
    Session,
    SessionId,
    Use,
)
from taskcore.domain.users import UserId
from tests.factories import NOW, a_refresh_token

WEEK = timedelta(days=7)
MOMENT = timedelta(microseconds=1)
SESSION = Session.new(SessionId(UUID(int=1)), UserId(1), NOW, WEEK)


def token(used_at: datetime | None = None, *, superseded: bool = False) -> RefreshToken:
    return a_refresh_token(used_at=used_at, superseded=superseded)


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


@given(
    st.lists(st.timedeltas(timedelta(0), timedelta(days=40)), max_size=5),
    st.timedeltas(timedelta(minutes=1), timedelta(days=30)),
)
def test_a_session_ends_when_it_is_not_used_and_after_thirty_days_at_the_latest(
    pauses: list[timedelta], idle: timedelta
) -> None:
    session = Session.new(SESSION.id, UserId(1), NOW, idle)
    now = NOW
    for pause in [timedelta(0), *pauses]:
        now += pause
        session = session.used(now, idle)
        assert session.last_used_at == now
        assert session.created_at == NOW
        assert session.expires_at == min(now + idle, NOW + SESSION_LIFETIME)
        token = RefreshToken.new(session, b"digest", b"nonce")
        assert token == a_refresh_token(issued_at=now, expires_at=session.expires_at)


def test_a_session_remembers_where_it_was_used_last() -> None:
    session = Session.new(SESSION.id, UserId(1), NOW, WEEK, Origin("192.0.2.1", "one"))
    assert (session.ip, session.user_agent) == ("192.0.2.1", "one")
    moved = session.used(NOW, WEEK, Origin("192.0.2.2", "two"))
    assert (moved.ip, moved.user_agent) == ("192.0.2.2", "two")
    assert moved.used(NOW, WEEK) == moved  # an unknown origin replaces nothing
