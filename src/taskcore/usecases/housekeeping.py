"""Removing what nothing needs any more."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from taskcore.ports import Batch, Leftovers, Store


@dataclass(frozen=True, slots=True)
class Progress:
    """After a batch: what it has removed, and what is left."""

    removed: Leftovers
    left: Leftovers


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """Takes no actor: it removes only what is gone for every reader already.

    A server runs it at its start, after a deletion and every minute; `taskcli housekeeping` runs it
    once. A program that opens a core of its own calls it when it likes.

    What grows, and what bounds it:

    - accounts that are deleted, and their tasks: removed here
    - sessions: 50 for a user (MAX_SESSIONS), removed by that user's next login
      (`SessionRepository.open`)
    - refresh tokens: those of a session, removed with it; it lives 30 days (SESSION_LIFETIME), and
      REFRESH_ACCOUNT limits how many those of an account get a day
    - rate limits: one row for a limit and subject, removed by the limiter when its period is over
    - numbers of tasks: 32 rows for an owner, removed with the account
    - audit events: not bounded, because they are kept for good
    """

    store: Store
    batch: int
    """How many tasks a transaction removes at most."""

    async def sweep(self) -> AsyncGenerator[Progress, None]:
        """Remove all there is to remove, a short transaction at a time.

        Ends when nothing is left. May be ended at any moment: the next call of any process goes
        on. One process works at a time; while it is another one, `removed` is zero, so wait then.
        Raises Unavailable.
        """
        batch, limit = Batch(0, 0), self.batch
        async with self.store.autocommit() as db:
            left = await db.leftovers.count()
            while left.accounts:
                batch = await db.leftovers.remove(limit, after=batch)
                if batch.tasks:  # fewer than `limit`, perhaps because the store is slow
                    limit = min(self.batch, 2 * batch.tasks)
                left = await db.leftovers.count()
                yield Progress(Leftovers(batch.accounts, batch.tasks), left)
