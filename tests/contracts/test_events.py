"""The contract of `ports.EventRepository`, and of what writes to it, on every store."""

from taskcore.testing.contracts import EventContract


class TestEvents(EventContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
