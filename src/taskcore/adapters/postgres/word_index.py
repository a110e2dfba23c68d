"""The index of words, rebuilt when most of it is about words that no task has any more."""

from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import sqlalchemy as sa
from psycopg import AsyncConnection

from taskcore.adapters.postgres.connections import Connections
from taskcore.adapters.postgres.migrate import SCHEMA_LOCK
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import Unavailable

SPARED = 64 * 2**20  # bytes; a smaller index is left as it is
GROWTH = 2  # times the size after the last rebuilding
_RETRY_AFTER = 3600.0  # seconds, after a rebuilding that failed
# The index, and before it those that an interrupted rebuilding left: words are still entered into
# them.
_STATE = Statement(
    sa.text("""
SELECT CAST(CAST(indexrelid AS regclass) AS text), coalesce(pg_relation_size(indexrelid), 0),
    CAST(substring(obj_description(indexrelid, 'pg_class') FROM '^([0-9]+) bytes') AS bigint),
    pg_has_role(relowner, 'USAGE'), NOT indisvalid
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
WHERE indrelid = to_regclass('task_words') AND amname = 'gin'
    AND (indisvalid OR strpos(relname, '_ccnew') > 0 OR strpos(relname, '_ccold') > 0)
ORDER BY indisvalid, indexrelid
""")
)


@dataclass(frozen=True, slots=True)
class _Index:
    name: str  # quoted, and with its schema where it needs one
    size: int
    rebuilt_size: int | None
    is_ours: bool  # only its owner may rebuild an index, and not through a pooler
    is_left: bool

    @property
    def is_overgrown(self) -> bool:
        return not self.is_left and self.size > max(SPARED, GROWTH * (self.rebuilt_size or 0))


class WordIndex:
    """GIN keeps each word that any task has ever had: an edit of a thousand new words adds 20 KB.

    So the index is rebuilt once it has twice the size that it had when it was rebuilt last, while
    others read and write. The size stands in the index's comment. However an account edits, the
    index grows no further, and one connection spends up to a fifth of its time on this.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._not_before = 0.0

    async def is_stuck(self) -> bool:
        """Whether it is time to rebuild the index, but this role may not."""
        return any(index.is_overgrown and not index.is_ours for index in await self._indexes())

    async def compact(self) -> int:
        """Rebuild the index if it is time. Returns how many bytes that gave back.

        Does nothing while another process does. Raises Unavailable, for the same trouble once an
        hour.
        """
        found = await self._indexes()
        if not any(self._is_due(index) for index in found):
            return 0
        if not all(index.is_ours for index in found):
            self._not_before = monotonic() + _RETRY_AFTER
            raise Unavailable(
                "Only its owner, without a pooler, can rebuild the index of words;"
                " see `taskcli doctor`"
            )
        async with self._connections.unhurried() as connection:
            # No migration is under way, and none begins meanwhile.
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [SCHEMA_LOCK])
            if (await cursor.fetchone()) != (True,):
                return 0
            return sum([await self._tidied(connection, index) for index in await self._indexes()])

    async def _indexes(self) -> list[_Index]:
        async with self._connections.borrow() as link:
            found = [_Index(*row) for row in await link.rows(_STATE)]
        if self._connections.has_sessions:
            return found
        return [replace(index, is_ours=False) for index in found]

    def _is_due(self, index: _Index) -> bool:
        return index.is_left or (index.is_overgrown and monotonic() >= self._not_before)

    async def _tidied(self, connection: AsyncConnection[Any], index: _Index) -> int:
        name = index.name
        if not self._is_due(index):
            return 0
        if index.is_left:
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
            return index.size
        self._not_before = monotonic() + _RETRY_AFTER
        await connection.execute(f"REINDEX INDEX CONCURRENTLY {name}".encode())
        cursor = await connection.execute("SELECT pg_relation_size(CAST(%s AS regclass))", [name])
        ((size,),) = await cursor.fetchall()
        comment = f"COMMENT ON INDEX {name} IS '{size} bytes when it was rebuilt'"
        await connection.execute(comment.encode())
        self._not_before = 0.0
        return max(0, index.size - int(size))  # pages are half full at first
