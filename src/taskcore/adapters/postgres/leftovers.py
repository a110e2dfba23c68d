"""Rows of removed accounts in PostgreSQL. A method is one round trip, except where noted."""

from dataclasses import dataclass

import sqlalchemy as sa

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.removals import TURN, fewer_if_slow
from taskcore.adapters.postgres.schema import task_counts, tasks, users
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.rules import MAX_ID
from taskcore.ports import Batch, Leftovers

REMOVED = sa.select(users.c.id).where(users.c.removed_at.is_not(None))
NUMBER_OF_TASKS = sa.cast(
    sa.func.coalesce(sa.func.sum(task_counts.c.count), sa.literal_column("0")), sa.BigInteger
)
# Of all that `total` of a list counts, what it must leave out.
COUNTED = (
    sa.select(NUMBER_OF_TASKS)
    .select_from(users.join(task_counts, task_counts.c.owner_id == users.c.id))
    .where(users.c.removed_at.is_not(None))
    .scalar_subquery()
)
_COUNT = Statement(
    sa.select(sa.select(sa.func.count()).select_from(REMOVED.subquery()).scalar_subquery(), COUNTED)
)


def _remove() -> Statement:
    """One row: how many accounts and tasks are gone, the account, and the newest of the tasks."""
    account = REMOVED.where(TURN.scalar_subquery()).order_by(users.c.id).limit(1).cte("account")
    owner_id = sa.select(account.c.id).scalar_subquery()
    # Not below the batch before this one: a scan that meets its rows marks them in the index as
    # gone. Otherwise the removal of the account would have to visit all of them once more.
    upto = sa.case(
        (owner_id == sa.bindparam("owner_id", type_=sa.BigInteger), sa.bindparam("upto")),
        else_=sa.literal_column(str(MAX_ID)),
    )
    # The newest first, which lists show first. Rows are compared, so that no other index than that
    # on both columns fits: the planner would take the primary key for an owner of many tasks, and
    # read the tasks of all others when few are left.
    key = sa.tuple_(tasks.c.owner_id, tasks.c.id)
    found = (
        sa.select(tasks.c.id)
        .where(key > sa.tuple_(owner_id, sa.literal_column("0")), key <= sa.tuple_(owner_id, upto))
        .order_by(tasks.c.owner_id.desc(), tasks.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.BigInteger))
        .cte("found")
    )
    # As an array: a join would be planned for a tenth of the table.
    ids = sa.func.array(sa.select(found.c.id).scalar_subquery())
    gone = sa.delete(tasks).where(tasks.c.id == sa.any_(ids)).returning(tasks.c.id).cte("gone")
    # With the few tasks that requests have added which were under way. Their number is bounded:
    # the account has no session any more.
    ended = (
        sa.delete(users)
        .where(users.c.id == owner_id, ~sa.exists(sa.select(found.c.id)))
        .returning(users.c.id)
        .cte("ended")
    )

    def count(of: sa.CTE) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(of).scalar_subquery()

    newest = sa.select(sa.func.max(found.c.id)).scalar_subquery()
    return Statement(sa.select(count(ended), count(gone), owner_id, newest))


_REMOVE = _remove()


@dataclass(slots=True)
class PostgresLeftovers:
    _link: Link

    async def count(self) -> Leftovers:
        ((accounts, of_tasks),) = await self._link.rows(_COUNT)
        return Leftovers(accounts, of_tasks)

    async def remove(self, limit: int, *, after: Batch | None = None) -> Batch:
        """Again with a quarter of the tasks each time that the database takes too long."""
        last = after or Batch(0, 0)
        row, _ = await fewer_if_slow(
            self._link, _REMOVE, limit, owner_id=last.owner_id, upto=last.upto
        )
        return Batch(*row)
