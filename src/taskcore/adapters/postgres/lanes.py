"""A lane for work that may be slow: little at a time, and users take turns."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

from taskcore.domain.errors import Overloaded
from taskcore.ports import BUDGET

Clock = Callable[[], float]
WIDTH = 3
WAIT = 1.0  # seconds
# A user whose statement took more than so many seconds gets the narrow lane for SLOW_FOR seconds.
SLOW = 0.25
SLOW_FOR = 60.0
MAX_SLOW = 1000
# Of the time of long transactions half is forgotten in so many seconds, and all of so little.
PERIOD = 10.0
_LITTLE = 0.02
# How many requests may wait, of one user and of all. These numbers bound the memory; WAIT ends the
# wait of most requests.
MAX_WAITING_OF_ONE = 32
MAX_WAITING = 256


class Lanes:
    """A lane for all users, and a narrow one for users whose statements have been slow.

    A few users of huge accounts, or one client who has several, then delay each other and not the
    users of ordinary accounts: a turn of the first lane is short.
    """

    def __init__(self, *, width: int = WIDTH, slow: float = SLOW, clock: Clock = monotonic) -> None:
        self._fast, self._narrow = Lane(width=width), Lane(width=1)
        self._slow, self._clock = slow, clock
        self._slow_until: dict[Hashable, float] = {}  # at most MAX_SLOW users, the oldest first

    @asynccontextmanager
    async def turn(self, user: Hashable) -> AsyncIterator[None]:
        """Raises Overloaded as a lane does."""
        is_slow = self._slow_until.get(user, 0) > self._clock()
        async with (self._narrow if is_slow else self._fast).turn(user):
            began = self._clock()
            try:
                yield
            finally:
                if self._clock() - began > self._slow:
                    self._remember(user)

    def _remember(self, user: Hashable) -> None:
        self._slow_until.pop(user, None)
        if len(self._slow_until) >= MAX_SLOW:
            del self._slow_until[next(iter(self._slow_until))]
        self._slow_until[user] = self._clock() + SLOW_FOR


class Spent:
    """How many seconds the turns of each user took, of which each `period` forgets half.

    A period of 0 counts nothing. Where there are more than MAX_SLOW users, all is forgotten.
    """

    def __init__(self, period: float, clock: Clock) -> None:
        self._period, self._clock = period, clock
        self._by: dict[Hashable, float] = {}
        self._until = clock() + period

    def of(self, user: Hashable) -> float:
        return self._by.get(user, 0.0)

    @contextmanager
    def counted(self, user: Hashable) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            now = self._clock()
            if self._period:
                self._forget(now)
                self._by[user] = self._by.get(user, 0.0) + now - began

    def _forget(self, now: float) -> None:
        if len(self._by) >= MAX_SLOW:
            self._by.clear()
        if now >= self._until:
            self._by = {user: each / 2 for user, each in self._by.items() if each > _LITTLE}
            self._until = now + self._period


class Lane:
    """Gives at most `width` turns at a time, and one at a time to each user.

    A turn that becomes free goes to the user who has waited for one the longest, however many
    requests the others have. So the many requests of one user delay that user, and other users by
    one turn only. A request waits for `wait` seconds at most.

    With a `period` in seconds, it goes to the user whose turns took the least time in all lately:
    many users with long turns, who may be one client, then delay others by one turn only.
    """

    def __init__(
        self,
        *,
        width: int = WIDTH,
        wait: float = WAIT,
        period: float = 0.0,
        clock: Clock = monotonic,
    ) -> None:
        self._free, self._wait = width, wait
        self._spent = Spent(period, clock)
        self._running: set[Hashable] = set()
        # The user whose turn is next comes first. A user without requests has no entry.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, user: Hashable) -> AsyncIterator[None]:
        """Raises Overloaded: at once when too many wait, else when the wait is too long."""
        if self._free and user not in self._running:
            self._start(user)
        else:
            await self._admitted(user)
        try:
            with self._spent.counted(user):
                yield
        finally:
            self._end(user)

    async def _admitted(self, user: Hashable) -> None:
        queue = self._waiting.get(user, deque())
        total = sum(map(len, self._waiting.values()))
        if len(queue) >= MAX_WAITING_OF_ONE or total >= MAX_WAITING:
            raise Overloaded
        admission = asyncio.get_running_loop().create_future()
        queue.append(admission)
        self._waiting[user] = queue
        budget, began = BUDGET.get(), monotonic()
        try:
            async with asyncio.timeout(min(self._wait, budget.left)):
                await admission
        except BaseException as error:
            if admission.done() and not admission.cancelled():
                self._end(user)  # admitted at the very moment in which the wait ended
            elif admission in queue:  # else `_end` has dropped it
                queue.remove(admission)
                if not queue:
                    del self._waiting[user]
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise
        finally:
            budget.left -= monotonic() - began

    def _start(self, user: Hashable) -> None:
        self._free -= 1
        self._running.add(user)

    def _end(self, user: Hashable) -> None:
        self._free += 1
        self._running.discard(user)
        if user in self._waiting:  # the others come first
            self._waiting[user] = self._waiting.pop(user)
        for other in sorted(self._waiting, key=self._spent.of):  # of equal ones the first
            if other not in self._running and self._admitted_one(other):
                return

    def _admitted_one(self, user: Hashable) -> bool:
        """False if all of the user's requests have stopped waiting, but not left the queue yet."""
        queue = self._waiting[user]
        while queue:
            admission = queue.popleft()
            if not queue:
                del self._waiting[user]
            if not admission.done():
                admission.set_result(None)
                self._start(user)
                return True
        return False
