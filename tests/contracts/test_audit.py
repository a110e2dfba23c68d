"""The contract of `ports.AuditRepository`, on every store, and what PostgreSQL adds to it."""

from uuid import uuid4

import pytest

from taskcore.domain.audit import ActorKind, AuditEventName, NewAuditEvent
from taskcore.domain.origins import Origin
from taskcore.domain.policies import SYSTEM, Actor
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import Role, UserId
from taskcore.testing import START
from taskcore.testing.contracts import AuditContract
from tests.conftest import emptied, migrated_database

ADA, BOB = UserId(7), UserId(8)
ORIGIN = Origin("192.0.2.1", "curl/8", "request-1")
SESSION = SessionId(uuid4())
ACTOR = Actor(ADA, Role.ADMIN, SESSION, ORIGIN)


class TestAudit(AuditContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""


def test_an_event_says_who_did_it_and_whom_it_concerns() -> None:
    own = NewAuditEvent.by(ACTOR, AuditEventName.LOGOUT, START)
    assert (own.actor, own.actor_id, own.user_id, own.session_id) == ("user", ADA, ADA, SESSION)
    others = NewAuditEvent.by(ACTOR, AuditEventName.SESSION_REVOKED, START, user_id=BOB)
    assert (others.actor_id, others.user_id) == (ADA, BOB)
    operators = NewAuditEvent.by(SYSTEM, AuditEventName.USER_CREATED, START, user_id=BOB)
    assert (operators.actor, operators.actor_id, operators.user_id) == ("system", None, BOB)
    strangers = NewAuditEvent.by(ORIGIN, AuditEventName.LOGIN_FAILED, START, user_id=BOB)
    assert (strangers.actor, strangers.actor_id, strangers.user_id) == ("anonymous", None, BOB)
    assert (strangers.ip, strangers.user_agent, strangers.request_id) == (
        ORIGIN.ip,
        ORIGIN.user_agent,
        ORIGIN.request_id,
    )
    assert {kind.value for kind in ActorKind} == {"user", "system", "anonymous"}


def test_in_postgresql_no_statement_changes_or_removes_one(database_url: str) -> None:
    import psycopg  # noqa: PLC0415 - --quick needs none

    emptied(database_url)
    with migrated_database(database_url) as url, psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO audit_events (event, at, actor, detail) VALUES ('x', now(), 'x', '{}')"
        )
        for statement in (
            b"UPDATE audit_events SET event = 'y'",
            b"DELETE FROM audit_events",
            b"TRUNCATE audit_events",
            b"DELETE FROM audit_events WHERE false",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)
        assert owner.execute("SELECT event FROM audit_events").fetchall() == [("x",)]
        # How docs/security.md prunes it.
        with owner.transaction():
            owner.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
            owner.execute("DELETE FROM audit_events WHERE at < now()")
            owner.execute("ALTER TABLE audit_events ENABLE TRIGGER USER")
        assert owner.execute("SELECT event FROM audit_events").fetchall() == []
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute("DELETE FROM audit_events")
