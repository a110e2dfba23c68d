"""Rate limits shared by all processes and machines, by the clock of the database.

How many attempts there are: `domain/rate_limits.py`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from taskcore.adapters.postgres.account_tables import rate_limits
from taskcore.adapters.postgres.connections import Connections
from taskcore.adapters.postgres.removals import fewer_if_slow, removal
from taskcore.adapters.postgres.statements import Statement
from taskcore.ports import Claim, Denial, Removal

_KEY, _FORGOTTEN_AT = rate_limits.c.key, rate_limits.c.forgotten_at
# Not now(), which does not advance while the statement waits for a lock.
_NOW = sa.func.clock_timestamp()


@cache
def _acquire(limits: int) -> Statement:
    """Counts an attempt against each limit in order, up to the first that is used up.

    An upsert whose WHERE is false returns no row, and without one the next limit's upsert has
    nothing to insert. Concurrent statements wait for the row's lock, so no comparison is stale.
    Returns one row: for each limit whether it has counted (0 or 1), then its seconds to wait.
    """
    counted: list[sa.CTE] = []
    waits = []
    for number in range(limits):
        key = sa.bindparam(f"key{number}", type_=sa.LargeBinary)
        step = sa.bindparam(f"step{number}", type_=sa.Interval)
        period = sa.bindparam(f"period{number}", type_=sa.Interval)
        first = sa.select(key, _NOW + step)
        if counted:
            first = first.where(sa.exists(sa.select(counted[-1].c.key)))
        then = sa.func.greatest(_FORGOTTEN_AT, _NOW) + step
        upsert = insert(rate_limits).from_select([_KEY, _FORGOTTEN_AT], first)
        upsert = upsert.on_conflict_do_update(
            index_elements=[_KEY], set_={_FORGOTTEN_AT: then}, where=then <= _NOW + period
        )
        counted.append(upsert.returning(_KEY).cte(f"counted{number}"))
        wait = sa.select(sa.func.extract("epoch", _FORGOTTEN_AT + step - period - _NOW))
        waits.append(wait.where(key == _KEY).scalar_subquery())
    passed = [sa.select(sa.func.count()).select_from(cte).scalar_subquery() for cte in counted]
    return Statement(sa.select(*passed, *waits), matters=False)


_SHARES = (
    sa.func.unnest(
        sa.bindparam("keys", type_=sa.ARRAY(sa.LargeBinary)),
        sa.bindparam("shares", type_=sa.ARRAY(sa.Interval)),
    )
    .table_valued("key", "share", with_ordinality="number")
    .render_derived("shares")
)
# Locks rows in the order in which `_acquire` counts, so that statements never deadlock.
_HELD = (
    sa.select(_KEY, _SHARES.c.share)
    .select_from(rate_limits.join(_SHARES, _SHARES.c.key == _KEY))
    .order_by(_SHARES.c.number)
    .with_for_update(of=rate_limits)
    .cte("held")
)
_GIVE_BACK = Statement(
    sa.update(rate_limits)
    .where(_HELD.c.key == _KEY)
    .values({_FORGOTTEN_AT: _FORGOTTEN_AT - _HELD.c.share}),
    matters=False,
)
# The moment has no index, because each attempt would have to change that too.
_SLICE = (
    sa.select(_KEY, _FORGOTTEN_AT)
    .where(rate_limits.c.key > sa.bindparam("place", type_=sa.LargeBinary))
    .order_by(_KEY)
    .limit(sa.bindparam("limit", type_=sa.BigInteger))
    .cte("slice")
)
_OVER = sa.func.array(
    sa.select(_SLICE.c.key).where(_SLICE.c.forgotten_at <= _NOW).scalar_subquery()
)
_FORGET = removal(
    _KEY,
    sa.and_(rate_limits.c.key == sa.any_(_OVER), _FORGOTTEN_AT <= _NOW),
    more=(
        sa.select(sa.func.count()).select_from(_SLICE).scalar_subquery(),
        sa.select(_SLICE.c.key)
        .order_by(_SLICE.c.key.desc())
        .limit(sa.literal_column("1"))
        .scalar_subquery(),
    ),
)
# If at least one in so many rows of a slice is over, look at the next slice too.
_FEW = 100


class PostgresLimiter:
    """Each call is one transaction and one round trip; most denials take two."""

    def __init__(self, connections: Connections, key: bytes) -> None:
        self._connections = connections
        self._key = key
        self._place = b""  # the last key that `forget` has looked at

    async def acquire(self, *claims: Claim) -> Denial | None:
        if not claims:
            return None
        values: dict[str, Any] = {}
        for number, claim in enumerate(claims):
            values[f"key{number}"] = self._digest(claim)
            values[f"step{number}"] = claim.limit.step
            values[f"period{number}"] = claim.limit.period
        async with self._connections.borrow() as link:
            (row,) = await link.rows(_acquire(len(claims)), **values)
        passed = sum(row[: len(claims)])
        if passed == len(claims):
            return None
        # The limits before the denied one have counted an attempt that does not take place.
        await self.give_back({claim: claim.limit.step for claim in claims[:passed]})
        denied = claims[passed]
        wait = row[len(claims) + passed]
        return Denial(denied, float(denied.limit.step.total_seconds() if wait is None else wait))

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        if shares:
            async with self._connections.borrow() as link:
                keys = [self._digest(claim) for claim in shares]
                await link.run(_GIVE_BACK, keys=keys, shares=list(shares.values()))

    async def forget(self, limit: int) -> Removal:
        """Looks at the `limit` rows that follow those of the call before, round and round.

        Keys are digests, so each slice is a fair sample of all. Where less than a hundredth of it
        is over, the same goes for the table, and there is no more to do. So what a sweep costs
        depends on what there is to remove, not on how many rows live.
        """
        async with self._connections.borrow() as link:
            (turn, count, found, last), tried = await fewer_if_slow(
                link, _FORGET, limit, place=self._place
            )
        if turn:
            self._place = last if found == tried else b""
        return Removal(count, more=not turn or count * _FEW > found, tried=tried)

    def _digest(self, claim: Claim) -> bytes:
        text = f"{claim.limit.name}\0{claim.subject}"
        return hmac.digest(self._key, text.encode(errors="replace"), hashlib.sha256)
