"""Idempotency keys in PostgreSQL. A method is one round trip.

When a key is that of another request: `domain/idempotency.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from taskcore.adapters.postgres.account_tables import idempotency_keys as keys
from taskcore.adapters.postgres.account_tables import idempotency_usage as usage
from taskcore.adapters.postgres.account_tables import users
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.errors import waited_too_long
from taskcore.adapters.postgres.removals import TURN, removed
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import KeyInProgress, NotFound, Unavailable
from taskcore.domain.idempotency import LIFETIME, ROW, check_same, keeps_too_much
from taskcore.ports import KeyClaim, Removal

_USER = sa.bindparam("user_id", type_=sa.BigInteger())
_KEY = sa.bindparam("key", type_=sa.LargeBinary())
_AT = sa.bindparam("at", type_=sa.DateTime(timezone=True))
_BEFORE = sa.bindparam("before", type_=sa.DateTime(timezone=True))


def _claim() -> Statement:
    """Returns the request that the key belongs to, and its answer; no row if there is no user.

    Locks nothing but the key: what the work locks comes before the user's row, as in other writes.
    Another transaction that has claimed the key is waited for at its row. A row that is there is
    updated, though nothing changes: a replay that commits nothing could answer before the first
    commit has reached the replica.
    """
    new = insert(keys).from_select(
        ["user_id", "key", "request", "at"],
        sa.select(users.c.id, _KEY, sa.bindparam("request", type_=sa.LargeBinary()), _AT).where(
            users.c.id == _USER, users.c.removed_at.is_(None)
        ),
    )
    is_old = keys.c.at <= _BEFORE
    nothing = sa.cast(sa.null(), sa.LargeBinary)
    return Statement(
        new.on_conflict_do_update(
            index_elements=[keys.c.user_id, keys.c.key],
            set_={
                "request": sa.case((is_old, new.excluded.request), else_=keys.c.request),
                "at": sa.case((is_old, new.excluded.at), else_=keys.c.at),
                "answer": sa.case((is_old, nothing), else_=keys.c.answer),
            },
        ).returning(keys.c.request, keys.c.answer)
    )


def _keep() -> Statement:
    """Returns how much the user has kept, and since when; no row if the user is gone.

    Locks the user before the row of how much is kept, which goes with the user.
    """
    size = sa.bindparam("size", type_=sa.BigInteger())
    user = (
        sa.select(users.c.id)
        .where(users.c.id == _USER)
        .with_for_update(read=True, key_share=True)
        .cte("account")
    )
    kept = (
        sa.update(keys)
        .where(keys.c.user_id == user.c.id, keys.c.key == _KEY)
        .values(answer=sa.bindparam("answer", type_=sa.LargeBinary()))
        .returning(keys.c.user_id)
        .cte("kept")
    )
    new = insert(usage).from_select(
        ["user_id", "since", "size"], sa.select(kept.c.user_id, _AT, size)
    )
    is_old = usage.c.since <= _BEFORE
    return Statement(
        new.on_conflict_do_update(
            index_elements=[usage.c.user_id],
            set_={
                "since": sa.case((is_old, new.excluded.since), else_=usage.c.since),
                "size": sa.case(
                    (is_old, new.excluded.size), else_=usage.c.size + new.excluded.size
                ),
            },
        ).returning(usage.c.since, usage.c.size)
    )


def _forget() -> Statement:
    """Returns whether it was this transaction's turn, and how many keys are gone."""
    turn = TURN.cte("turn")  # a CTE, so that the lock function runs only once
    mine = sa.select(*turn.c).scalar_subquery()
    limit = sa.bindparam("limit", type_=sa.BigInteger())

    def gone(table: sa.Table, moment: sa.Column[Any]) -> sa.CTE:
        """Locks the rows, then deletes them by `ctid`, because their key has two columns."""
        place: sa.ColumnElement[Any] = sa.literal_column(f"{table.name}.ctid")
        found = (
            sa.select(place.label("place"))
            .select_from(table)
            .where(mine, moment < _BEFORE)
            .order_by(moment)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte(f"old_{table.name}")
        )
        places = sa.func.array(sa.select(found.c.place).scalar_subquery())
        return (
            sa.delete(table)
            .where(place == sa.any_(places))
            .returning(table.c.user_id)
            .cte(f"gone_{table.name}")
        )

    number = sa.select(sa.func.count()).select_from(gone(keys, keys.c.at)).scalar_subquery()
    return Statement(sa.select(mine, number).add_cte(gone(usage, usage.c.since)))


_CLAIM, _KEEP, _FORGET = _claim(), _keep(), _forget()


@dataclass(slots=True)
class PostgresIdempotency:
    _link: Link

    async def claim(self, claim: KeyClaim) -> bytes | None:
        try:
            row = await self._link.row(_CLAIM, request=claim.request, **_values(claim))
        except Unavailable as error:
            if waited_too_long(error):
                raise KeyInProgress from error
            raise
        if row is None:
            raise NotFound
        request, answer = row
        check_same(request, claim.request)
        return cast("bytes | None", answer)

    async def keep(self, claim: KeyClaim, answer: bytes, *, at_most: int) -> None:
        size = ROW + len(answer)
        row = await self._link.row(_KEEP, answer=answer, size=size, **_values(claim))
        if row is not None and row[1] > at_most:
            raise keeps_too_much(row[0], claim.at)

    async def forget(self, before: datetime, limit: int) -> Removal:
        return await removed(self._link, _FORGET, limit, before=before)


def _values(claim: KeyClaim) -> dict[str, Any]:
    return {
        "user_id": claim.user_id,
        "key": claim.key,
        "at": claim.at,
        "before": claim.at - LIFETIME,
    }
