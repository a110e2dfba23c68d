"""Batching: requests that wait at the same time share one statement, as in group commit.

    get(1)  get(2)  get(3)    Autocommit.batched: passes each request to the statement's Batcher
       |       |       |
       +-------+-------+      Batcher.submit: queues it; starts a task unless enough of them run
               |
             queue            Batcher._drain: the task takes batch after batch until none is left
               |
         one statement        Autocommit._run_batch: one connection, one round trip
               |
       +-------+-------+      Batcher._send: gives each request its rows or its error
       |       |       |

In a transaction, BorrowedConnection.batched runs a batch of one at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple

from taskcore.adapters.postgres.errors import concerns_one_request
from taskcore.adapters.postgres.statements import BatchedStatement, Rows, Values

RunBatch = Callable[[BatchedStatement, Sequence[Values]], Awaitable[Sequence[Rows]]]

# Limits of one batch. Larger batches save little time, and all their rows are in memory at once.
MAX_REQUESTS = 32
MAX_ROWS = MAX_REQUESTS * 26  # pages of 25, each with one more row to see whether it is the last


class _Request(NamedTuple):
    values: Values
    result: "asyncio.Future[Rows]"


class Batcher:
    """The queue of one statement.

    A lone request is sent at once. Requests that arrive while a statement runs form the next
    batch, so batches grow with the load. A request sees everything that was committed before it,
    because no request joins a statement that has been sent.
    """

    def __init__(self, statement: BatchedStatement, run_batch: RunBatch) -> None:
        self._statement, self._run_batch = statement, run_batch
        self._queue: list[_Request] = []
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()  # kept here: the loop's references are weak

    async def submit(self, values: Values) -> Rows:
        """Raises what the statement would raise for this request alone."""
        loop = asyncio.get_running_loop()
        request = _Request(values, loop.create_future())
        self._queue.append(request)
        if self._running < self._statement.max_concurrent:
            self._running += 1
            # A separate task: the caller that creates it may be cancelled while others wait. The
            # empty context keeps that caller's request id out of log lines about the batch.
            task = loop.create_task(self._drain(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await request.result

    async def _drain(self) -> None:
        try:
            while self._queue:
                count = self._batch_size()
                batch, self._queue = self._queue[:count], self._queue[count:]
                await self._send(batch)
        finally:
            # Not in the done-callback: a request queued before that ran would start no task.
            self._running -= 1

    def _batch_size(self) -> int:
        """How many queued requests fit into one batch: at least one, even beyond MAX_ROWS."""
        rows = 0
        for count, request in enumerate(self._queue[:MAX_REQUESTS]):
            rows += self._statement.max_rows(request.values)
            if rows > MAX_ROWS and count:
                return count
        return MAX_REQUESTS

    async def _send(self, batch: Sequence[_Request]) -> None:
        batch = [request for request in batch if not request.result.done()]  # drop cancelled ones
        if not batch:
            return
        try:
            results = await self._run_batch(self._statement, [request.values for request in batch])
        except Exception as error:  # noqa: BLE001 - raised in the callers
            if len(batch) > 1 and concerns_one_request(error):
                await asyncio.gather(*(self._send([request]) for request in batch))
            else:
                self._fail(batch, error)
        except BaseException:  # the process is stopping
            for _, result in [*batch, *self._queue]:
                result.cancel()
            raise
        else:
            for (_, result), rows in zip(batch, results, strict=True):
                if not result.done():
                    result.set_result(rows)

    def _fail(self, batch: Sequence[_Request], error: Exception) -> None:
        if not concerns_one_request(error):  # queued requests would meet it too
            batch, self._queue = [*batch, *self._queue], []
        for _, result in batch:
            if not result.done():
                result.set_exception(error)
