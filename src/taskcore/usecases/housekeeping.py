"""Removing what nothing needs any more."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from taskcore.domain.idempotency import LIFETIME
from taskcore.ports import Batch, Clock, RateLimiter, Removal, Store, TrashPosition

ACCOUNTS, EVENTS, SPACE = "accounts", "events", "unused space"

# How many rows a transaction removes at most. 2000 take PostgreSQL some 20 ms.
BATCH = 2000
# A session goes with its refresh tokens: one that a client renews every half hour of a working day
# has a hundred in a week. So this many rows are counted for it.
_ROWS_OF_SESSION = 20
# A task of the trash goes with its events, the oldest 50 of them in the same transaction, which
# holds the rows of the accounts meanwhile: their owners would wait for a large batch.
_ROWS_OF_TASK = 50


@dataclass(frozen=True, slots=True)
class Progress:
    """After a batch of one kind of work."""

    kind: str
    removed: Mapping[str, int] = field(default_factory=dict)
    """How many rows, by what they are; and how many bytes of an index."""
    elsewhere: bool = False
    """Another process does this kind at the moment, so this sweep leaves it to that one."""
    error: Exception | None = None
    """What has ended this kind. The others go on."""


Steps = AsyncGenerator[Progress, None]


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """Takes no actor: it removes only what is gone for every reader already.

    A server runs it at its start, after a deletion and every minute; `taskcli housekeeping` runs it
    once. A program that opens a core of its own calls it when it likes.

    What grows, and what bounds it:

    - accounts that are deleted, and their tasks: removed here
    - sessions: removed here once they have expired, and by their user's next login
      (`SessionRepository.open`), which also ends those beyond 50 (MAX_SESSIONS)
    - refresh tokens: those of a session, removed with it, because a used one that comes back ends
      the session however old it is. A session lives 30 days (SESSION_LIFETIME), and
      REFRESH_ACCOUNT limits how many those of an account get a day
    - rate limits: one row for a limit and subject, removed here when its period is over. Some stay
      longer: one in a hundred of those that count (`PostgresLimiter.forget`)
    - tasks: an account holds 100 000 (MAX_TASKS), those in its trash included
    - the trash: removed here after TRASH_LIFETIME
    - events of tasks: removed here after 365 days (EVENTS_LIFETIME), with a task that is purged,
      and the oldest of an account that has more than 512 MiB of them (MAX_LOG_BYTES)
    - the row that counts an account's tasks: removed with the account
    - words of tasks: 1000 of a description (MAX_DIFFERENT) and 255 of a title, removed with the
      task. PostgreSQL's index of them keeps those that no task has any more: it is rebuilt here
      when it has doubled. The other kinds wait in this process meanwhile: 20 s for 100 MB on busy
      cores
    - idempotency keys with their answers: removed here after 24 hours (LIFETIME). What an account
      keeps within them is limited (MAX_KEPT)
    - audit events: not bounded, because they are kept for good
    """

    store: Store
    limiter: RateLimiter
    clock: Clock
    trash_lifetime: timedelta
    """How long a task stays in the trash."""
    events_lifetime: timedelta
    """How long the events of tasks are kept."""
    batch: int
    """How many rows a transaction removes at most."""

    def _kinds(self) -> Mapping[str, Steps]:
        """Each kind of work: its name, and what does it, begun anew by each sweep."""
        return {
            ACCOUNTS: self._accounts(),
            "trash": _batches("trash", self._trash, self.batch // _ROWS_OF_TASK or 1),
            EVENTS: _batches(EVENTS, self._events, self.batch),
            "sessions": _batches("sessions", self._sessions, self.batch // _ROWS_OF_SESSION or 1),
            "keys": _batches("keys", self._keys, self.batch),
            "limits": _batches("limits", self._limits, self.batch),
            SPACE: self._space(),
        }

    async def sweep(self, *only: str) -> Steps:
        """Remove all there is to remove, or these kinds alone; a short transaction at a time.

        At least one step for each kind. May be ended at any moment: the next call of any process
        goes on. Raises nothing: a kind that fails ends with a step that has the error, such as
        Unavailable.
        """
        for kind, steps in self._kinds().items():
            if only and kind not in only:
                continue
            try:
                async with aclosing(steps):
                    async for step in steps:
                        yield step
            except Exception as error:  # noqa: BLE001 - passed on
                yield Progress(kind, error=error)

    async def removable(self) -> Mapping[str, int]:
        """About how many rows a sweep would remove, by what they are; nothing is removed.

        At most 100 000 of a kind. Neither rate limits are counted, nor events with their tasks or
        beyond the bytes that an account may have. Raises Unavailable.
        """
        now = self.clock.now()
        async with self.store.autocommit() as db:
            return await db.leftovers.removable(
                now=now,
                trash=now - self.trash_lifetime,
                events=now - self.events_lifetime,
                keys=now - LIFETIME,
            )

    async def _accounts(self) -> Steps:
        batch, limit, left = Batch(0, 0), self.batch, True
        while left:
            async with self.store.autocommit() as db:
                batch = await db.leftovers.remove(limit, after=batch)
                left = (await db.leftovers.count()).accounts > 0
            removed = {ACCOUNTS: batch.accounts, "tasks": batch.tasks, EVENTS: batch.events}
            elsewhere = left and not any(removed.values())
            yield Progress(ACCOUNTS, removed, elsewhere)
            if elsewhere:
                return
            if rows := batch.tasks or batch.events:  # fewer, perhaps because the store is slow
                limit = min(self.batch, 2 * rows)

    async def _space(self) -> Steps:
        yield Progress(SPACE, {"index_bytes": await self.store.compact()})

    async def _events(self, limit: int, _: None) -> Removal:
        async with self.store.autocommit() as db:
            return await db.events.remove_old(self.clock.now() - self.events_lifetime, limit)

    async def _trash(self, limit: int, place: TrashPosition | None) -> Removal:
        now = self.clock.now()
        async with self.store.autocommit() as db:
            return await db.trash.purge_old(now - self.trash_lifetime, limit, at=now, after=place)

    async def _sessions(self, limit: int, _: None) -> Removal:
        async with self.store.autocommit() as db:
            return await db.sessions.remove_expired(limit, now=self.clock.now())

    async def _limits(self, limit: int, _: None) -> Removal:
        return await self.limiter.forget(limit)

    async def _keys(self, limit: int, _: None) -> Removal:
        async with self.store.autocommit() as db:
            return await db.idempotency.forget(self.clock.now() - LIFETIME, limit)


async def _batches(kind: str, remove: Callable[[int, Any], Awaitable[Removal]], size: int) -> Steps:
    """Remove up to `size` at a time; fewer while the store is too slow for so many."""
    limit, place, more = size, None, True
    while more:
        removal = await remove(limit, place)
        limit, place = min(size, 2 * (removal.tried or limit)), removal.place
        more = removal.more and (removal.count > 0 or place is not None)
        yield Progress(kind, {kind: removal.count}, elsewhere=removal.more and not more)
