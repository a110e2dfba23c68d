"""The contract of `ports.TrashRepository`, on every store."""

from taskcore.testing.contracts import TrashContract


class TestTrash(TrashContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
