"""How many tasks an account holds: exact, whatever happens at the same time; on every store."""

from taskcore.testing.contracts import TaskLimitContract


class TestTaskLimits(TaskLimitContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
