"""Who follows the changes of an account in this process, and what wakes them."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskcore.domain.errors import Overloaded, TooMany, Unavailable
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import ChangedTask, ChangesPage, Clock, LogPosition, Store

if TYPE_CHECKING:
    import asyncio

# asyncio is imported where it is used: `import taskcore` would take twice as long with it.
# ruff: noqa: PLC0415

PER_USER = 5
MAX_FOLLOWERS = 2000  # of all users, in one process
EVERY = 0.5  # seconds
# An account is looked at at once, and again so many seconds later at the earliest: a change is told
# within 50 ms, and a look takes two statements.
PAUSE = 0.03
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


@dataclass(eq=False, slots=True)
class _Look:
    """What a look found: one read for all followers that join before it begins."""

    turn: "asyncio.Lock"
    """Of the follower that reads; the others find what it has read."""
    followers: list[Follower] = field(default_factory=list)
    found: dict[LogPosition | None, tuple[Mapping[SessionId, Actor], ChangesPage]] = field(
        default_factory=dict
    )
    """By the place behind which to read on (only slow followers have one of their own): the actors
    whose sessions last, which are read first, and the changes."""


@dataclass(eq=False, slots=True)
class _Account:
    coming: _Look
    """Has not begun."""
    next_look: float = -math.inf
    """When it may begin, by the clock of the event loop."""
    followers: list[Follower] = field(default_factory=list)


class Followers:
    """At most PER_USER of a user and MAX_FOLLOWERS in all, in each process.

    A write in this process wakes the followers of the account at once. They share a look at its
    log, and the next one begins PAUSE seconds later at the earliest, so that a flood of writes does
    not become one of reads. For the writes of other processes two statements ask every EVERY
    seconds, for all followers together: how far the log of each account reaches, and which sessions
    still last. A follower that waits holds no connection.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        import asyncio

        self._store, self._clock = store, clock
        self._of: dict[UserId, _Account] = {}
        self._reads = asyncio.Semaphore(_READS)
        self._watch: asyncio.Task[None] | None = None
        self._left = asyncio.Event()
        self._is_closed = False

    @property
    def count(self) -> int:
        return sum(len(each.followers) for each in self._of.values())

    def wake(self, user_id: UserId) -> None:
        """Their tasks, sessions or rights may have changed."""
        if account := self._of.get(user_id):
            for follower in account.followers:
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
        account = self._of.get(user_id) or _Account(_Look(asyncio.Lock()))
        if len(account.followers) >= PER_USER:
            raise TooMany(f"You follow your changes {PER_USER} times already; end one of them")
        if self._is_closed or self.count >= MAX_FOLLOWERS:
            raise Overloaded
        self._of[user_id] = account
        account.followers.append(follower)
        if self._watch is None or self._watch.done():
            self._left.clear()
            # In a context of its own: it serves not only the request that came first.
            self._watch = asyncio.create_task(self._run(), context=Context())
        try:
            yield follower
        finally:
            account.followers.remove(follower)
            if not account.followers:
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
        quiet_since = loop.time()
        follower.place, is_behind = after, after is not None
        while True:
            page = None
            with suppress(Unavailable):
                turn = catching_up if is_behind and catching_up else nullcontext()
                async with turn:
                    page = await self._next_page(follower, is_behind=is_behind)
                if page is None:
                    return
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

    async def _next_page(self, follower: Follower, *, is_behind: bool) -> ChangesPage | None:
        """None once the right to follow has ended. One that is behind looks alone, and at once."""
        import asyncio

        owner_id = own_id(follower.actor)
        account = self._of[owner_id]
        look = _Look(asyncio.Lock()) if is_behind else account.coming
        look.followers.append(follower)
        async with look.turn:
            if look is account.coming:
                loop = asyncio.get_running_loop()
                # Of 0 seconds too: the others that were woken by the same write join meanwhile.
                await asyncio.sleep(max(account.next_look - loop.time(), 0))
                account.coming, account.next_look = _Look(asyncio.Lock()), loop.time() + PAUSE
                for each in look.followers:
                    each.news.clear()
            if follower.place not in look.found:
                async with self._reads:
                    actors = await self._actors(look.followers)
                    if not self._may_follow(follower, actors):
                        return None
                    page = await self._read(owner_id, follower.place)
                look.found[follower.place] = actors, page
            actors, page = look.found[follower.place]
            return page if self._may_follow(follower, actors) else None

    async def _read(self, owner_id: UserId, after: LogPosition | None) -> ChangesPage:
        # Not in the user's name: a user who has read much would wait for a turn, and keep the reads
        # of all others waiting meanwhile.
        async with self._store.autocommit() as db:
            if after is None:
                return ChangesPage([], await db.events.end(owner_id), has_more=False)
            return await db.events.changes(owner_id, after=after, limit=_PAGE)

    async def _actors(self, followers: Sequence[Follower]) -> Mapping[SessionId, Actor]:
        """By what is stored now, so that no change is told once the session has ended."""
        sessions = {id_ for each in followers if (id_ := each.actor.session_id)}
        if not sessions:
            return {}
        async with self._store.autocommit() as db:
            return await db.sessions.find_actors(list(sessions), self._clock.now())

    def _may_follow(self, follower: Follower, actors: Mapping[SessionId, Actor]) -> bool:
        actor = follower.actor
        if actor.session_id is None:  # a program that uses the library, or the command line
            return not self._is_closed
        found = actors.get(actor.session_id)
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
        followers = [each for account in self._of.values() for each in account.followers]
        async with self._store.autocommit() as db:
            ends = await db.events.ends(list(self._of))
        actors = await self._actors(followers)
        for follower in followers:
            place = follower.place
            has_changed = (
                place is not None and ends.get(own_id(follower.actor), 0) != place.position
            )
            if has_changed or not self._may_follow(follower, actors):
                follower.news.set()
