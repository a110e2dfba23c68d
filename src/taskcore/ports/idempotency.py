"""Storing idempotency keys with the answers of their requests."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from taskcore.domain.users import UserId
from taskcore.ports.leftovers import Removal


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A key of a user, and the request that it comes with; both as digests of 32 bytes."""

    user_id: UserId
    key: bytes
    request: bytes
    at: datetime


class IdempotencyRepository(Protocol):
    """Keeps answers. Both calls of a request are in the transaction that does its work."""

    async def claim(self, claim: KeyClaim) -> bytes | None:
        """The answer that is kept for this request, or None: then the caller is the first.

        Until the transaction ends, other calls with the key wait, for a second at most: then they
        raise KeyInProgress. Raises KeyReused if the kept answer is that of another request, and
        NotFound when there is no such user. An answer that is older than LIFETIME does not count.

        A transaction that has read an answer must be committed: where a commit waits for a replica,
        the answer then survives the loss of this server, as the caller's repeated answer promises.
        """

    async def keep(self, claim: KeyClaim, answer: bytes, *, at_most: int) -> None:
        """Keep the answer of a claimed key. Does nothing when the user was removed meanwhile.

        If it was not the work that removed the user, the commit raises InvalidToken.

        Raises TooMany if the user's answers would take more than `at_most` bytes within
        LIFETIME, each counted as ROW bytes more than it has.
        """

    async def forget(self, before: datetime, limit: int) -> Removal:
        """Remove up to `limit` keys that were claimed earlier than `before`, the oldest first.

        With a user's last key, if nothing was kept since, also removes how much the user kept.
        """
