"""Which events housekeeping removes: old ones, of too large logs, of purged tasks."""

import sqlalchemy as sa

from taskcore.adapters.postgres.account_rows import heads, log_size, weight_of
from taskcore.adapters.postgres.event_rows import ROW, behind, deleted
from taskcore.adapters.postgres.removals import TURN
from taskcore.adapters.postgres.schema import events, streams
from taskcore.adapters.postgres.statements import Statement

_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_LIMIT = sa.bindparam("limit", type_=sa.BigInteger())
_BEFORE = sa.bindparam("before", type_=sa.DateTime(timezone=True))
# Purged tasks whose events one batch erases.
_PURGED_AT_ONCE: sa.ColumnElement[int] = sa.literal_column("10")
# Accounts of which one batch of housekeeping removes old events.
_ACCOUNTS_AT_ONCE: sa.ColumnElement[int] = sa.literal_column("50")


def _remove_old() -> Statement:
    """Of fifty accounts, without waiting for any.

    Those whose log is too large lose events that are not old, too.
    """
    turn = TURN.cte("turn")  # run once
    mine = sa.select(*turn.c).scalar_subquery()
    old_first = (
        sa.select(streams.c.owner_id)
        .where(mine, streams.c.oldest_at < _BEFORE, ~streams.c.removed)
        .order_by(streams.c.oldest_at)
        .limit(_ACCOUNTS_AT_ONCE)
    )
    too_large = (
        sa.select(streams.c.owner_id)
        .where(mine, streams.c.log_full, ~streams.c.removed)
        .order_by(streams.c.owner_id)
        .limit(_ACCOUNTS_AT_ONCE)
    )
    chosen = sa.union(old_first, too_large).cte("chosen")
    owners = sa.func.array(sa.select(chosen.c.owner_id).scalar_subquery())
    return _removal(mine, heads(sa.select(sa.func.unnest(owners)), waits=False))


def _shorten() -> Statement:
    """Of the account with the largest log, if that is too large. Waits for its owner's writes.

    An owner who writes all the time would else keep it. It waits for one account and holds no
    other meanwhile, so nothing waits for both.
    """
    turn = TURN.cte("turn")  # run once
    mine = sa.select(*turn.c).scalar_subquery()
    largest = (
        sa.select(streams.c.owner_id)
        .where(mine, streams.c.log_full, ~streams.c.removed)
        .order_by(streams.c.log_bytes.desc())
        .limit(sa.literal_column("1"))
    )
    # As an array: the account is chosen once, before the wait.
    owners = sa.func.array(largest.scalar_subquery())
    return _removal(mine, heads(sa.select(sa.func.unnest(owners)), waits=True))


def _removal(mine: sa.ScalarSelect[bool], head: sa.CTE) -> Statement:
    """One row: whether it was this transaction's turn, and how many rows are gone.

    Of an account it removes the first events by position, so a clock that was wrong for a while
    delays the removal.
    """
    first = (
        behind(head.c.owner_id, _ZERO)
        .add_columns(events.c.owner_id, events.c.at, ROW.label("row"))
        .limit(_LIMIT)
        .lateral("first")
    )
    old = (
        sa.select(first.c.owner_id, first.c.position, first.c.row)
        .select_from(head.join(first, sa.true()))
        .where(sa.or_(first.c.at < _BEFORE, head.c.log_full))
        .limit(_LIMIT)
        .cte("old")
    )
    gone = deleted(sa.select(old.c.row), "gone")
    last = sa.func.coalesce(sa.func.max(gone.c.position), _ZERO)
    ends = (
        sa.select(head.c.owner_id, last.label("at"))
        .select_from(head.join(gone, gone.c.owner_id == head.c.owner_id, isouter=True))
        .group_by(head.c.owner_id)
        .cte("ends")
    )
    following = (
        behind(ends.c.owner_id, ends.c.at).add_columns(events.c.at.label("time")).limit(1)
    ).lateral("following")
    left = (
        sa.select(ends.c.owner_id, ends.c.at, following.c.time)
        .select_from(ends.join(following, sa.true(), isouter=True))
        .cte("left_over")
    )
    # The statement does not see what was logged while it waited, but the head is today's.
    floor = sa.func.greatest(streams.c.floor, left.c.at)
    is_empty = sa.and_(left.c.time.is_(None), streams.c.head <= floor)
    moved = (
        sa.update(streams)
        .where(streams.c.owner_id == left.c.owner_id)
        .values(
            floor=floor,
            oldest_at=sa.case(
                (is_empty, sa.null()), else_=sa.func.coalesce(left.c.time, streams.c.oldest_at)
            ),
            **log_size(sa.case((is_empty, _ZERO), else_=streams.c.log_bytes - weight_of(gone))),
        )
        .cte("moved")
    )
    number = sa.select(sa.func.count()).select_from(old).scalar_subquery()
    return Statement(sa.select(mine, number).add_cte(moved))


def _erase() -> Statement:
    """One row: whether it was the turn, how many events of purged tasks went, and tasks done.

    Locks the accounts by their ids, as every write does, and leaves out those that another
    transaction writes to.
    """
    turn = TURN.cte("turn")
    mine = sa.select(*turn.c).scalar_subquery()
    purge = events.alias("purge")
    chosen = (
        sa.select(purge.c.owner_id, purge.c.object_id, purge.c.position)
        .join(streams, streams.c.owner_id == purge.c.owner_id)
        .where(mine, purge.c.unerased, ~streams.c.removed)
        .order_by(purge.c.owner_id)
        .limit(_PURGED_AT_ONCE)
        .with_for_update(of=streams, skip_locked=True, key_share=True)
        .cte("chosen")
    )
    first = (
        sa.select(ROW.label("row"))
        .where(
            events.c.owner_id == chosen.c.owner_id,
            events.c.object_id == chosen.c.object_id,
            events.c.position < chosen.c.position,
        )
        .order_by(events.c.owner_id, events.c.object_id, events.c.position)
        .limit(_LIMIT)
        .lateral("first")
    )
    older = (
        sa.select(chosen.c.owner_id, chosen.c.position, first.c.row)
        .select_from(chosen.join(first, sa.true()))
        .cte("older")
    )
    old = sa.select(*older.c).limit(_LIMIT).cte("old")
    gone = deleted(sa.select(old.c.row), "gone")
    smaller = (
        sa.update(streams)
        .where(streams.c.owner_id == chosen.c.owner_id)
        .values(log_size(streams.c.log_bytes - weight_of(gone)))
        .cte("smaller")
    )
    number = sa.select(sa.func.count()).select_from(old).scalar_subquery()
    done = (
        sa.update(events)
        .where(
            events.c.owner_id == chosen.c.owner_id,
            events.c.position == chosen.c.position,
            _of(older, chosen) == _of(old, chosen),
            _of(older, chosen) < _LIMIT,
        )
        .values(unerased=sa.false())
        .returning(events.c.position)
        .cte("done")
    )
    cleared = sa.select(sa.func.count()).select_from(done).scalar_subquery()
    return Statement(sa.select(mine, number, cleared).add_cte(gone, smaller))


def _of(rows: sa.CTE, chosen: sa.CTE) -> sa.ColumnElement[int]:
    """How many of the rows are of that purge."""
    same = sa.and_(rows.c.owner_id == chosen.c.owner_id, rows.c.position == chosen.c.position)
    return sa.select(sa.func.count()).where(same).correlate(chosen).scalar_subquery()


REMOVE_OLD, SHORTEN, ERASE = _remove_old(), _shorten(), _erase()
