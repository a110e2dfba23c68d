"""The row of each account, which every write to its tasks locks first, and what it counts.

Writes lock in this order, so that they never deadlock: the accounts by their ids, then tasks, and
last the number of all tasks. No two writes to the tasks of an account run at the same time.
"""

from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.schema import streams, totals
from taskcore.domain.events import MAX_LOG_BYTES

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
        sa.select(
            *(streams.c[name] for name in ("owner_id", "live", "in_trash", "head", "log_full"))
        )
        .where(streams.c.owner_id.in_(owners), ~streams.c.removed)
        .order_by(streams.c.owner_id)
        .with_for_update(skip_locked=not waits, key_share=True)
        .cte("heads")
    )


def counted(
    logged: sa.CTE, *, live: int = 0, in_trash: int = 0, erased: sa.CTE | None = None
) -> tuple[sa.CTE, ...]:
    """Adds so much to the numbers of an account for each of its events in `logged`.

    `erased` are events that are deleted at the same time.
    """
    per_account = (
        sa.select(
            logged.c.owner_id,
            sa.cast(sa.func.count(), sa.Integer).label("number"),
            sa.func.max(logged.c.position).label("head"),
            sa.func.min(logged.c.at).label("oldest_at"),
            sa.func.sum(logged.c.weight).label("weight"),
        )
        .group_by(logged.c.owner_id)
        .cte("per_account")
    )
    changes = {
        name: streams.c[name] + sa.literal_column(str(each)) * per_account.c.number
        for name, each in (("live", live), ("in_trash", in_trash))
        if each
    }
    size = streams.c.log_bytes + sa.cast(per_account.c.weight, sa.BigInteger)
    if erased is not None:
        size -= weight_of(erased)
    moved = (
        sa.update(streams)
        .where(streams.c.owner_id == per_account.c.owner_id)
        .values(
            **changes,
            head=per_account.c.head,
            **log_size(size),
            oldest_at=sa.func.coalesce(streams.c.oldest_at, per_account.c.oldest_at),
        )
        .returning(per_account.c.number)
        .cte("moved")
    )
    if not live:
        return (moved,)
    return moved, add_to_total(
        sa.select(sa.literal_column(str(live)) * sa.func.sum(moved.c.number))
    )


def weight_of(erased: sa.CTE) -> sa.ColumnElement[int]:
    """The weight of these events of the account of a row of `streams`."""
    weight = sa.func.coalesce(sa.func.sum(erased.c.weight), _ZERO)
    own = sa.select(weight).where(erased.c.owner_id == streams.c.owner_id)
    return sa.cast(own.correlate(streams).scalar_subquery(), sa.BigInteger)


def log_size(size: sa.ColumnElement[int]) -> dict[str, sa.ColumnElement[Any]]:
    limit: sa.ColumnElement[int] = sa.literal_column(str(MAX_LOG_BYTES))
    return {"log_bytes": size, "log_full": size > limit}


def numbered(requests: sa.FromClause, head: sa.CTE, *more: Any) -> sa.CTE:  # noqa: ANN401 - columns
    """The requests of locked accounts, each with the position of its event."""
    place = sa.func.row_number().over(partition_by=requests.c.owner_id, order_by=requests.c.number)
    return (
        sa.select(*requests.c, (head.c.head + place).label("position"), *more)
        .select_from(requests.join(head, head.c.owner_id == requests.c.owner_id))
        .cte("numbered")
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
