"""Which task an actor reaches by its id. Another user's is not found, which tells nothing of it."""

from taskcore.domain.errors import NotFound
from taskcore.domain.policies import Actor, reaches_all_tasks
from taskcore.domain.tasks import Task, TaskId
from taskcore.ports import TaskRepository, TrashRepository


async def found(
    repository: TaskRepository | TrashRepository, actor: Actor, task_id: TaskId
) -> Task:
    """First among the actor's own; those of others only for an actor who may reach them."""
    if actor.user_id is not None:
        try:
            return await repository.get(actor.user_id, task_id)
        except NotFound:
            if not reaches_all_tasks(actor):
                raise
    return await repository.get(await repository.owner_of(task_id), task_id)
