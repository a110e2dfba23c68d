"""The row of each account, which every write to its tasks locks first, and what it counts.

Writes lock in this order, so that they never deadlock: the accounts by their ids, then tasks, and
last the number of all tasks.
"""

import sqlalchemy as sa

from taskcore.adapters.postgres.schema import streams, totals

SLOTS = 32
_SLOT: sa.ColumnElement[int] = sa.literal_column(f"pg_backend_pid() % {SLOTS}")
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")

ALL_TASKS = (
    sa.select(sa.cast(sa.func.sum(totals.c.tasks), sa.BigInteger).label("total"))
    .select_from(totals)
    .scalar_subquery()
)


def heads(owners: sa.Select[tuple[int]], *, waits: bool) -> sa.CTE:
    """Locks the rows of these accounts.

    Without `waits`, leaves out the accounts that another transaction writes to.
    """
    return (
        sa.select(streams.c.owner_id, streams.c.live, streams.c.trashed)
        .where(streams.c.owner_id.in_(owners), ~streams.c.removed)
        .order_by(streams.c.owner_id)
        .with_for_update(skip_locked=not waits, key_share=True)
        .cte("heads")
    )


def counted(changed: sa.CTE, *, live: int = 0, trashed: int = 0) -> tuple[sa.CTE, ...]:
    """Adds so much to the numbers of an account for each row of `changed`, which has `owner_id`."""
    per_account = (
        sa.select(changed.c.owner_id, sa.cast(sa.func.count(), sa.Integer).label("number"))
        .group_by(changed.c.owner_id)
        .cte("per_account")
    )
    moved = (
        sa.update(streams)
        .where(streams.c.owner_id == per_account.c.owner_id)
        .values(
            live=streams.c.live + sa.literal_column(str(live)) * per_account.c.number,
            trashed=streams.c.trashed + sa.literal_column(str(trashed)) * per_account.c.number,
        )
        .returning(per_account.c.number)
        .cte("moved")
    )
    if not live:
        return (moved,)
    return moved, add_to_total(
        sa.select(sa.literal_column(str(live)) * sa.func.sum(moved.c.number))
    )


def add_to_total(number: sa.Select[tuple[int]]) -> sa.CTE:
    """Waits for nothing but the row of this connection's slot."""
    total = number.cte("number")
    value = next(iter(total.c))
    return (
        sa.update(totals)
        .where(totals.c.slot == _SLOT, value != _ZERO)  # and not NULL
        .values(tasks=totals.c.tasks + sa.cast(value, sa.BigInteger))
        .returning(totals.c.slot)
        .cte("total")
    )
