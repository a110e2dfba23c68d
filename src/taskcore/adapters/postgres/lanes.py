"""A lane for statements that may be slow: few at a time, and users take turns."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
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


class Lane:
    """Gives at most `width` turns at a time, and one at a time to each user.

    A turn that becomes free goes to the user who has waited for one the longest, however many
    requests the others have. So the many requests of one user delay that user, and other users by
    one turn only. A request waits for `wait` seconds at most.
    """

    def __init__(self, *, width: int = WIDTH, wait: float = WAIT) -> None:
        self._free, self._wait = width, wait
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
        for other in list(self._waiting):
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
