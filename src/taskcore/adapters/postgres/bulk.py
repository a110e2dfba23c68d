"""Bulks of operations in PostgreSQL: `hold` is two round trips, the other methods are one each.

The first task of an account takes two more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.account_rows import add_to_total, log_size
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.event_rows import TYPE_NUMBERS, Logged, logged
from taskcore.adapters.postgres.schema import streams, task_ids, task_words, tasks, trash
from taskcore.adapters.postgres.statements import Statement, batch_of
from taskcore.adapters.postgres.task_rows import (
    WRITTEN,
    arrived,
    columns_of_tasks,
    task_of,
    travelling,
    values_of,
    vector,
    words_vector,
)
from taskcore.adapters.postgres.tasks import OPEN
from taskcore.domain.bulk import Held, Work
from taskcore.domain.errors import StaleWrite
from taskcore.domain.events import changes_text
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId

_BIG, _SMALL, _MOMENT = sa.BigInteger(), sa.SmallInteger(), sa.DateTime(timezone=True)
_OWNER, _ACTOR = sa.bindparam("owner_id", type_=_BIG), sa.bindparam("actor_id", type_=_BIG)
_IDS = sa.any_(sa.bindparam("task_ids", type_=sa.ARRAY(_BIG)))
# Where a task is, before the work.
_NOWHERE, _LIVE, _TRASH = range(3)


def _read() -> Statement:
    never = sa.cast(sa.null(), _MOMENT)
    return Statement(
        sa.union_all(
            *(
                sa.select(*columns_of_tasks(table), deleted_at).where(
                    table.c.owner_id == _OWNER, table.c.id == _IDS
                )
                for table, deleted_at in ((tasks, never), (trash, trash.c.deleted_at))
            )
        )
    )


def _owners() -> Statement:
    found = sa.union_all(
        *(sa.select(table.c.id, table.c.owner_id).where(table.c.id == _IDS) for table in _TABLES)
    ).subquery("found")
    living = sa.and_(streams.c.owner_id == found.c.owner_id, ~streams.c.removed)
    return Statement(sa.select(found.c.id, found.c.owner_id).join(streams, living))


def _write() -> Statement:
    """Build a statement with a row for each task: its id, and how many were stored as expected.

    A task moves by a DELETE here and an INSERT there, of all that it is in the end.
    """
    given = batch_of(
        task_id=_BIG,
        previous=_BIG,
        place=_SMALL,
        deleted_at=_MOMENT,
        created_at=_MOMENT,
        words=sa.Text(),
        **travelling(*WRITTEN),
    )
    ordered = sa.select(*given.c).order_by(given.c.number).subquery("ordered")
    task_id = sa.func.coalesce(ordered.c.task_id, task_ids.next_value())
    rows = sa.select(task_id.label("id"), *ordered.c).cte("rows")
    content = dict(zip(WRITTEN, arrived(rows, *WRITTEN), strict=True))
    whole = {"id": rows.c.id, "owner_id": _OWNER, "created_at": rows.c.created_at} | content
    was = {place: rows.c.place == sa.literal_column(str(place)) for place in (_LIVE, _TRASH)}
    stays_out, goes_in = rows.c.deleted_at.is_(None), rows.c.deleted_at.is_not(None)

    def stored(table: sa.Table) -> sa.ColumnElement[bool]:
        return sa.and_(
            table.c.owner_id == _OWNER,
            table.c.id == rows.c.id,
            table.c.edition == rows.c.previous,
        )

    found = [
        sa.delete(tasks).where(stored(tasks), was[_LIVE], goes_in),
        sa.delete(trash).where(stored(trash), was[_TRASH], stays_out),
        sa.update(tasks).where(stored(tasks), was[_LIVE], stays_out).values(content),
        sa.update(trash)
        .where(stored(trash), was[_TRASH], goes_in)
        .values(content | {"deleted_at": rows.c.deleted_at}),
    ]
    names = ("left_tasks", "left_trash", "saved", "kept")
    unchanged = [
        each.returning(rows.c.number).cte(name) for each, name in zip(found, names, strict=True)
    ]
    arrives = sa.and_(~was[_LIVE], stays_out)
    searched = sa.and_(task_words.c.owner_id == _OWNER, task_words.c.task_id == rows.c.id)
    words = {"owner_id": _OWNER, "task_id": rows.c.id, "words": vector(rows.c.words)}
    written = [
        _inserted(tasks, whole, arrives, rows).cte("in_tasks"),
        _inserted(
            trash, whole | {"deleted_at": rows.c.deleted_at}, sa.and_(was[_LIVE], goes_in), rows
        ).cte("in_trash"),
        _inserted(task_words, words, arrives, rows).cte("searched"),
        sa.delete(task_words).where(searched, was[_LIVE], goes_in).cte("unsearched"),
        sa.update(task_words)
        .where(searched, was[_LIVE], stays_out, rows.c.words.is_not(None))
        .values(words=words["words"])
        .cte("reworded"),
    ]
    number = sa.union_all(*(sa.select(each.c.number) for each in unchanged)).subquery("unchanged")
    found_again = sa.select(sa.func.count()).select_from(number).scalar_subquery()
    return Statement(
        sa.select(rows.c.id, found_again).order_by(rows.c.number).add_cte(*written, *_logged(rows))
    )


def _inserted(
    table: sa.Table,
    values: Mapping[str, Any],
    where: sa.ColumnElement[bool],
    rows: sa.CTE,
) -> sa.Insert:
    chosen = sa.select(*values.values()).where(where).order_by(rows.c.number)
    return sa.insert(table).from_select(list(values), chosen)


def _logged(rows: sa.CTE) -> tuple[sa.CTE, ...]:
    """Write the events of the steps, and what is counted of the account."""
    steps = batch_of(task=_BIG, kind=_SMALL, version=_BIG, at=_MOMENT, changes=sa.Text())
    added: dict[str, Any] = {
        name: sa.bindparam(f"more_{name}", type_=sa.Integer())
        for name in ("live", "in_trash", "head")
    }
    # It is locked, so that this is what it has.
    account = sa.select(streams.c.head).where(streams.c.owner_id == _OWNER).cte("account")
    happened = (
        sa.select(
            rows.c.id,
            *(steps.c[name] for name in ("kind", "version", "at", "changes")),
            (account.c.head + steps.c.number).label("position"),
            _ACTOR.label("actor_id"),
        )
        .select_from(steps.join(rows, rows.c.number == steps.c.task).join(account, sa.true()))
        .cte("happened")
    )
    of = Logged(_OWNER, happened.c.id, happened.c.version, happened.c.at)
    log = logged(happened, happened.c.kind, of, happened.c.changes)
    weight = sa.select(sa.cast(sa.func.sum(log.c.weight), _BIG)).scalar_subquery()
    moved = (
        sa.update(streams)
        .where(streams.c.owner_id == _OWNER)
        .values(
            **{name: streams.c[name] + more for name, more in added.items()},
            **log_size(streams.c.log_bytes + weight),
            oldest_at=sa.func.coalesce(streams.c.oldest_at, sa.bindparam("now", type_=_MOMENT)),
        )
        .returning(streams.c.owner_id)
        .cte("moved")
    )
    # As a sum, of the one row: it waits for the account's row.
    total = add_to_total(sa.select(sa.func.sum(added["live"])).select_from(moved))
    return log, moved, total


_TABLES = (tasks, trash)
_LOCK = Statement(
    sa.select(streams.c.live + streams.c.in_trash)
    .where(streams.c.owner_id == _OWNER, ~streams.c.removed)
    .with_for_update(key_share=True)
)
_READ, _OWNERS, _WRITE = _read(), _owners(), _write()


@dataclass(slots=True)
class PostgresBulk:
    _link: Link

    async def owners_of(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, UserId]:
        rows = await self._link.rows(_OWNERS, task_ids=list(task_ids))
        return {TaskId(task_id): UserId(owner_id) for task_id, owner_id in rows}

    async def hold(self, owner_id: UserId, task_ids: Sequence[TaskId]) -> Held | None:
        locked = await self._link.row(_LOCK, owner_id=owner_id)
        if locked is None:
            await self._link.rows(OPEN, owner_id=owner_id)
            locked = await self._link.row(_LOCK, owner_id=owner_id)
        if locked is None:
            return None
        # Not in the statement of the lock: that one sees what was committed before it waited.
        rows = await self._link.rows(_READ, owner_id=owner_id, task_ids=list(task_ids))
        found = map(task_of, rows)
        return Held({task.id: task for task in found}, locked[0])

    async def write(self, work: Work, *, by: UserId | None = None) -> Sequence[TaskId]:
        rows: list[dict[str, Any]] = []
        added = (_new_row(task, work.words) for task in work.added)
        changed = (_row(was, task, work.words) for was, task in work.changed)
        for row in chain(added, changed):
            rows.append(row)
            # A task that is restored, or has a new title, may have a text with unknown words.
            await asyncio.sleep(0)
        written = await self._link.rows(
            _WRITE,
            owner_id=work.owner_id,
            actor_id=by,
            now=work.at,
            **{name: [row[name] for row in rows] for name in rows[0]},
            **_steps(work),
            **_counts(work),
        )
        if written[0][1] != len(work.changed):
            raise StaleWrite
        return [TaskId(row[0]) for row in written[: len(work.added)]]


def _new_row(task: NewTask, words: Mapping[str, str]) -> dict[str, Any]:
    return values_of(task) | {
        "task_id": None,
        "previous": None,
        "place": _NOWHERE,
        "deleted_at": None,
        "created_at": task.created_at,
        "edition": 1,
        "updated_at": task.created_at,
        "words": words_vector(task, words),
    }


def _row(was: Task, task: Task, words: Mapping[str, str]) -> dict[str, Any]:
    """Return a row without words where these are stored already, or not needed."""
    has_words = was.deleted_at is None and _text(was) == _text(task)
    return values_of(task) | {
        "task_id": task.id,
        "previous": was.version,
        "place": _LIVE if was.deleted_at is None else _TRASH,
        "deleted_at": task.deleted_at,
        "created_at": task.created_at,
        "edition": task.version,
        "updated_at": task.updated_at,
        "words": None if has_words or task.deleted_at else words_vector(task, words),
    }


def _text(task: Task) -> tuple[str, str]:
    return task.title, task.description


def _steps(work: Work) -> dict[str, list[Any]]:
    """What is logged; `task` is the number of the task's row in the statement."""
    numbers = {was.id: number for number, (was, _) in enumerate(work.changed, len(work.added) + 1)}
    new = count(1)
    steps: dict[str, list[Any]] = {
        name: [] for name in ("task", "kind", "version", "at", "changes")
    }
    for step in work.steps:
        steps["task"].append(next(new) if isinstance(step.task, NewTask) else numbers[step.task.id])
        steps["version"].append(1 if isinstance(step.task, NewTask) else step.task.version)
        steps["kind"].append(TYPE_NUMBERS[step.type])
        steps["at"].append(work.at)
        steps["changes"].append(changes_text(step.changes) if step.changes else None)
    return steps


def _counts(work: Work) -> dict[str, int]:
    moved = sum((was.deleted_at is None) - (now.deleted_at is None) for was, now in work.changed)
    return {
        "more_live": len(work.added) - moved,
        "more_in_trash": moved,
        "more_head": len(work.steps),
    }
