"""The labels of an account and their numbers, on every store."""

from taskcore.testing.contracts import TaskLabelContract


class TestTaskLabels(TaskLabelContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
