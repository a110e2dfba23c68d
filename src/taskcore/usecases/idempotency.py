"""Doing what a request asks for once, however often the request is sent.

Only the answer of work that succeeds is kept: after a refusal the next attempt does the work.

When a key is that of another request, and how long answers are kept: `domain/idempotency.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from taskcore.domain.audit import NewAuditEvent
from taskcore.domain.errors import InvalidToken, KeyInProgress, NotFound
from taskcore.domain.idempotency import MAX_KEPT, check_answer, check_key
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.users import UserId
from taskcore.ports import Clock, KeyClaim, Prepare, Pseudonyms, Repositories, Store
from taskcore.usecases.change_followers import Wake
from taskcore.usecases.rate_limits import Gate

if TYPE_CHECKING:
    import asyncio

Core = TypeVar("Core")

PATIENCE = 1.0  # seconds that a request waits for the answer of the same one


@dataclass(frozen=True, slots=True)
class Answer:
    """What `Core.once` returns."""

    content: bytes = field(repr=False)
    """What `work` has returned, perhaps when it was asked for the first time."""
    is_replay: bool
    """Whether an earlier request did the work."""


@dataclass(frozen=True, slots=True)
class Idempotency(Generic[Core]):
    store: Store
    gate: Gate
    clock: Clock
    wake: Wake
    pseudonyms: Pseudonyms
    bind: Callable[[Store, Gate, Wake], Core]
    """A core whose use cases run on that store behind that gate, and in which no one logs in."""
    at_most: int = MAX_KEPT
    """How many bytes of answers an account keeps in a day."""
    _running: dict[tuple[UserId, bytes], "asyncio.Event"] = field(default_factory=dict, repr=False)
    """The keys that this process works on; bounded by the requests that it serves at a time."""

    async def once(
        self, actor: Actor, key: str, request: bytes, work: Callable[[Core], Awaitable[bytes]]
    ) -> Answer:
        """Return what `work` returns, or what it has returned to the same request before.

        The actor chooses a `key` for each request, of 1 to 255 visible ASCII characters, and sends
        it with every attempt; an answer is kept for 24 hours. `request` is all that makes it this
        request and no other, in any form. `work` gets a core whose calls are one transaction, in
        which the answer is kept as well: all of it is done, or none. So an attempt that raises
        leaves nothing behind, and the next one does the work.

        The transaction begins with the first call of that core. It is one for short work: the
        calls follow one another, and take two seconds together at most. Limits and the record of
        refusals are not undone, so a login in there is a RuntimeError.

        Raises Invalid for a malformed key and for an answer beyond 1 MiB, KeyReused when the key
        came with another request, KeyInProgress when the same request is still being worked on
        after a second, TooMany when the account keeps too much, Forbidden for an actor without an
        account, Overloaded, and what `work` raises.
        """
        check_key(key)
        claim = KeyClaim(
            own_id(actor),
            sha256(key.encode()).digest(),
            self._identity(request),
            self.clock.now(),
        )
        gate = _PatientGate(self.gate.store, self.gate.limiter, self.gate.clock, [])
        try:
            async with self._alone(claim), AsyncExitStack() as until_committed:
                woken: list[UserId] = []
                until_committed.callback(self._wake, woken)
                transaction = _OneTransaction(self.store, claim, until_committed)
                try:
                    content = await work(self.bind(transaction, gate, woken.append))
                    check_answer(content)
                    db = await transaction.begun()
                    await db.idempotency.keep(claim, content, at_most=self.at_most)
                except _Replay as replay:
                    return Answer(replay.answer, is_replay=True)
                return Answer(content, is_replay=False)
        finally:
            if gate.refusals:
                await self.gate.record(*gate.refusals)

    def _identity(self, request: bytes) -> bytes:
        """Two requests are the same if this is. It says nothing about a password in one of them.

        Without the key of the pseudonyms: a bare digest would let a reader of the database try
        passwords as fast as a digest is made.
        """
        return sha256(self.pseudonyms.of(sha256(request).hexdigest()).encode()).digest()

    def _wake(self, user_ids: Iterable[UserId]) -> None:
        for user_id in user_ids:
            self.wake(user_id)

    @asynccontextmanager
    async def _alone(self, claim: KeyClaim) -> AsyncIterator[None]:
        """Wait for the same request in this process, without a place in the store."""
        import asyncio  # noqa: PLC0415 - `import taskcore` would take twice as long with it

        place = (claim.user_id, claim.key)
        try:
            async with asyncio.timeout(PATIENCE):
                while place in self._running:
                    await self._running[place].wait()
        except TimeoutError:
            raise KeyInProgress from None
        self._running[place] = ended = asyncio.Event()
        try:
            yield
        finally:
            del self._running[place]
            ended.set()


@dataclass(frozen=True, slots=True)
class _PatientGate(Gate):
    """A gate that keeps its records until the transaction, which holds the store, has ended."""

    refusals: list[NewAuditEvent]
    """Bounded by the limits on recording."""

    async def record(self, *events: NewAuditEvent) -> None:
        self.refusals.extend(events)


class _Replay(Exception):
    """Ends the work, because it was done before. The transaction is committed all the same."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


class _OneTransaction:
    """A store whose every block is a part of one transaction.

    The transaction begins with the first block, which claims the key, so that no password is
    hashed in it.
    """

    def __init__(self, store: Store, claim: KeyClaim, until: AsyncExitStack) -> None:
        self._store, self._claim, self._until = store, claim, until
        self._db: Repositories | None = None
        self._end: Exception | None = None
        until.callback(self._forget)

    def _forget(self) -> None:
        """Else its traceback would hold what the work holds, until the garbage collector runs."""
        self._end = None

    async def begun(self, prepare: Prepare | None = None) -> Repositories:
        """Raises _Replay, and what the claim of the key raises."""
        if self._end is not None:  # the work has caught it
            raise self._end
        if self._db is not None:
            if prepare is not None:
                await prepare()
        else:
            try:
                self._db = await self._begin(prepare)
            except Exception as end:
                self._end = end
                raise
        return self._db

    async def _begin(self, prepare: Prepare | None) -> Repositories:
        transaction = self._store.transaction(self._claim.user_id, prepare)
        db = await self._until.enter_async_context(transaction)
        try:
            answer = await db.idempotency.claim(self._claim)
        except NotFound:  # the account was deleted after the actor was read
            raise InvalidToken from None
        if answer is not None:
            raise _Replay(answer)
        return db

    @asynccontextmanager
    async def transaction(
        self,
        by: UserId | None = None,  # noqa: ARG002 - it has its turn
        prepare: Prepare | None = None,
    ) -> AsyncIterator[Repositories]:
        yield await self.begun(prepare)

    def autocommit(
        self, by: UserId | None = None, *, may_lag: bool = False
    ) -> AbstractAsyncContextManager[Repositories]:
        del may_lag  # the transaction sees what it has written
        return self.transaction(by)

    async def check(self) -> None:
        await self._store.check()

    async def compact(self) -> int:
        return await self._store.compact()


class NoStore:
    """A store for what must not be undone, and so has no place in the work."""

    def transaction(self, by: UserId | None = None, prepare: Prepare | None = None) -> NoReturn:
        del by, prepare
        raise RuntimeError("log in and refresh before `once`, not in its work")

    def autocommit(self, by: UserId | None = None, *, may_lag: bool = False) -> NoReturn:
        del may_lag
        self.transaction(by)

    async def check(self) -> None:
        self.transaction()

    async def compact(self) -> int:
        self.transaction()
