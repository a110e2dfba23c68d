"""Users in PostgreSQL. A method is one round trip, except where noted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.account_rows import add_to_total
from taskcore.adapters.postgres.account_tables import sessions, users
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.leftovers import REMOVED
from taskcore.adapters.postgres.schema import events, streams, task_words
from taskcore.adapters.postgres.statements import (
    Statement,
    columns_of,
    in_index_order,
    named_values,
    page_and_total,
    page_of,
    sliced,
)
from taskcore.domain.errors import NotFound
from taskcore.domain.ids import MAX_ID
from taskcore.domain.users import (
    DEFAULT_TIME_ZONE,
    NewUser,
    Role,
    StoredCredentials,
    User,
    UserChanges,
    UserId,
)
from taskcore.ports import TASKS_AT_ONCE, Page

USER = columns_of(users, User)
_CREDENTIALS = (users.c.hashed_password, *USER)
_NEW = (
    *("email", "email_key", "hashed_password", "full_name", "role", "time_zone"),
    *("created_at", "updated_at"),
)

_UPDATED = [*UserChanges.__annotations__, "updated_at"]

LIVING = users.c.removed_at.is_(None)
_BY_ID = sa.select(*USER).where(users.c.id == sa.bindparam("id"), LIVING)
_GET = Statement(_BY_ID)
_LOCK = Statement(_BY_ID.with_for_update(key_share=True))
# Take this lock before locking several rows. Otherwise two transactions could deadlock, because a
# row that changes while one of them waits for it is locked out of order.
_ONE_AT_A_TIME = Statement(
    sa.select(sa.func.pg_advisory_xact_lock(sa.literal_column("2026112301")))
)
_LOCK_ADMINS = Statement(
    sa.select(users.c.id)
    .where(users.c.role == sa.literal_column("'admin'"), users.c.is_active, LIVING)
    .order_by(users.c.id)
    .with_for_update(key_share=True)
)
_BY_KEY = users.c.email_key == sa.bindparam("key")  # a removed account has no Email's key
_FIND_BY_EMAIL = Statement(sa.select(*USER).where(_BY_KEY))
_GET_CREDENTIALS = Statement(
    sa.select(*_CREDENTIALS).where(users.c.id == sa.bindparam("id"), LIVING)
)
_FIND_CREDENTIALS = Statement(sa.select(*_CREDENTIALS).where(_BY_KEY))


@cache  # sixteen statements: eight sets of filters, with and without a total
def _page(filters: frozenset[str], *, counted: bool) -> Statement:
    """Each set of filters has an index on its columns and the id."""
    of = {"role": users.c.role, "is_active": users.c.is_active}
    columns = [column for name, column in of.items() if name in filters]
    values: list[Any] = [sa.bindparam(column.name, type_=column.type) for column in columns]
    # Compare ids, which the indexes hold, so that counting need not visit the rows.
    living = sa.select(*USER).where(users.c.id.not_in(REMOVED))
    matching = living.where(
        *(column == value for column, value in zip(columns, values, strict=True))
    )
    if "email" in filters:  # the address is matched exactly, so at most one row
        page = matching = matching.where(users.c.email_key == sa.bindparam("email"))
        page = page.where(users.c.id < sa.bindparam("before"))
    else:
        page = in_index_order(
            living,
            [*columns, users.c.id],
            low=[*values, sa.literal_column("0")],
            below=[*values, sa.bindparam("before", type_=users.c.id.type)],
        )
    return page_and_total(sliced(page), users.c.id, of=matching if counted else None)


_ADD = Statement(
    sa.insert(users).values({name: sa.bindparam(name) for name in _NEW}).returning(*USER)
)
_SAVE = Statement(
    sa.update(users)
    .where(users.c.id == sa.bindparam("user_id"), LIVING)
    .values({name: sa.bindparam(name) for name in _UPDATED})
    .returning(*USER)
)
_REPLACE_PASSWORD_HASH = Statement(
    sa.update(users)
    .where(users.c.id == sa.bindparam("user_id"), users.c.hashed_password == sa.bindparam("old"))
    .values(hashed_password=sa.bindparam("new"))
)
_COUNT_HASHES = Statement(
    sa.select(sa.func.count())
    .select_from(users)
    .where(sa.func.starts_with(users.c.hashed_password, sa.bindparam("prefix")))
)
# Locks the account's row, as every write to its tasks does, so that the statements after it in the
# transaction see all its tasks.
_COUNT_ROWS = Statement(
    sa.select(
        sa.func.greatest(streams.c.live + streams.c.in_trash, streams.c.head - streams.c.floor)
    )
    .where(streams.c.owner_id == sa.bindparam("id"))
    .with_for_update()
)


def _remove() -> Statement:
    """Remove the user, and the rows that no foreign key removes with the user."""
    gone = (
        sa.delete(users)
        .where(users.c.id == sa.bindparam("id"), LIVING)
        .returning(users.c.id)
        .cte("gone")
    )
    unsearched = sa.delete(task_words).where(task_words.c.owner_id == gone.c.id).cte("unsearched")
    unlogged = sa.delete(events).where(events.c.owner_id == gone.c.id).cte("unlogged")
    total = add_to_total(
        sa.select(-sa.func.sum(streams.c.live)).join(gone, gone.c.id == streams.c.owner_id)
    )
    return Statement(sa.select(gone.c.id).add_cte(unsearched, unlogged, total))


_REMOVE = _remove()
_NO_ADDRESS: sa.ColumnElement[str] = sa.literal_column("'removed-'") + sa.cast(users.c.id, sa.Text)
# Servers of the previous release know no `removed_at`: what they show holds nothing personal, and
# neither they nor an administrator can let this account log in again.
_HIDDEN = (
    sa.update(users)
    .where(users.c.id == sa.bindparam("id"), LIVING)
    .values(
        email=_NO_ADDRESS,
        email_key=_NO_ADDRESS,
        hashed_password=sa.literal_column("'!'"),
        full_name=sa.null(),
        role=sa.literal_column("'user'"),
        is_active=sa.false(),
        time_zone=sa.literal_column(f"'{DEFAULT_TIME_ZONE}'"),
        removed_at=sa.func.now(),
    )
    .returning(users.c.id)
    .cte("hidden")
)
_CLOSED = (
    sa.update(streams)
    .where(streams.c.owner_id == _HIDDEN.c.id)
    .values(removed=sa.true())
    .returning(streams.c.live)
    .cte("closed")
)
_HIDE = Statement(
    sa.select(_HIDDEN.c.id).add_cte(add_to_total(sa.select(-sa.func.sum(_CLOSED.c.live))))
)
# Locks sessions in the order of their ids, as every statement that ends sessions does.
_END_SESSIONS = Statement(
    sa.delete(sessions).where(
        sessions.c.id.in_(
            sa.select(sessions.c.id)
            .where(sessions.c.user_id == sa.bindparam("id"))
            .order_by(sessions.c.id)
            .with_for_update()
        )
    )
)


@dataclass(slots=True)
class PostgresUsers:
    _link: Link

    async def get(self, user_id: UserId) -> User:
        return _existing(await self._link.row(_GET, id=user_id))

    async def find_by_email(self, key: str) -> User | None:
        row = await self._link.row(_FIND_BY_EMAIL, key=key)
        return None if row is None else user_of(row)

    async def get_credentials(self, user_id: UserId) -> StoredCredentials:
        if row := await self._link.row(_GET_CREDENTIALS, id=user_id):
            return _credentials(row)
        raise NotFound

    async def find_credentials(self, key: str) -> StoredCredentials | None:
        row = await self._link.row(_FIND_CREDENTIALS, key=key)
        return None if row is None else _credentials(row)

    async def lock(self, user_id: UserId) -> User:
        return _existing(await self._link.row(_LOCK, id=user_id))

    async def lock_admins(self) -> Sequence[UserId]:
        """Two round trips: the snapshot must be taken after the wait for the advisory lock."""
        await self._link.rows(_ONE_AT_A_TIME)
        return [UserId(row[0]) for row in await self._link.rows(_LOCK_ADMINS)]

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
        after: UserId | None = None,
    ) -> Page[User]:
        filters = {"email": email, "role": role, "is_active": is_active}
        named = frozenset(name for name, value in filters.items() if value is not None)
        rows = await self._link.in_turn(
            _page(named, counted=after is None),
            _page(named, counted=False),
            **filters,
            before=MAX_ID if after is None else min(after, MAX_ID),
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        return page_of(rows, limit, lambda *row: user_of(row))

    async def add(self, user: NewUser, password_hash: str) -> User:
        return _existing(
            await self._link.row(
                _ADD,
                email=user.email.address,
                email_key=user.email.key,
                hashed_password=password_hash,
                full_name=user.full_name,
                role=user.role,
                time_zone=user.time_zone,
                created_at=user.created_at,
                updated_at=user.created_at,
            )
        )

    async def save(self, user: User) -> User:
        return _existing(
            await self._link.row(_SAVE, user_id=user.id, **named_values(_UPDATED, user))
        )

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        return bool(await self._link.run(_REPLACE_PASSWORD_HASH, user_id=user_id, old=old, new=new))

    async def count_hashes(self, prefix: str) -> int:
        ((count,),) = await self._link.rows(_COUNT_HASHES, prefix=prefix)
        return int(count)

    async def lock_tasks(self, user_id: UserId) -> None:
        await self._link.rows(_COUNT_ROWS, id=user_id)

    async def remove(self, user_id: UserId, *, at_once: int = TASKS_AT_ONCE) -> None:
        """Two round trips, or three where leftovers stay."""
        counted = await self._link.row(_COUNT_ROWS, id=user_id)
        hides = counted is not None and counted[0] > at_once
        if not await self._link.row(_HIDE if hides else _REMOVE, id=user_id):
            raise NotFound
        if hides:
            # A later snapshot, which shows the session of a login that `_HIDE` has waited for.
            await self._link.run(_END_SESSIONS, id=user_id)


def _existing(row: tuple[Any, ...] | None) -> User:
    if row is None:
        raise NotFound
    return user_of(row)


def _credentials(row: tuple[Any, ...]) -> StoredCredentials:
    return StoredCredentials(user_of(row[1:]), row[0])


def user_of(row: tuple[Any, ...]) -> User:
    user_id, email, full_name, role, *rest = row
    return User(user_id, email, full_name, Role(role), *rest)
