"""The contract of `ports.Users`, on every store."""

from taskcore.testing.contracts import UserContract


class TestUsers(UserContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
