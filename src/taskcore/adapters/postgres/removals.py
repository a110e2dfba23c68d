"""Removing rows that nothing needs any more: in batches, by one process at a time.

How many at a time: `BATCH` in `usecases/housekeeping.py`.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.errors import took_too_long
from taskcore.adapters.postgres.statements import Row, Statement
from taskcore.domain.errors import Unavailable
from taskcore.ports import Removal

# Takes the lock on removing, until the transaction ends; false if another transaction holds it.
TURN = sa.select(sa.func.pg_try_advisory_xact_lock(sa.literal_column("2026112701")))


def removal(
    key: sa.Column[Any],
    over: sa.ColumnElement[bool],
    *first: sa.Column[Any],
    more: Sequence[sa.ColumnElement[Any]] = (),
) -> Statement:
    """Removes up to `limit` rows that are `over`, in the order of `first`, without waiting for any.

    Returns one row: whether it was this transaction's turn, how many rows are gone, and `more`.
    """
    turn = TURN.cte("turn")  # a CTE, so that the lock function runs only once
    mine = sa.select(*turn.c).scalar_subquery()
    found = (
        sa.select(key)
        .where(mine, over)
        .order_by(*first)
        .limit(sa.bindparam("limit", type_=sa.BigInteger))
        .with_for_update(skip_locked=True)
        .cte("found")
    )
    # An array, because PostgreSQL would plan a join as if it deleted a tenth of the table.
    keys = sa.func.array(sa.select(*found.c).scalar_subquery())
    gone = sa.delete(key.table).where(key == sa.any_(keys)).returning(key).cte("gone")
    return Statement(
        sa.select(mine, sa.select(sa.func.count()).select_from(gone).scalar_subquery(), *more)
    )


async def removed(link: Link, statement: Statement, limit: int, **values: object) -> Removal:
    """Run a statement that `removal` has made."""
    (turn, count), tried = await fewer_if_slow(link, statement, limit, **values)
    return Removal(count, more=not turn or count == tried, tried=tried)


async def fewer_if_slow(
    link: Link, statement: Statement, limit: int, **values: object
) -> tuple[Row, int]:
    """Run the statement, with a quarter of the limit each time that the database takes too long.

    Returns the statement's one row, and the limit with which the database was quick enough.
    """
    try:
        (row,) = await link.rows(statement, limit=limit, **values)
    except Unavailable as error:
        if limit > 1 and took_too_long(error):
            return await fewer_if_slow(link, statement, limit // 4 or 1, **values)
        raise
    return row, limit
