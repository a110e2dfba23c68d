"""What a request is about, so that a store can read it together with the actor."""

from contextvars import ContextVar

from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports.pages import Page


class ReadAhead:
    """The task that a request is about, or the list. A store may read it where it finds the actor.

    That saves the request a round trip. What was read is handed out once: a second look, such as
    that of an edit which is tried again, must see what others have changed meanwhile.
    """

    __slots__ = ("_page", "_task", "first_page", "task_id")

    def __init__(self, task_id: TaskId | None = None, *, first_page: int | None = None) -> None:
        """`first_page`: the limit of the first page of the actor's own tasks, the newest first."""
        self.task_id, self.first_page = task_id, first_page
        self._task: Task | None = None
        self._page: tuple[UserId, Page[Task]] | None = None

    def keep(self, task: Task) -> None:
        """Only a task of the actor's own that is not in the trash."""
        self._task = task

    def keep_page(self, owner_id: UserId, page: Page[Task]) -> None:
        """Only that of the actor, as `TaskRepository.page` would read it."""
        self._page = owner_id, page

    def take(self, owner_id: UserId, task_id: TaskId) -> Task | None:
        """None if this task must be read."""
        task, self._task = self._task, None
        return task if task and (task.owner_id, task.id) == (owner_id, task_id) else None

    def take_page(self, owner_id: UserId, limit: int) -> Page[Task] | None:
        """None if this first page must be read."""
        kept, self._page = self._page, None
        return kept[1] if kept and (kept[0], self.first_page) == (owner_id, limit) else None


READ_AHEAD: ContextVar[ReadAhead | None] = ContextVar("taskcore_read_ahead", default=None)
"""That of the request which is served. Each authentication sets it."""
