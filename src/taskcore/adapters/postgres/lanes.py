"""Lanes, for what may be slow and for connections: few at a time, and users take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

from taskcore.domain.errors import Overloaded
from taskcore.ports import BUDGET

Clock = Callable[[], float]
WIDTH = 4
WAIT = 1.0  # seconds
REMEMBERED_FOR = 60.0  # seconds
MAX_REMEMBERED = 1000  # users
# Of the turns of a user half is forgotten in so many seconds, and all of so few seconds of them.
PERIOD = 10.0
_LITTLE = 0.02
# A user is heavy whose turns took so many seconds, and on average so many. Many short turns make
# none, and one long turn does not: on a busy machine any turn may be long.
HEAVY_AFTER = 1.0
LONG = 0.3
# How many requests may wait, of one user and of all. These numbers bound the memory; WAIT ends the
# wait of most requests.
MAX_WAITING_OF_ONE = 32
MAX_WAITING = 256


class Remembered:
    """Users, for a minute since they were added last; at most MAX_REMEMBERED of them.

    None, which stands for no user, is not remembered.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self._until: dict[Hashable, float] = {}  # the oldest first
        self._clock = clock

    def __contains__(self, user: Hashable) -> bool:
        return self._until.get(user, 0) > self._clock()

    def add(self, user: Hashable) -> None:
        if user is None:
            return
        self._until.pop(user, None)
        if len(self._until) >= MAX_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[user] = self._clock() + REMEMBERED_FOR


class Spent:
    """How many turns each user had and how many seconds they took; each `period` forgets half.

    A period of 0 counts nothing. Where there are more than MAX_REMEMBERED users, all is forgotten.
    """

    def __init__(self, period: float, clock: Clock) -> None:
        self._period, self._clock = period, clock
        self._by: dict[Hashable, tuple[float, float]] = {}  # seconds and turns
        self._until = clock() + period

    def of(self, user: Hashable) -> float:
        seconds, _ = self._by.get(user, (0.0, 0.0))
        return seconds

    def is_heavy(self, user: Hashable) -> bool:
        seconds, turns = self._by.get(user, (0.0, 0.0))
        return seconds > HEAVY_AFTER and seconds > LONG * turns

    @contextmanager
    def counted(self, user: Hashable) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            now = self._clock()
            if self._period:
                self._forget(now)
                seconds, turns = self._by.get(user, (0.0, 0.0))
                self._by[user] = seconds + now - began, turns + 1

    def _forget(self, now: float) -> None:
        if len(self._by) >= MAX_REMEMBERED:
            self._by.clear()
        if now >= self._until:
            self._by = {
                user: (seconds / 2, turns / 2)
                for user, (seconds, turns) in self._by.items()
                if seconds > _LITTLE
            }
            self._until = now + self._period


class Lane:
    """Gives at most `width` turns at a time, and at most `of_one` at a time to each user.

    A turn that becomes free goes to the user who has waited for one the longest, however many
    requests the others have. So the many requests of one user delay that user, and other users by
    one turn only. A request waits for `wait` seconds at most.

    With a `period` in seconds, it goes to the user whose turns took the least time in all lately:
    many users with long turns, who may be one client, then delay others by one turn only. Heavy
    users have half of all turns together: the others are free meanwhile.
    """

    def __init__(
        self,
        *,
        width: int = WIDTH,
        of_one: int = 1,
        wait: float = WAIT,
        max_waiting_of_one: int = MAX_WAITING_OF_ONE,
        period: float = 0.0,
        clock: Clock = monotonic,
    ) -> None:
        self._free, self._of_one, self._wait = width, of_one, wait
        self._max_waiting_of_one = max_waiting_of_one
        self._turns_of_heavy = max(1, width // 2)
        self._spent = Spent(period, clock)
        self.refused = 0
        self._running: Counter[Hashable] = Counter()
        # The user whose turn is next comes first. A user without requests has no entry.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, user: Hashable) -> AsyncIterator[None]:
        """Raises Overloaded as `begin` does."""
        await self.begin(user)
        try:
            with self._spent.counted(user):
                yield
        finally:
            self.end(user)

    async def begin(self, user: Hashable) -> None:
        """Wait for a turn. `end` must follow.

        Raises Overloaded: at once when too many wait, else when the wait is too long.
        """
        if self._free and self._has_room(user):
            self._start(user)
        else:
            await self._admitted(user)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _has_room(self, user: Hashable) -> bool:
        if self._running[user] >= self._of_one:
            return False
        is_heavy = self._spent.is_heavy
        return not is_heavy(user) or sum(map(is_heavy, self._running)) < self._turns_of_heavy

    async def _admitted(self, user: Hashable) -> None:
        queue = self._waiting.get(user, deque())
        if len(queue) >= self._max_waiting_of_one or self.waiting >= MAX_WAITING:
            self.refused += 1
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
                self.end(user)  # admitted at the very moment in which the wait ended
            elif admission in queue:  # else `end` has dropped it
                queue.remove(admission)
                if not queue:
                    del self._waiting[user]
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Overloaded from None
            raise
        finally:
            budget.left -= monotonic() - began

    def _start(self, user: Hashable) -> None:
        self._free -= 1
        self._running[user] += 1

    def end(self, user: Hashable) -> None:
        self._free += 1
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        if user in self._waiting:  # the others come first
            self._waiting[user] = self._waiting.pop(user)
        for other in sorted(self._waiting, key=self._spent.of):  # of equal ones the first
            if self._has_room(other) and self._admitted_one(other):
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
