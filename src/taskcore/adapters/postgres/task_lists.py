"""Lists of tasks in PostgreSQL: the plain ones, those with filters or another order, and labels.

    plain       one statement for many requests: a slice of an index
    filtered    the number of matches, and the slice of them: both from an index that ends with
                everything that filters look at, so that no row is fetched that is not shown
    searched    the matches from the index of words (task_search.py), then as filtered

Each is one round trip. A filtered or searched list reads what the account has, at most, and its
user waits for their turn.
"""

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.account_rows import ALL_TASKS
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.leftovers import REMOVED
from taskcore.adapters.postgres.ordered_scans import counted, in_order, looked_up, ordered
from taskcore.adapters.postgres.schema import streams, tasks
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Row,
    Statement,
    batch_of,
    in_index_order,
)
from taskcore.adapters.postgres.task_filters import (
    BIG,
    LOWEST_ID,
    OWNER,
    Shape,
    arguments,
    bind,
    one,
)
from taskcore.adapters.postgres.task_rows import columns_of_tasks, task_of, texts_at
from taskcore.adapters.postgres.task_search import FEW, Matches, search_arguments, searched
from taskcore.domain.ids import MAX_ID
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import EVERYTHING, TaskFilter
from taskcore.domain.tasks import Task
from taskcore.domain.users import UserId
from taskcore.ports import READ_AHEAD, LabelCount, Page

# Run two at once, so that one that fetches much does not delay all others.
PAGES = 2
_HIGHEST_ID: sa.ColumnElement[int] = sa.literal_column(str(MAX_ID))
# PostgreSQL reads the rows that a page skips: from here on, each runs alone, and users take turns.
_FAR = 1000


async def tasks_page(
    link: Link,
    owner_id: UserId | None,
    of: TaskFilter,
    sort: Sort,
    *,
    skip: int,
    limit: int,
    after: TaskPosition | None,
) -> Page[Task]:
    """What `TaskRepository.page` promises."""
    more = limit + 1  # one more, to see whether this is the last page
    if owner_id is None or (of == EVERYTHING and sort is Sort.NEWEST):
        if owner_id is not None and after is None and not skip and (ahead := READ_AHEAD.get()):
            known = ahead.take_page(owner_id, limit)
            if known is not None:
                return known
        before = MAX_ID if after is None else min(after.task_id, MAX_ID)
        rows = await (link.batched if skip <= _FAR else link.in_turn)(
            _PAGE_OF_ALL if owner_id is None else _PAGE_OF_OWNER,
            owner_id=owner_id,
            before=before,
            skip=skip,
            limit=more,
        )
        return page_of_tasks(rows, 1, limit)
    shape = Shape.of(of, sort, goes_on=after is not None)
    values = arguments(of, after) | {"owner_id": owner_id, "skip": skip, "limit": more}
    if of.search:
        values |= search_arguments(of.search, owner_id)
    rows = await link.in_turn(partial(_compiled, shape), **values)
    return page_of_tasks(rows, 0, limit)


def page_of_tasks(rows: Sequence[Row], total: int, limit: int) -> Page[Task]:
    """A page from rows with the total in column number `total`, and the task behind it."""
    items = [task_of(row[total + 1 :]) for row in rows[:limit] if row[total + 1] is not None]
    # No row: the account is gone.
    return Page(items, rows[0][total] if rows else 0, has_more=len(rows) > limit)


# Plain lists

TOTAL = sa.func.coalesce(streams.c.live, LOWEST_ID)
"""How many tasks the account of `streams` has."""


def is_account(owner_id: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    return sa.and_(streams.c.owner_id == owner_id, ~streams.c.removed)


def newest_tasks(before: sa.ColumnElement[int] = _HIGHEST_ID) -> sa.Select[Any]:
    """The tasks of the account of `streams`, with smaller ids than this, the greatest first."""
    owner = streams.c.owner_id
    return in_index_order(
        sa.select(*columns_of_tasks(tasks)),
        [tasks.c.owner_id, tasks.c.id],
        low=[owner, LOWEST_ID],
        below=[owner, before],
    )


def _plain(*, of_owner: bool) -> BatchedStatement:
    """Rows of the total and the columns of a task; one row of NULLs where the page is empty."""
    integers = dict.fromkeys(("before", "skip", "limit"), BIG)
    batch = batch_of(**integers, **({"owner_id": BIG} if of_owner else {}))
    if of_owner:
        source: Any = batch.join(streams, is_account(batch.c.owner_id), isouter=True)
        total, rows = TOTAL, newest_tasks(batch.c.before)
    else:
        source, total = batch, sa.func.coalesce(ALL_TASKS, LOWEST_ID)
        # Not a join, which would be slow for pages behind many tasks of a removed account.
        of_all = sa.select(*columns_of_tasks(tasks)).where(tasks.c.owner_id.not_in(REMOVED))
        rows = in_index_order(of_all, [tasks.c.id], low=[LOWEST_ID], below=[batch.c.before])
    page = rows.limit(batch.c.limit).offset(batch.c.skip).lateral("page")
    return BatchedStatement(
        sa.select(batch.c.number, total, *page.c)
        .select_from(source.join(page, sa.true(), isouter=True))
        .order_by(batch.c.number, page.c.id.desc()),
        max_concurrent=PAGES,
        limit="limit",
        hold_more=texts_at(2),
    )


_PAGE_OF_OWNER, _PAGE_OF_ALL = _plain(of_owner=True), _plain(of_owner=False)


# Filtered lists and searches


_statements: dict[Shape, Statement] = {}  # at most MAX_STATEMENTS, of a few kilobytes each
_compiler = ThreadPoolExecutor(1, "statements")
# Seconds after which the compiler gives the interpreter to the event loop; 0.005 is Python's. Each
# time that the loop has waited for a client or the database, it waits for the interpreter too.
_INTERVAL = 0.0002
MAX_STATEMENTS = 1500  # about as many as there are shapes, so that none displaces another


async def _compiled(shape: Shape) -> Statement:
    """Compile in a thread, one at a time: other requests would wait for the 20 ms it takes."""
    if statement := _statements.get(shape):
        return statement
    return await asyncio.get_running_loop().run_in_executor(_compiler, _compiled_once, shape)


def _compiled_once(shape: Shape) -> Statement:
    if shape not in _statements:
        if len(_statements) >= MAX_STATEMENTS:
            del _statements[next(iter(_statements))]
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_INTERVAL)
        try:
            _statements[shape] = _slice(shape)
        finally:
            sys.setswitchinterval(usual)
    return _statements[shape]


def _slice(shape: Shape) -> Statement:
    """Rows of the total and the columns of a task; one row of NULLs where the page is empty."""
    account = (
        sa.select(streams.c.owner_id, streams.c.live)
        .where(streams.c.owner_id == OWNER, ~streams.c.removed)
        .subquery("account")
    )
    matches = searched(shape) if shape.words else _matches(shape)
    limit: sa.ColumnElement[int] = bind("limit", BIG)
    if matches.number is not None:
        # Fetch no more than are left: else the scan goes on for what is not there.
        left = sa.func.greatest(matches.number - bind("skip", BIG), LOWEST_ID)
        limit = sa.func.least(limit, left)
    part = matches.rows.limit(limit).offset(bind("skip", BIG)).lateral("part")
    row = one(tasks.c.id, part.c.id, columns_of_tasks(tasks))
    total: sa.ColumnElement[Any] = sa.null()
    if shape.counted:
        total = account.c.live if matches.total is None else matches.total
    return Statement(
        sa.select(sa.cast(total, BIG).label("total"), *columns_of_tasks(row))
        .select_from(account.join(part, sa.true(), isouter=True).join(row, sa.true(), isouter=True))
        .order_by(*(ordered(part.c[name], shape.sort) for name in matches.key))
    )


def _matches(shape: Shape) -> Matches:
    rows = in_order(shape)
    names = [str(column.key) for column in rows.selected_columns]
    if not shape.counted or not shape.filters:
        return Matches(rows, names)
    chosen = counted(shape.filters).subquery("chosen")
    count = sa.select(sa.func.count().label("number"))
    if "label_keys" not in shape.filters:
        number = sa.select(count.select_from(chosen).cte("counted").c.number).scalar_subquery()
        return Matches(rows, names, number, number)
    found = count.add_columns(sa.func.array_agg(chosen.c.id).label("ids")).cte("counted")
    number = sa.select(found.c.number).scalar_subquery()
    ids = sa.cast(sa.select(found.c.ids).scalar_subquery(), sa.ARRAY(BIG))
    return Matches(_unless_few(shape, rows, number, ids), names, number, number)


def _unless_few(
    shape: Shape, rows: sa.Select[Any], number: sa.ColumnElement[int], ids: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    """The rows; if there are few matches, they are looked up by their ids instead.

    To find few among all tasks of an account takes as long as to count them, and labels are what
    takes longest to test.
    """
    few = number <= sa.literal_column(str(FEW))
    first = rows.limit(bind("skip", BIG) + bind("limit", BIG)).subquery("first")
    found = sa.union_all(
        sa.select(*looked_up(shape.sort, ids).subquery("known").c).where(few),
        sa.select(*first.c).where(~few),
    ).subquery("found")
    return sa.select(*found.c).order_by(*(ordered(column, shape.sort) for column in found.c))


# Labels


def _labels() -> Statement:
    """Labels in the order of their bytes, which is that of code points, whatever the database's."""
    label = (
        sa.func.unnest(tasks.c.labels, tasks.c.label_keys)
        .table_valued(sa.column("name", sa.Text), sa.column("key", sa.Text))
        .render_derived("label")
        .lateral("label")
    )
    key, name = (sa.collate(column, "C") for column in (label.c.key, label.c.name))
    return Statement(
        sa.select(sa.func.min(name), sa.func.count(), key)
        .select_from(tasks.join(label, sa.true()).join(streams, streams.c.owner_id == OWNER))
        .where(
            tasks.c.owner_id == OWNER,
            tasks.c.label_hashes.is_not(None),
            ~streams.c.removed,
            key > bind("after", sa.Text()),
        )
        .group_by(key)
        .order_by(key)
        .limit(bind("limit", BIG))
    )


_LABELS = _labels()


async def labels_page(
    link: Link, owner_id: UserId, *, limit: int, after: str | None
) -> Page[LabelCount]:
    """What `TaskRepository.labels` promises."""
    rows = await link.in_turn(_LABELS, owner_id=owner_id, limit=limit + 1, after=after or "")
    items = [LabelCount(*row) for row in rows[:limit]]
    return Page(items, None, has_more=len(rows) > limit)
