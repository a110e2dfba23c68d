"""Those who wait at the same time share a round trip, as group commit shares a write to disk."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, NamedTuple

from taskcore.adapters.postgres.errors import is_of_one
from taskcore.adapters.postgres.statements import Gathered

Row = tuple[Any, ...]
Values = Mapping[str, Any]
Rows = list[Row]
Ask = Callable[[Gathered, Sequence[Values]], Awaitable[Sequence[Rows]]]

# In one statement: more share little more, and all the rows that they get are in memory at once.
MOST = 32
MOST_ROWS = MOST * 26  # so many pages of 25, each with one more to see whether it is the last


class _Waiting(NamedTuple):
    values: Values
    answer: "asyncio.Future[Rows]"


class Gathering:
    """The questions of one kind, and their answers.

    A lone question waits for nobody. Those that come while a statement is under way go together
    with the next: the busier it gets, the more share one. An answer is never older than its
    question, because no question joins a statement that has been sent.
    """

    def __init__(self, statement: Gathered, ask: Ask) -> None:
        self._statement, self._ask = statement, ask
        self._waiting: list[_Waiting] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them but weakly

    async def answer(self, values: Values) -> Rows:
        """Raises what the statement would raise for this question alone."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(values, loop.create_future())
        self._waiting.append(waiting)
        if self._under_way < self._statement.at_once:
            self._under_way += 1
            # On its own: whoever began it may give up, the others still wait. And in no context of
            # theirs, or its log lines would be told of one of them.
            task = loop.create_task(self._serve(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                count = self._fitting()
                batch, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._settle(batch)
        finally:
            # Here, and not when the task is seen to be done: who came in between would be waiting
            # for nobody.
            self._under_way -= 1

    def _fitting(self) -> int:
        """How many of those who wait one statement takes: the first one, whatever it asks for."""
        rows = 0
        for count, waiting in enumerate(self._waiting[:MOST]):
            rows += self._statement.rows_for(waiting.values)
            if rows > MOST_ROWS and count:
                return count
        return MOST

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        batch = [waiting for waiting in batch if not waiting.answer.done()]  # they gave up
        if not batch:
            return
        try:
            answers = await self._ask(self._statement, [waiting.values for waiting in batch])
        except Exception as error:  # noqa: BLE001 - it is theirs
            if len(batch) > 1 and is_of_one(error):
                await asyncio.gather(*(self._settle([waiting]) for waiting in batch))
            else:
                self._fail(batch, error)
        except BaseException:  # the process is being stopped
            for _, answer in [*batch, *self._waiting]:
                answer.cancel()
            raise
        else:
            for (_, answer), rows in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(rows)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if not is_of_one(error):  # whoever waits for the next statement would wait for the same
            batch, self._waiting = [*batch, *self._waiting], []
        for _, answer in batch:
            if not answer.done():
                answer.set_exception(error)
