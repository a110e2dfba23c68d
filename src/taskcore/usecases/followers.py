"""Who follows the changes of an account in this process, and what wakes them."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskcore.domain.errors import Overloaded, TooMany, Unavailable
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.users import UserId
from taskcore.ports import ChangedTask, ChangesPage, Clock, LogPosition, Store

if TYPE_CHECKING:
    import asyncio

# asyncio is imported where it is used: `import taskcore` would take twice as long with it.
# ruff: noqa: PLC0415

PER_USER = 5
AT_ONCE = 2000  # of all users, in one process
EVERY = 0.5  # seconds
# A follower that was told a change is told the next ones so many seconds later, all together: each
# look takes two statements, and an account may have five followers that look after each write.
PAUSE = 0.1
# Of the ten connections that a process has. Without a bound, many followers with news at the same
# moment would keep them from requests.
_READS = 4
_PAGE = 100  # events; a page has half a megabyte at most, kept while a client does not read


Wake = Callable[[UserId], None]
"""Called by what has changed the tasks, sessions or rights of a user, once that is committed."""


@dataclass(eq=False, slots=True)
class Follower:
    actor: Actor
    news: "asyncio.Event"
    """Something may have changed, or the right to follow may have ended."""
    place: LogPosition | None = None
    """Up to where the changes were read for it; None before it is known."""


class Followers:
    """At most PER_USER of a user and AT_ONCE in all, in each process.

    A write in this process wakes the followers of the account at once, each ten times a second at
    most, so that a flood of writes does not become one of reads. For those of other processes
    two statements ask every EVERY seconds, for all followers together: how far the log of each
    account reaches, and which sessions still last. A follower that waits holds no connection.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        import asyncio

        self._store, self._clock = store, clock
        self._of: dict[UserId, list[Follower]] = {}
        self._reads = asyncio.Semaphore(_READS)
        self._watch: asyncio.Task[None] | None = None
        self._left = asyncio.Event()
        self._is_closed = False

    @property
    def count(self) -> int:
        return sum(map(len, self._of.values()))

    def wake(self, user_id: UserId) -> None:
        """Their tasks, sessions or rights may have changed."""
        for follower in self._of.get(user_id, ()):
            follower.news.set()

    def close(self) -> None:
        """Those who follow end, and no other may begin: the process stops."""
        self._is_closed = True
        for user_id in self._of:
            self.wake(user_id)

    @asynccontextmanager
    async def joined(self, actor: Actor) -> AsyncIterator[Follower]:
        """Raises TooMany, Overloaded, and Forbidden for an actor without an account."""
        import asyncio

        user_id, follower = own_id(actor), Follower(actor, asyncio.Event())
        if len(self._of.get(user_id, ())) >= PER_USER:
            raise TooMany(f"You follow your changes {PER_USER} times already; end one of them")
        if self._is_closed or self.count >= AT_ONCE:
            raise Overloaded
        self._of.setdefault(user_id, []).append(follower)
        if self._watch is None or self._watch.done():
            self._left.clear()
            # In a context of its own: it serves not only the request that came first.
            self._watch = asyncio.create_task(self._run(), context=Context())
        try:
            yield follower
        finally:
            self._of[user_id].remove(follower)
            if not self._of[user_id]:
                del self._of[user_id]
            if not self._of:
                self._left.set()

    async def told(
        self,
        follower: Follower,
        *,
        after: LogPosition | None,
        idle: float,
        catching_up: AbstractAsyncContextManager[object] | None = None,
    ) -> AsyncGenerator[Sequence[ChangedTask], None]:
        """What changes after that place, page by page; without one, what changes from now on.

        An empty page comes first where no place is given, and after `idle` seconds without a
        change. `catching_up`, such as a lock that several followers share, is held while a page is
        read that was there before this follower came for it; what changes now does not wait for it.
        Ends with the right to follow. While the store is away it waits. Raises CursorExpired.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        quiet_since, next_look = loop.time(), -math.inf
        follower.place, is_behind = after, after is not None
        while True:
            if not is_behind and next_look > loop.time():
                await asyncio.sleep(next_look - loop.time())
            next_look = loop.time() + PAUSE
            follower.news.clear()
            page = None
            with suppress(Unavailable):
                turn = catching_up if is_behind and catching_up else nullcontext()
                async with turn, self._reads:
                    if not await self._may_follow(follower.actor):
                        return
                    page = await self._read(own_id(follower.actor), follower.place)
            if page is not None:
                begins = follower.place is None
                follower.place, is_behind = page.end, page.has_more
                if page.items or begins:
                    yield page.items
                    quiet_since = loop.time()
                if is_behind:
                    await asyncio.sleep(0)  # others are served before the next page
                    continue
            retry_at = loop.time() + EVERY if page is None else math.inf
            while not follower.news.is_set() and (now := loop.time()) < retry_at:
                if now >= quiet_since + idle:
                    yield ()
                    quiet_since = now
                with suppress(TimeoutError):
                    wait = min(quiet_since + idle, retry_at) - now
                    await asyncio.wait_for(follower.news.wait(), wait)

    async def _read(self, owner_id: UserId, after: LogPosition | None) -> ChangesPage:
        # Not in the user's name: a user who has read much would wait for a turn, and keep the reads
        # of all others waiting meanwhile.
        async with self._store.autocommit() as db:
            if after is None:
                return ChangesPage([], await db.events.end(owner_id), has_more=False)
            return await db.events.changes(owner_id, after=after, limit=_PAGE)

    async def _may_follow(self, actor: Actor) -> bool:
        """By what is stored now, so that no change is told once the session has ended."""
        found = None
        if actor.session_id is not None:
            async with self._store.autocommit() as db:
                found = await db.sessions.find_actor(actor.session_id, self._clock.now())
        return self._has_right(actor, found)

    def _has_right(self, actor: Actor, found: Actor | None) -> bool:
        """`found` is the actor of the same session, if it still lasts."""
        if actor.session_id is None:  # a program that uses the library, or the command line
            return not self._is_closed
        return (
            not self._is_closed
            and found is not None
            and (found.user_id, found.role) == (actor.user_id, actor.role)
            and self._clock.now().timestamp() < actor.expires
        )

    async def _run(self) -> None:
        """While any follow. The store may be away for a while."""
        import asyncio

        while self._of:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), EVERY)
            self._left.clear()
            if self._of:
                try:
                    await self._look()
                except Unavailable:
                    pass
                except Exception:  # noqa: BLE001 - each follower meets it too, and reports it
                    for user_id in self._of:
                        self.wake(user_id)

    async def _look(self) -> None:
        followers = [follower for each in self._of.values() for follower in each]
        sessions = {id_ for each in followers if (id_ := each.actor.session_id)}
        async with self._store.autocommit() as db:
            ends = await db.events.ends(list(self._of))
            actors = await db.sessions.find_actors(list(sessions), self._clock.now())
        for follower in followers:
            actor, place = follower.actor, follower.place
            has_changed = place is not None and ends.get(own_id(actor), 0) != place.position
            found = actors.get(actor.session_id) if actor.session_id else None
            if has_changed or not self._has_right(actor, found):
                follower.news.set()
