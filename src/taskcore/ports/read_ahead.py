"""What a request is about, so that a store can read it together with the actor."""

from contextvars import ContextVar

from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId


class ReadAhead:
    """The task that a request is about. A store may read it where it finds the actor.

    That saves the request a round trip. The task is handed out once: a second look, such as that
    of an edit which is tried again, must see what others have changed meanwhile.
    """

    __slots__ = ("_task", "task_id")

    def __init__(self, task_id: TaskId) -> None:
        self.task_id = task_id
        self._task: Task | None = None

    def keep(self, task: Task) -> None:
        """Only a task of the actor's own that is not in the trash."""
        self._task = task

    def take(self, owner_id: UserId, task_id: TaskId) -> Task | None:
        """None if this task must be read."""
        task, self._task = self._task, None
        return task if task and (task.owner_id, task.id) == (owner_id, task_id) else None


READ_AHEAD: ContextVar[ReadAhead | None] = ContextVar("taskcore_read_ahead", default=None)
"""That of the request which is served. Each authentication sets it."""
