"""Following what happens to one's tasks.

What a page holds at most: `domain/events.py`; who may follow, and how many: `change_followers.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from taskcore.domain.pages import MAX_LIMIT_OF_CHANGES, check_slice
from taskcore.domain.policies import Actor, own_id
from taskcore.ports import ChangedTask, ChangesPage, LogPosition, Store
from taskcore.usecases.change_followers import Followers

_LONG = 3600.0  # seconds; nothing happens then


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed in one's account, and what changes as it happens."""

    store: Store
    followers: Followers

    async def page(
        self, actor: Actor, *, after: LogPosition | None = None, limit: int = MAX_LIMIT_OF_CHANGES
    ) -> ChangesPage:
        """What has changed in the actor's account after that place, as it is now.

        Without `after`, nothing, and the present end: take it, read all tasks, then follow the
        changes. So nothing is missed, whatever is written meanwhile. Raises Invalid, and
        CursorExpired where changes behind that place are not kept any more: begin anew.
        """
        check_slice(0, limit, MAX_LIMIT_OF_CHANGES)
        owner_id = own_id(actor)
        async with self.store.autocommit(actor.user_id) as db:
            if after is None:
                return ChangesPage([], await db.events.end(owner_id), has_more=False)
            return await db.events.changes(owner_id, after=after, limit=limit)

    async def follow(
        self, actor: Actor, *, after: LogPosition | None = None
    ) -> AsyncGenerator[ChangedTask, None]:
        """What changes in the actor's account after that place, or from now on, as it happens.

        Ends with the actor's session. While the store is away it waits. To read on later, keep the
        `place` of the last one. Raises TooMany for the sixth at a time, Overloaded, and
        CursorExpired as `page` does.
        """
        async with (
            self.followers.joined(actor) as follower,
            aclosing(self.followers.told(follower, after=after, idle=_LONG)) as pages,
        ):
            async for items in pages:
                for item in items:
                    yield item
