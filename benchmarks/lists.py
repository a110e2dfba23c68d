"""`make bench-lists`: filters, orders and searches among few tasks and among many.

Accounts of 50 tasks and one of 100 000, in a database of its own. With ten million tasks it takes
some 15 GB of disk. Prints the median of each list in milliseconds, and how the sizes compare.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.data import indexed_afterwards
from taskcore import Settings
from taskcore.adapters.embedded import EmbeddedPostgres
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.task_rows import label_hash
from taskcore.domain.dues import DueRange
from taskcore.domain.search import Search
from taskcore.domain.task_orders import Sort
from taskcore.domain.task_queries import EVERYTHING, TaskFilter
from taskcore.domain.tasks import OPEN, Priority, Status
from taskcore.domain.users import UserId
from taskcore.wiring import upgrade_database

_EACH, _MOST, _LIMIT = 50, 100_000, 20
_LARGE = UserId(1)
_REPETITIONS = 15
_PEOPLE = """
INSERT INTO users (email, email_key, hashed_password)
SELECT n || '@x.org', n || '@x.org', 'h' FROM generate_series(1, {owners}) n
"""
_TASKS = """
INSERT INTO tasks (id, title, owner_id, status, completed_at, priority, due_date, due_at, time_zone,
    due_sort, labels, label_keys, label_hashes, updated_at)
SELECT nextval('tasks_id_seq'), 'common w' || n % 1000, {owner}, n % 4,
    CASE WHEN n % 4 = 2 THEN day END, n / 7 % 5, NULL, CASE WHEN n % 3 = 0 THEN day END,
    CASE WHEN n % 3 = 0 THEN 'UTC' END,
    CASE WHEN n % 3 = 0 THEN day ELSE '9999-12-31 23:59:59.999999Z' END,
    CASE WHEN n % 10 = 0 THEN '{{Home}}' ELSE '{{}}' END::text[],
    CASE WHEN n % 10 = 0 THEN '{{home}}' END::text[], CASE WHEN n % 10 = 0 THEN array[{label}] END,
    day FROM (SELECT n, '2026-01-01'::timestamptz + n % 300 * interval '1 day' AS day
    FROM generate_series(1, {count}) n) numbered
"""
_REST = """
INSERT INTO task_words (owner_id, task_id, words) SELECT owner_id, id,
    format('''%1$s:common'':1A ''%1$s:%2$s'':1A', owner_id, split_part(title, ' ', 2))::tsvector
    FROM tasks;
INSERT INTO streams (owner_id, live) SELECT owner_id, count(*) FROM tasks GROUP BY owner_id;
UPDATE totals SET tasks = (SELECT count(*) FROM tasks) WHERE slot = 0;
"""
_DAY = datetime(2026, 6, 1, tzinfo=UTC)
_FILTERS = {
    "everything": EVERYTHING,
    "open": TaskFilter(statuses=OPEN),
    "priority": TaskFilter(priorities=frozenset({Priority.URGENT})),
    "label": TaskFilter(label_keys=frozenset({"home"})),
    "label of none": TaskFilter(label_keys=frozenset({"homeless"})),
    "overdue": TaskFilter(statuses=OPEN, due=DueRange(None, None, _DAY, _DAY.date())),
    "completed": TaskFilter(completed_from=_DAY),
    "updated": TaskFilter(updated_from=_DAY),
    "nothing": TaskFilter(
        statuses=frozenset({Status.DONE}),
        priorities=frozenset({Priority.URGENT}),
        label_keys=frozenset({"homeless"}),
    ),
}
_SEARCHES = {"common word": ("common",), "rare word": ("w7",), "no such word": ("nothing",)}


def _lists() -> Iterator[tuple[str, TaskFilter, Sort]]:
    for name, of in _FILTERS.items():
        for sort in Sort:
            if sort is not Sort.RELEVANCE:
                yield f"{name} by {sort}", of, sort
    for name, words in _SEARCHES.items():
        for sort in Sort:
            yield f"{name} by {sort}", TaskFilter(search=Search(words)), sort


def _filled(url: str, tasks: int) -> None:
    small = max(tasks - _MOST, _EACH * 100) if tasks > _MOST else tasks
    owners = small // _EACH
    with psycopg.connect(url, autocommit=True) as db:
        with indexed_afterwards(db):
            db.execute(_PEOPLE.format(owners=owners + 1).encode())
            label = label_hash("home")
            made = _TASKS.format(owner=f"2 + n % {owners}", count=small, label=label)
            db.execute(made.encode())
            if tasks > _MOST:
                db.execute(_TASKS.format(owner=1, count=_MOST, label=label).encode())
            db.execute(_REST)
        db.execute("VACUUM ANALYZE")


async def _median(store: PostgresStore, owners: range, of: TaskFilter, sort: Sort) -> float:
    """In milliseconds."""
    times = []
    for owner_id in owners:
        began = time.perf_counter()
        async with store.autocommit() as db:
            await db.tasks.page(UserId(owner_id), of, sort, skip=0, limit=_LIMIT)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def _crowd(store: PostgresStore, people: list[int]) -> float:
    """The median of lists by twelve users at once, in milliseconds."""

    async def one(owner_id: int) -> list[float]:
        of, times = _FILTERS["open"], []
        for _ in range(_REPETITIONS):
            began = time.perf_counter()
            async with store.autocommit(UserId(owner_id)) as db:
                await db.tasks.page(UserId(owner_id), of, Sort.DUE, skip=0, limit=_LIMIT)
            times.append((time.perf_counter() - began) * 1000)
        return times

    found = await asyncio.gather(*map(one, people))
    small = zip(people, found, strict=True)
    return statistics.median(ms for who, times in small if who != _LARGE for ms in times)


async def _measure(few: str, many: str) -> None:
    async with Connections(few) as one, Connections(many) as two:
        stores = PostgresStore(one), PostgresStore(two)
        ratios, large = [], []
        print(f"{'list':34}{'few':>8}{'many':>8}{'ratio':>8}{'of 100 000':>12}")
        small = range(2, 2 + _REPETITIONS)
        for name, of, sort in _lists():
            for store in stores:
                await _median(store, small, of, sort)  # to prepare
            before, after = [await _median(store, small, of, sort) for store in stores]
            most = await _median(stores[1], [_LARGE] * 5, of, sort)  # type: ignore[arg-type]
            ratios.append((after / before, name))
            large.append((most, name))
            print(f"{name:34}{before:8.2f}{after:8.2f}{after / before:8.2f}{most:12.1f}")
        words = [each for each in large if "word" in each[1]]
        print("greatest ratio", max(ratios))
        print("worst filter, account of 100 000", max(set(large) - set(words)))
        print("worst search, account of 100 000", max(words))
        alone = await _crowd(stores[1], list(range(2, 14)))
        beside = await _crowd(stores[1], [_LARGE, *range(2, 13)])
        print(f"twelve users: {alone:.1f} ms; one of them with 100 000 tasks: {beside:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000_000)
    tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory(prefix="taskcore-lists-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another account
        urls = []
        with EmbeddedPostgres(folder / "few") as few, EmbeddedPostgres(folder / "many") as many:
            for data, server, count in (("few", few, 10_000), ("many", many, tasks)):
                settings = Settings.from_env({"DATA_DIR": str(folder / data)})
                asyncio.run(upgrade_database(settings))
                _filled(server.conninfo, count)
                urls.append(server.conninfo)
            asyncio.run(_measure(*urls))


if __name__ == "__main__":
    main()
