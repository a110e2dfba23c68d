"""The contract of `ports.TaskRepository`, on every store; test_task_lists.py has the filters."""

from taskcore.testing.contracts import TaskContract


class TestTasks(TaskContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
