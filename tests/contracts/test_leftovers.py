"""A removed account is gone for every reader, whatever of it is still stored; on every store."""

from taskcore.testing.contracts import LeftoverContract


class TestLeftovers(LeftoverContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
