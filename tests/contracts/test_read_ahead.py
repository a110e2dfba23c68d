"""The contract of READ_AHEAD, on every store."""

from taskcore.testing.contracts import ReadAheadContract


class TestReadAhead(ReadAheadContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
