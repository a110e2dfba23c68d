"""Following what happens to one's tasks."""

from dataclasses import dataclass

from taskcore.domain.policies import Actor, own_id
from taskcore.domain.rules import check_slice
from taskcore.ports import ChangesPage, LogPosition, Store

MAX_CHANGES = 500
"""How many events a page covers at most."""


@dataclass(frozen=True, slots=True)
class Changes:
    store: Store

    async def page(
        self, actor: Actor, *, after: LogPosition | None = None, limit: int = MAX_CHANGES
    ) -> ChangesPage:
        """What has changed in the actor's account after that place, as it is now.

        Without `after`, nothing, and the present end: take it, read all tasks, then follow the
        changes. So nothing is missed, whatever is written meanwhile. Raises Invalid, and
        CursorExpired where changes behind that place are not kept any more: begin anew.
        """
        check_slice(0, limit, MAX_CHANGES)
        owner_id = own_id(actor)
        async with self.store.autocommit(actor.user_id) as db:
            if after is None:
                return ChangesPage([], await db.events.end(owner_id), has_more=False)
            return await db.events.changes(owner_id, after=after, limit=limit)
