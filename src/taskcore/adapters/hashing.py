"""The threads in which passwords are hashed, and the queue before them."""

import asyncio
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

from taskcore.lanes import Lane, Shares
from taskcore.ports import BUDGET, HomeLoop, Measures, time_budget

Result = TypeVar("Result")

# Hashes that may wait for each thread. With argon2 64 take some 2 s.
QUEUE = 64
WAIT = 2.0  # seconds


class HashingThreads:
    """Hash functions release the GIL, so the event loop goes on while they run.

    The number of threads bounds the hashes that run at once, even when callers are cancelled: one
    that runs keeps its turn until it is done. One that waits when its caller is cancelled, or when
    the client of the request has left, never runs.

    Clients that wait have the threads for equal times, however many hashes each has (`Shares`). A
    client that is alone may use all threads: another one waits for the end of one hash. Raises
    Overloaded for a hash that has waited for WAIT, and when the queue is full, for the last one of
    the client that has the most waiting.
    """

    def __init__(self, threads: int | None = None, *, queue: int | None = None) -> None:
        self.count = threads or os.cpu_count() or 1
        self._queue = QUEUE * self.count if queue is None else queue
        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="hashing")
        self._refused = 0  # in loops that are closed
        self._home, self._lane = HomeLoop(), self._new_lane()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Raises Overloaded."""
        if self._home.is_over():
            self._refused += self._lane.refused
            self._home, self._lane = HomeLoop(), self._new_lane()
        self._home.check()
        lane, loop, budget = self._lane, asyncio.get_running_loop(), BUDGET.get()
        client = budget.client
        with time_budget(
            math.inf
        ):  # the wait takes nothing from what the request has for the store
            await lane.begin(client, budget.gone)
        began = monotonic()

        def done(_: "Future[Result]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(end)

        def end() -> None:
            lane.end(client, monotonic() - began)

        try:
            future = self._pool.submit(work)
        except RuntimeError:  # closed
            end()
            raise
        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    @property
    def waiting(self) -> int:
        return self._lane.waiting

    @property
    def running(self) -> int:
        return self._lane.running

    def measures(self) -> Measures:
        return {
            "hashing:running": self.running,
            "hashing:waiting": self.waiting,
            "hashing_refused": self._refused + self._lane.refused,
        }

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _new_lane(self) -> Lane:
        return Lane(
            width=self.count,
            of_one=self.count,
            wait=WAIT,
            max_waiting_of_one=self._queue,
            max_waiting=self._queue,
            spent=Shares(),
        )
