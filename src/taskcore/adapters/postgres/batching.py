"""Batching: requests that wait at the same time share one statement, as in group commit.

    get(1)  get(2)  get(3)    Autocommit.batched: passes each request to the statement's Batcher
       |       |       |
       +-------+-------+      Batcher.submit: queues it; starts a task unless enough of them run
               |
             queue            Batcher._send_all: the task takes batch after batch until none is left
               |
         one statement        Autocommit._run_batch: one connection, one round trip
               |
       +-------+-------+      Batcher._send: gives each request its rows or its error
       |       |       |
       +-- on failure -+      Batcher._retry: runs each request alone, while the queue goes on

While there is one client, Batcher.submit runs a request itself. In a transaction,
BorrowedConnection.batched runs a batch of one at once.
"""

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from typing import NamedTuple

from taskcore.adapters.postgres.errors import NO_ANSWER, concerns_one_request
from taskcore.adapters.postgres.statements import BatchedStatement, Rows, Values
from taskcore.domain.errors import OutcomeUnknown, Unavailable
from taskcore.ports import BUDGET

RunBatch = Callable[[BatchedStatement, Sequence[Values]], Awaitable[Sequence[Rows]]]

# Limits of one batch. With larger ones this process and the database would work in turns instead of
# at the same time: one batch would hold the requests of all clients. All its rows are in memory at
# once: 32 pages of 25, each with one more row to see whether it is the last.
MAX_REQUESTS = 16
MAX_WEIGHT = 32 * 26
# A request that weighs more shares no batch: it would delay those of others.
HEAVY = MAX_WEIGHT // 4
# After a batch has failed: how many of all retried requests run at once, and the seconds in which
# those of one batch may start. If every statement takes too long, and not only that of one
# request, a batch costs its own timeout and those of a few statements more.
RETRIED_AT_ONCE = 3
RETRY_WITHIN = 2.0
LONE = 16  # so many batches of one request in a row are a sign that there is one client
_LOOK_EVERY = 0.1  # seconds; so much later than its budget a request ends


class _Request(NamedTuple):
    values: Values
    result: "asyncio.Future[Rows]"
    turn: int
    until: float  # by the clock of the event loop


class Batcher:
    """The queue of one statement.

    A lone request is sent at once. Requests that arrive while a statement runs form the next
    batch, so batches grow with the load. A request sees everything that was committed before it,
    because no request joins a statement that has been sent.

    Users take turns: the first requests of all users come before the second ones, and a user who
    comes later begins with the turn that is being served. So a request does not wait for the many
    of another user. (In a queue without users, requests are served in the order of their arrival.)
    """

    def __init__(
        self,
        statement: BatchedStatement,
        run_batch: RunBatch,
        retries: asyncio.Semaphore,
        retry_within: float = RETRY_WITHIN,
    ) -> None:
        """`retries` is shared by all batchers, so that their retries do not fill the pool."""
        self._statement, self._run_batch = statement, run_batch
        self._retries, self._retry_within = retries, retry_within
        self._queue: list[_Request] = []  # by turn
        self._turn = 0  # the one served last
        self._turns: dict[Hashable, int] = {}  # the last one of each user; emptied with the queue
        self._running = 0
        self._lone = 0  # batches of one since the last larger one
        self._sent: list[Sequence[_Request]] = []  # batches without an answer
        self._watch: asyncio.TimerHandle | None = None  # while requests wait
        self._tasks: set[asyncio.Task[None]] = set()  # kept here: the loop's references are weak

    async def submit(self, values: Values, user: Hashable = None) -> Rows:
        """Raises what the statement would raise for this request alone.

        Takes its time from the budget of the request. Others of its batch may have more, so the
        statement goes on without it.
        """
        if self._lone >= LONE and not self._running:  # then none is queued either
            return await self._run_alone(values)
        budget = BUDGET.get()
        if budget.left <= 0:
            raise Unavailable(NO_ANSWER)
        loop = asyncio.get_running_loop()
        began = loop.time()
        turn = max(self._turns.get(user, -1) + 1, self._turn)
        self._turns[user] = turn
        request = _Request(values, loop.create_future(), turn, began + budget.left)
        insort(self._queue, request, key=_turn)
        if self._running < self._statement.max_concurrent:
            self._running += 1
            self._start(self._send_all())
        if self._watch is None:
            self._watch = loop.call_later(_LOOK_EVERY, self._look)
        try:
            return await request.result
        finally:
            budget.left -= loop.time() - began

    async def _run_alone(self, values: Values) -> Rows:
        """Run a request in the caller's own task. Those that come meanwhile form a batch.

        That saves a third of the time that a statement costs this process. But only while there
        is one client: of several, requests arrive in one round of the event loop, and a task that
        begins in the next round serves them together.
        """
        self._running += 1
        try:
            (rows,) = await self._run_batch(self._statement, [values])
        except Exception as error:
            if BUDGET.get().left > 0:  # else it is the time of this request that is over
                self._fail([], error)
            raise
        else:
            return rows
        finally:
            self._running -= 1
            if self._queue:
                self._running += 1
                self._start(self._send_all())

    def _look(self) -> None:
        """End the requests whose time is over: one timer for all, instead of one for each."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [each for each in self._queue if each.until <= now]
        if late:
            _refuse(late, Unavailable(NO_ANSWER))
            self._queue = [each for each in self._queue if each.until > now]
        error = OutcomeUnknown() if self._statement.writes else Unavailable(NO_ANSWER)
        for batch in self._sent:
            _refuse([each for each in batch if each.until <= now], error)
        is_idle = not self._queue and not self._sent
        self._watch = None if is_idle else loop.call_later(_LOOK_EVERY, self._look)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        # A separate task: the caller that creates it may be cancelled while others wait. The
        # empty context keeps that caller's request id out of log lines about the batch.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self) -> None:
        try:
            while self._queue:
                count = self._batch_size()
                batch, self._queue = self._queue[:count], self._queue[count:]
                self._end_turns(batch[-1].turn)
                await self._send(batch)
        finally:
            # Not in the done-callback: a request queued before it runs would start no task.
            self._running -= 1

    def _end_turns(self, turn: int) -> None:
        self._turn = turn
        if not self._queue:
            self._turns.clear()
        elif len(self._turns) > 2 * len(self._queue) + MAX_REQUESTS:  # most have nothing queued
            self._turns = {user: last for user, last in self._turns.items() if last > turn}

    def _batch_size(self) -> int:
        """How many queued requests fit into one batch: at least one, even beyond MAX_WEIGHT."""
        weight = 0
        for count, request in enumerate(self._queue[:MAX_REQUESTS]):
            weight += self._statement.weight(request.values)
            if weight > MAX_WEIGHT and count:
                return count
        return MAX_REQUESTS

    async def _send(self, batch: Sequence[_Request]) -> None:
        batch = [request for request in batch if not request.result.done()]  # drop cancelled ones
        if not batch:
            return
        self._sent.append(batch)
        self._lone = self._lone + 1 if len(batch) == 1 else 0
        try:
            results = await self._run_batch(self._statement, [request.values for request in batch])
        except Exception as error:  # noqa: BLE001 - raised in the callers
            if len(batch) > 1 and self._may_retry(error):
                self._start(self._retry(batch, error))  # the queue need not wait for it
            else:
                self._fail(batch, error)
        except BaseException:  # the process is stopping
            _cancel([*batch, *self._queue])
            raise
        else:
            for request, rows in zip(batch, results, strict=True):
                if not request.result.done():
                    request.result.set_result(rows)
        finally:
            self._sent.remove(batch)

    def _may_retry(self, error: Exception) -> bool:
        """Not if all waited for the same account, which is locked."""
        is_locked = self._statement.waits and isinstance(error, Unavailable)
        return concerns_one_request(error) and not is_locked

    async def _retry(self, batch: Sequence[_Request], error: Exception) -> None:
        """Run each request alone; those that cannot start in time fail with the batch's error."""
        until = asyncio.get_running_loop().time() + self._retry_within
        self._sent.append(batch)
        try:
            await asyncio.gather(*(self._retry_one(request, error, until) for request in batch))
        except BaseException:  # the process is stopping
            _cancel(batch)
            raise
        finally:
            self._sent.remove(batch)

    async def _retry_one(self, request: _Request, error: Exception, until: float) -> None:
        async with self._retries:
            if asyncio.get_running_loop().time() < until:
                await self._send([request])
            else:
                self._fail([request], error)

    def _fail(self, batch: Sequence[_Request], error: Exception) -> None:
        _refuse(batch, error)
        if not concerns_one_request(error):  # queued requests would meet it too
            queue, self._queue = self._queue, []
            # The queued requests were not sent, so what they ask for is not done.
            _refuse(queue, Unavailable(NO_ANSWER) if isinstance(error, OutcomeUnknown) else error)


def _refuse(requests: Sequence[_Request], error: Exception) -> None:
    for request in requests:
        if not request.result.done():
            request.result.set_exception(error)


def _cancel(requests: Sequence[_Request]) -> None:
    for request in requests:
        request.result.cancel()


def _turn(request: _Request) -> int:
    return request.turn
