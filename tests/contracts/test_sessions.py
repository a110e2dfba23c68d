"""The contract of `ports.Sessions`, on every store."""

from taskcore.testing.contracts import SessionContract


class TestSessions(SessionContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
