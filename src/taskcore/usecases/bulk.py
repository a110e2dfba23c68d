"""Applying many operations to the tasks of one account at once.

What each operation does, how many there may be, and that one refusal ends all: `domain/bulk.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.bulk import (
    NOTHING,
    Bulk,
    Operation,
    Work,
    account_of,
    check_operations,
    long_texts,
    named,
)
from taskcore.domain.errors import InvalidToken
from taskcore.domain.events import TaskEventType
from taskcore.domain.policies import Actor, reaches_all_tasks
from taskcore.domain.search import blank_separated
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Clock, Store
from taskcore.usecases.change_followers import Wake

_AUDITED = {
    TaskEventType.UPDATED: AuditEventName.TASK_CHANGED,
    TaskEventType.TRASHED: AuditEventName.TASK_DELETED,
    TaskEventType.RESTORED: AuditEventName.TASK_RESTORED,
}


@dataclass(frozen=True, slots=True)
class BulkWrite:
    """One transaction, however many operations: lock, read, apply in memory, write."""

    store: Store
    clock: Clock
    wake: Wake
    at_most: int
    actor: Actor
    operations: Sequence[Operation]

    async def run(self) -> list[Task | None]:
        check_operations(self.operations)
        if not reaches_all_tasks(self.actor):
            return await self._run_in(self.actor.user_id, {})
        async with self.store.autocommit(self.actor.user_id) as db:
            owners = await db.bulk.owners_of(named(self.operations))
        return await self._run_in(account_of(self.actor, self.operations, owners), owners)

    async def _run_in(
        self, owner_id: UserId | None, owners: Mapping[TaskId, UserId]
    ) -> list[Task | None]:
        bulk = Bulk(self.actor, owner_id, owners, self.clock.now(), self.at_most)
        if owner_id is None:
            bulk.apply(self.operations)  # refuses
            return []
        words = partial(self._find_words, bulk)
        async with self.store.transaction(self.actor.user_id, words) as tx:
            held = await tx.bulk.hold(owner_id, named(self.operations))
            if held is None and owner_id == self.actor.user_id:
                raise InvalidToken  # the account was deleted after the actor was read
            work = bulk.apply(self.operations, held or NOTHING)
            ids = await tx.bulk.write(work, by=self.actor.user_id) if work.steps else ()
            if owner_id != self.actor.user_id:
                await tx.audit.add(*self._audited(work))
        self.wake(owner_id)
        added = iter(ids)
        return [
            task.stored_as(next(added)) if isinstance(task, NewTask) else task
            for task in bulk.results
        ]

    async def _find_words(self, bulk: Bulk) -> None:
        """Find the words of long texts before the transaction; others are served in between."""
        import asyncio  # noqa: PLC0415 - `import taskcore` would take twice as long with it

        words: dict[str, str] = {}
        for text in long_texts(self.operations):
            if text not in words:
                words[text] = blank_separated(text)
                await asyncio.sleep(0)
        bulk.words = words

    def _audited(self, work: Work) -> Iterator[NewAuditEvent]:
        """Record the writes to another user's tasks; nothing is created there."""
        for step in work.steps:
            if isinstance(step.task, Task):
                name = _AUDITED[step.type]
                user_id, task_id = work.owner_id, step.task.id
                yield NewAuditEvent.by(self.actor, name, work.at, user_id=user_id, task_id=task_id)
