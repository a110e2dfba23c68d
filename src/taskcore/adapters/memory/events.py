"""The log of tasks in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from taskcore.adapters.memory.tables import Access, Tables, page_of
from taskcore.domain.errors import CursorExpired, HistoryGone
from taskcore.domain.events import TaskEvent, Value, changes_size, fitting, text_size
from taskcore.domain.tasks import TaskId
from taskcore.domain.users import UserId
from taskcore.ports import ChangedTask, ChangesPage, LogPosition, Page, Removal

_EPOCH = 1  # this store is never restored from a backup


@dataclass(slots=True)
class MemoryEvents:
    _access: Access

    async def end(self, owner_id: UserId) -> LogPosition:
        async with self._access() as tables:
            return LogPosition(_EPOCH, tables.heads.get(owner_id, 0))

    async def ends(self, owner_ids: Sequence[UserId]) -> Mapping[UserId, int]:
        async with self._access() as tables:
            return {owner: tables.heads[owner] for owner in owner_ids if owner in tables.heads}

    async def changes(self, owner_id: UserId, *, after: LogPosition, limit: int) -> ChangesPage:
        async with self._access() as tables:
            floor, head = tables.floors.get(owner_id, 0), tables.heads.get(owner_id, 0)
            if after.epoch != _EPOCH or not floor <= after.position <= head:
                raise CursorExpired
            later = [each for each in _of(tables, owner_id) if each.position > after.position]
            last = {event.task_id: event.position for event in later[:limit]}
            changed = [
                ChangedTask(LogPosition(_EPOCH, position), task_id, tables.tasks.get(task_id))
                for task_id, position in sorted(last.items(), key=itemgetter(1))
            ]
            items = fitting(changed, lambda each: text_size(each.task))
            end = items[-1].place if items else after
            return ChangesPage(items, end, has_more=end.position < head)

    async def history(
        self, owner_id: UserId, task_id: TaskId, *, skip: int, limit: int, after: int | None = None
    ) -> Page[TaskEvent]:
        async with self._access() as tables:
            found = [event for event in _of(tables, owner_id) if event.task_id == task_id]
        page = page_of(found, lambda event: event.position, skip=skip, limit=limit, after=after)
        told = fitting(page.items, lambda event: changes_size(event.changes))
        return Page(told, page.total, page.has_more or len(told) < len(page.items))

    async def version(
        self, owner_id: UserId, task_id: TaskId, version: int, *, of: int
    ) -> Mapping[str, Value]:
        async with self._access() as tables:
            later = [
                event
                for event in _of(tables, owner_id)
                if event.task_id == task_id and version < event.version <= of
            ]
        if len(later) != of - version:
            raise HistoryGone
        content: dict[str, Value] = {}
        for event in later:
            for field, change in event.changes.items():
                content.setdefault(field, change.was)
        return content

    async def remove_old(self, before: datetime, limit: int) -> Removal:
        async with self._access() as tables:
            old = [place for place, event in sorted(tables.events.items()) if event.at < before]
            # MAX_LOG_BYTES is not enforced: all that is here fits into this process's memory.
            for owner_id, position in old[:limit]:
                del tables.events[owner_id, position]
                tables.floors[owner_id] = position
            return Removal(len(old[:limit]), more=len(old) > limit)


def _of(tables: Tables, owner_id: UserId) -> list[TaskEvent]:
    return [event for (owner, _), event in sorted(tables.events.items()) if owner == owner_id]
