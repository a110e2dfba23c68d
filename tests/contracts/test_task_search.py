"""Both stores list every match of a search by relevance."""

from taskcore.testing.contracts import TaskSearchContract


class TestTaskSearch(TaskSearchContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
