"""Links whose statements are spans. Without a tracer none of them is made.

A statement that several requests share is a span of each of them, from the time at which it was
queued until the answer, with the number of requests; the batch has no span of its own. Waits for a
connection, BEGIN and COMMIT have none: they are what a use case took beyond its statements.
"""

import re
from collections.abc import Hashable, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor

from taskcore.adapters.postgres.autocommit import Autocommit, Shared
from taskcore.adapters.postgres.connections import BorrowedConnection, Connections
from taskcore.adapters.postgres.presence import Presence
from taskcore.adapters.postgres.statements import BatchedStatement, Rows, Statement, Values
from taskcore.ports import Tracer

REQUESTS = "taskcore.batch.requests"
# Beside the values of a request; no statement has such an argument.
_SPAN = "span of the request"
# Whether a batch is run, of whose requests each has a span already.
_IN_BATCH: ContextVar[bool] = ContextVar("in_batch", default=False)
_MAX_NAME = 100  # characters
_WRITES = re.compile(r"\b(INSERT) INTO (\w+)|\b(DELETE) FROM (\w+)|\b(UPDATE) (\w+) SET\b")
_READS = re.compile(r"\b(?:FROM|JOIN) (?!LATERAL\b)(\w+)\b(?!\()")
_NAMED_PARTS = re.compile(r"\b(\w+)(?: ?\([\w, ]*\))? AS (?:NOT )?(?:MATERIALIZED )?\(")


class TracedConnection(BorrowedConnection):
    __slots__ = ("_tracer",)

    def __init__(
        self, tracer: Tracer, connection: AsyncConnection[Any], presence: Presence
    ) -> None:
        super().__init__(connection, presence)
        self._tracer = tracer

    async def execute(self, statement: Statement, arguments: list[Any]) -> AsyncRawCursor[Any]:
        if _IN_BATCH.get():
            return await super().execute(statement, arguments)
        with self._tracer.statement(*_described(statement)):
            return await super().execute(statement, arguments)


class TracedConnections(Connections):
    def __init__(self, tracer: Tracer, url: str, *, size: int, pooler: bool) -> None:
        super().__init__(url, size=size, pooler=pooler)
        self.link = partial(TracedConnection, tracer)


class TracedAutocommit(Autocommit):
    __slots__ = ("_tracer",)

    def __init__(self, tracer: Tracer, shared: Shared, user: Hashable) -> None:
        super().__init__(shared, user)
        self._tracer = tracer

    async def _submit(self, statement: BatchedStatement, values: Values) -> Rows:
        with self._tracer.statement(*_described(statement)) as span:
            return await super()._submit(statement, {**values, _SPAN: span})

    async def _run_batch(
        self, statement: BatchedStatement, requests: Sequence[Values]
    ) -> Sequence[Rows]:
        if len(requests) > 1:
            for values in requests:
                if span := values.get(_SPAN):
                    span.note(REQUESTS, len(requests))
        before = _IN_BATCH.set(True)  # a lone request runs its batch itself
        try:
            return await super()._run_batch(statement, requests)
        finally:
            _IN_BATCH.reset(before)


@lru_cache(maxsize=1024)  # most are made at import, those of filters as they are asked for
def _described(statement: Statement) -> tuple[str, dict[str, str]]:
    """Its name, and the SQL with its placeholders, in the words of OpenTelemetry."""
    text = repr(statement)
    return summary(text), {"db.system.name": "postgresql", "db.query.text": text}


def summary(text: str) -> str:
    """What the SQL writes, or else reads: `UPDATE tasks INSERT events`, `SELECT tasks`."""
    found = [" ".join(filter(None, each)) for each in _WRITES.findall(text)]
    if not found:
        own = set(_NAMED_PARTS.findall(text))
        tables = [name for name in _READS.findall(text) if name not in own]
        found = ["SELECT", *dict.fromkeys(tables)]
    return " ".join(dict.fromkeys(found))[:_MAX_NAME]
