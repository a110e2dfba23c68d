"""Lanes, for what there are few of (connections, slow work, threads): users take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Hashable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from taskcore.domain.errors import Overloaded
from taskcore.ports import BUDGET

Clock = Callable[[], float]
Gone = Callable[[], Coroutine[Any, Any, object]]
WIDTH = 4
WAIT = 1.0  # seconds
REMEMBERED_FOR = 60.0  # seconds
MAX_REMEMBERED = 1000  # users
# Of the turns of a user half is forgotten in so many seconds, and all of so few seconds of them.
PERIOD = 10.0
_LITTLE = 0.02
# A user is treated like the one who used the least time, up to twice that and so many seconds.
_ALIKE = 0.2
# A user is heavy whose turns took so many seconds together, if a moment of them lay in a turn of so
# many on average: many short turns make none, and short ones in between hide no long ones. The sum,
# because on a busy machine any turn may be long.
HEAVY_AFTER = 1.0
LONG = 0.1
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
    """How many seconds the turns of each user took, and how long they were; a period forgets half.

    A period of 0 counts nothing. Where there are more than MAX_REMEMBERED users, all is forgotten.
    """

    def __init__(self, period: float, clock: Clock) -> None:
        self._period, self._clock = period, clock
        self._by: dict[Hashable, tuple[float, float]] = {}  # sums of seconds and of their squares
        self._until = clock() + period

    def of(self, user: Hashable) -> float:
        seconds, _ = self._by.get(user, (0.0, 0.0))
        return seconds

    def in_order(self, waiting: Collection[Hashable]) -> list[Hashable]:
        """Who comes first; those who used little more than the least, as they wait.

        Small differences must not count: the user who used a little more would else wait until all
        others had used as much, which takes many turns.
        """
        alike = 2 * min(map(self.of, waiting), default=0.0) + _ALIKE
        return sorted(waiting, key=lambda user: max(self.of(user), alike))

    def is_heavy(self, user: Hashable) -> bool:
        seconds, squares = self._by.get(user, (0.0, 0.0))
        return seconds > HEAVY_AFTER and squares > LONG * seconds

    def began(self, user: Hashable) -> None:
        """A turn has begun."""

    def add(self, user: Hashable, took: float) -> None:
        """Count a turn that took so many seconds."""
        if self._period:
            self._forget(self._clock())
            seconds, squares = self._by.get(user, (0.0, 0.0))
            self._by[user] = seconds + took, squares + took * took

    def _forget(self, now: float) -> None:
        if len(self._by) >= MAX_REMEMBERED:
            self._by.clear()
        if now >= self._until:
            self._by = {
                user: (seconds / 2, squares / 2)
                for user, (seconds, squares) in self._by.items()
                if seconds > _LITTLE
            }
            self._until = now + self._period


class Shares(Spent):
    """For a lane whose users have equal times while they wait (start-time fair queueing).

    Each user has a place, which moves by the time that a turn takes. No place is before that of the
    turn that began last: what a user had when no other waited does not count against them, nor does
    it count for them that they had nothing. Another user is ahead of one who comes by one turn, or
    by none. At most MAX_REMEMBERED users; beyond that those at the last place are forgotten, or
    all.
    """

    def __init__(self) -> None:
        self._place_of: dict[Hashable, float] = {}
        self._place = 0.0

    def of(self, user: Hashable) -> float:
        return max(self._place_of.get(user, 0.0), self._place)

    def in_order(self, waiting: Collection[Hashable]) -> list[Hashable]:
        return sorted(waiting, key=self.of)  # of equal ones the first

    def is_heavy(self, user: Hashable) -> bool:  # noqa: ARG002 - each has a share
        return False

    def began(self, user: Hashable) -> None:
        self._place = self.of(user)

    def add(self, user: Hashable, took: float) -> None:
        if len(self._place_of) >= MAX_REMEMBERED:
            ahead = {user: at for user, at in self._place_of.items() if at > self._place}
            self._place_of = ahead if len(ahead) < MAX_REMEMBERED else {}
        self._place_of[user] = self.of(user) + took


class Lane:
    """Gives at most `width` turns at a time, and at most `of_one` at a time to each user.

    A turn that becomes free goes to the user who has waited for one the longest, however many
    requests the others have. So the many requests of one user delay that user, and other users by
    one turn only. A request waits for `wait` seconds at most. At most `max_waiting_of_one` wait of
    one user, and `max_waiting` of all: then the last request of the user of whom most wait is
    refused, so that users with many requests leave room for those of another.

    With a `period` in seconds, users whose turns took far more time lately than those of another
    who waits come after that one: many users with long turns, who may be one client, then delay
    others by one turn only. Heavy users have a quarter of all turns together: the others are free
    meanwhile. With `spent`, that says who is next.
    """

    def __init__(
        self,
        *,
        width: int = WIDTH,
        of_one: int = 1,
        wait: float = WAIT,
        max_waiting_of_one: int = MAX_WAITING_OF_ONE,
        max_waiting: int = MAX_WAITING,
        period: float = 0.0,
        spent: Spent | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._free, self._of_one, self._wait = width, of_one, wait
        self._max_waiting_of_one, self._max_waiting = max_waiting_of_one, max_waiting
        self._turns_of_heavy = max(1, width // 4)
        self._clock = clock
        self._spent = spent or Spent(period, clock)
        self.refused = 0
        self._running: Counter[Hashable] = Counter()
        # The user whose turn is next comes first. A user without requests has no entry.
        # True admits a request, False refuses it.
        self._waiting: dict[Hashable, deque[asyncio.Future[bool]]] = {}

    @asynccontextmanager
    async def turn(self, user: Hashable) -> AsyncIterator[None]:
        """Raises Overloaded as `begin` does, also when the client has left before its turn."""
        await self.begin(user, BUDGET.get().gone)
        began = self._clock()
        try:
            yield
        finally:
            self.end(user, self._clock() - began)

    async def begin(self, user: Hashable, gone: Gone | None = None) -> None:
        """Wait for a turn. `end` must follow.

        Raises Overloaded: at once when too many wait, else when the wait is too long, or when
        `gone` returns before its end.
        """
        if self._free and self._has_room(user):
            self._start(user)
        else:
            await self._admitted(user, gone)

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _has_room(self, user: Hashable) -> bool:
        if self._running[user] >= self._of_one:
            return False
        is_heavy = self._spent.is_heavy
        return not is_heavy(user) or sum(map(is_heavy, self._running)) < self._turns_of_heavy

    async def _admitted(self, user: Hashable, gone: Gone | None) -> None:
        of_user = len(self._waiting.get(user, ()))
        if of_user >= self._max_waiting_of_one or (
            self.waiting >= self._max_waiting and not self._displaced_one(more_than=of_user)
        ):
            self.refused += 1
            raise Overloaded
        admission = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(admission)
        watch = None if gone is None else asyncio.create_task(gone())
        if watch is not None:
            watch.add_done_callback(lambda _: self._refuse(user, admission))
        budget, began = BUDGET.get(), monotonic()
        try:
            async with asyncio.timeout(min(self._wait, budget.left)):
                is_admitted = await admission
        except BaseException as error:
            if admission.done() and not admission.cancelled():
                if admission.result():
                    self.end(user)  # admitted at the very moment in which the wait ended
            else:
                self._drop(user, admission)
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Overloaded from None
            raise
        finally:
            budget.left -= monotonic() - began
            if watch is not None:
                watch.cancel()
        if not is_admitted:
            self.refused += 1
            raise Overloaded

    def _displaced_one(self, *, more_than: int) -> bool:
        """Refuse the latest request of the user of whom most wait, if those are more."""
        user = max(self._waiting, key=lambda user: len(self._waiting[user]), default=None)
        if user is None or len(self._waiting[user]) <= more_than:
            return False
        self._refuse(user, self._waiting[user][-1])
        return True

    def _refuse(self, user: Hashable, admission: "asyncio.Future[bool]") -> None:
        """Unless it waits no longer."""
        self._drop(user, admission)
        if not admission.done():
            admission.set_result(False)

    def _drop(self, user: Hashable, admission: "asyncio.Future[bool]") -> None:
        """Take a request from the queue, if it is still there."""
        queue = self._waiting.get(user, deque())
        if admission in queue:
            queue.remove(admission)
            if not queue:
                del self._waiting[user]

    def _start(self, user: Hashable) -> None:
        self._free -= 1
        self._running[user] += 1
        self._spent.began(user)

    def end(self, user: Hashable, took: float = 0.0) -> None:
        """`took` is in seconds."""
        self._spent.add(user, took)
        self._free += 1
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        if user in self._waiting:  # the others come first
            self._waiting[user] = self._waiting.pop(user)
        for other in self._spent.in_order(self._waiting):
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
                admission.set_result(True)
                self._start(user)
                return True
        return False
