"""A store lists, filters, sorts, searches and counts as the plain model in list_model.py does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any
from unicodedata import normalize
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskcore.domain.task_orders import Sort, position
from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import MAX_TASKS, NewTask, Priority, Status, Task
from taskcore.domain.users import UserId
from taskcore.ports import Store
from taskcore.testing.contracts.contract import SHARED, Contract
from taskcore.testing.contracts.list_model import Reader, listed, total
from taskcore.testing.contracts.stored import NOW, add_user

# Near each other, so that many dues are equal, or lie at a bound.
TICK = timedelta(microseconds=1)


MIDNIGHT = datetime(2030, 1, 3, tzinfo=UTC)


MOMENTS = [
    *(NOW, NOW + TICK, MIDNIGHT, MIDNIGHT - TICK),
    *(MIDNIGHT + timedelta(hours=hours) for hours in (-14, 11)),
    # The clocks of Havana skip the first hour of this day.
    datetime(2030, 3, 10, 5, tzinfo=UTC),
]


DAYS = [date(2030, 1, 2), date(2030, 1, 3), date(2030, 3, 10), date.min, date.max]


ZONES = [
    *("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Niue", "Asia/Kathmandu"),
    "America/Havana",
]


LABELS = [
    *("Home", "home", "HOME", "caf\u00e9", "cafe\u0301", "CAF\u00c9", "Stra\u00dfe", "STRASSE"),
    *("\u6771\u4eac", "a b", "{x,y}", "'q'"),
]


WORDS = [
    *("coffee", "Coffee", "cof", "c", "co", "tea", "TEAPOT", "e-mail", "foo_bar", "I'm", "42"),
    *("caf\u00e9", "cafe\u0301", "CAFE", "na\u00efve", "Stra\u00dfe", "STRASSE", "\U0001f600x"),
    *(
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u043f\u0440\u0438",
        "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    ),
    *(
        "\u6771\u4eac\u30bf\u30ef\u30fc",
        "\u6771\u4eac",
        "\u4eac",
        "\u30bf\u30ef",
        "\ud55c\uad6d\uc5b4",
        "\ud55c\uad6d",
    ),
]


@dataclass(frozen=True)
class Draft:
    """A task to be made, and what then happens to it."""

    created: datetime
    content: dict[str, Any]
    then: str
    new_content: dict[str, Any]
    at: datetime


def _content(
    random: Random, words: Sequence[str] | None = None, more: Sequence[str] | None = None
) -> dict[str, Any]:
    due = random.choice([None, *MOMENTS, *DAYS])
    moment = due if isinstance(due, datetime) else None
    status = random.choice([*Status])
    labels = random.sample(LABELS, random.randrange(4))
    if words is None:
        words = random.choices(WORDS, k=random.randint(1, 3))
    if more is None:
        more = random.choices(WORDS, k=random.randrange(4))
    return {
        "title": " ".join(words),
        "description": "\n".join(more),
        "status": status,
        "priority": random.choice([*Priority]),
        "due_date": None if moment else due,
        "due_at": moment,
        "time_zone": "Asia/Tokyo" if moment else None,
        "labels": tuple({normalize("NFC", name).casefold(): name for name in labels}.values()),
        "completed_at": random.choice(MOMENTS) if status is Status.DONE else None,
    }


def _draft(random: Random, then: str) -> Draft:
    return Draft(
        random.choice(MOMENTS), _content(random), then, _content(random), random.choice(MOMENTS)
    )


THEN = ("", "", "", "edited", "edited", "trashed", "restored", "purged")


@cache
def _pool() -> list[Draft]:
    """Prepared, because hypothesis would take longer to make a task than a store to keep it."""
    return [
        _draft(Random(number), THEN[number % len(THEN)])  # noqa: S311 - nothing secret
        for number in range(2400)
    ]


drafts = st.deferred(lambda: st.lists(st.sampled_from(_pool()), max_size=12))


words = st.sampled_from(WORDS)


moments = st.sampled_from(MOMENTS)


bounds = moments | st.sampled_from(DAYS)


def _several(values: Sequence[str]) -> st.SearchStrategy[Sequence[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


RANGES = ["due_from", "due_until", "completed_from", "completed_until", "updated_from"]


FILTERS: dict[str, st.SearchStrategy[Any]] = {
    "status": _several([*Status, "open", "closed"]),
    "priority": _several([*Priority]),
    "label": _several(LABELS),
    **dict.fromkeys(RANGES, bounds),
    "overdue": st.just(True),
    "q": st.lists(words, min_size=1, max_size=2).map(" ".join),
}


def _query(filters: dict[str, Any], sort: Sort | None) -> TaskQuery:
    if sort is Sort.RELEVANCE and "q" not in filters:
        sort = None
    return TaskQuery(**filters, sort=sort)


queries = st.builds(
    _query,
    st.sets(st.sampled_from([*FILTERS, "due_from", "due_until", "q"]), max_size=3).flatmap(
        lambda names: st.fixed_dictionaries({name: FILTERS[name] for name in names})
    ),
    st.none() | st.sampled_from(Sort),
)


@dataclass(frozen=True)
class Asked:
    query: TaskQuery
    reader: Reader
    skip: int
    limit: int


asked = st.builds(
    Asked,
    queries,
    st.builds(Reader, moments, st.sampled_from(ZONES)),
    st.integers(0, 14),
    st.sampled_from([2, 3, 5, 100]),
)


async def made(store: Store, owner_id: UserId, given: Sequence[Draft]) -> list[Task]:
    """Returns those that are not in the trash then."""

    async def one(draft: Draft) -> Task | None:
        new = NewTask(owner_id, draft.created, **draft.content)
        task = await db.tasks.add(new, at_most=MAX_TASKS)
        if draft.then == "edited":
            edited = replace(task, version=2, updated_at=draft.at, **draft.new_content)
            return await db.tasks.save(edited, was=task)
        if draft.then:
            trashed = task.trashed(draft.at)
            await db.tasks.trash(trashed, was=task)
            if draft.then == "restored":
                restored = trashed.restored(draft.at)
                await db.trash.restore(restored, was=trashed)
                return restored
            if draft.then == "purged":
                await db.trash.purge(owner_id, task.id, at=NOW)
            return None
        return task

    async with store.autocommit() as db:
        tasks = await asyncio.gather(*map(one, given))
    return [task for task in tasks if task]


# Of a list, so many tasks are read from its beginning on, and so many at its end.
_READ = 550


async def agrees(store: Store, owner_id: UserId, tasks: list[Task], asked: Asked) -> None:
    """Asks for a slice, reads the whole list page by page, and begins behind a task."""
    query, reader, skip, limit = asked.query, asked.reader, asked.skip, asked.limit
    of, order = query.filter(reader.now, reader.zone), query.order
    wanted = listed(tasks, query, reader)
    first, then = (total(tasks, query, reader, goes_on=goes_on) for goes_on in (False, True))
    async with store.autocommit() as db:
        page = await db.tasks.page(owner_id, of, order, skip=skip, limit=limit)
        assert list(page.items) == wanted[skip : skip + limit]
        assert (page.total, page.has_more) == (first, skip + limit < len(wanted))
        read: list[Task] = []
        after = None
        while not read or len(read) < len(wanted):
            page = await db.tasks.page(owner_id, of, order, skip=0, limit=limit, after=after)
            read += page.items
            assert read == wanted[: len(read)]
            assert (page.total, page.has_more) == (then if after else first, read != wanted)
            if not read:
                break
            if len(read) > _READ < len(wanted) - len(read):
                read = wanted[:-_READ]  # go on near the end
            after = position(read[-1], order, of.search)
        assert read == wanted
        if tasks and order is not Sort.RELEVANCE:
            # Behind a task that need not be in the list.
            everything = listed(tasks, TaskQuery(sort=order), reader)
            place = skip % len(tasks)
            ids = {task.id for task in wanted}
            behind = [task for task in everything[place + 1 :] if task.id in ids]
            page = await db.tasks.page(
                owner_id, of, order, skip=1, limit=limit, after=position(everything[place], order)
            )
            assert list(page.items) == behind[1 : 1 + limit]
            assert (page.total, page.has_more) == (then, 1 + limit < len(behind))


async def lists_agree(store: Store, given: Sequence[Draft], several: Sequence[Asked]) -> None:
    owner = await add_user(store, uuid4().hex)
    tasks = await made(store, owner.id, given)
    for each in several:
        await agrees(store, owner.id, tasks, each)


EXAMPLES = settings(
    SHARED,
    suppress_health_check=[
        *SHARED.suppress_health_check,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def simple_draft(**content: Any) -> Draft:
    """A task with the title `x` and nothing else but this content."""
    new = _content(Random(0), ["x"], []) | {"status": Status.TODO, "completed_at": None}  # noqa: S311
    new |= {"due_date": None, "due_at": None, "time_zone": None, "labels": ()} | content
    return Draft(NOW, new, "", new, NOW)


# One task for each value that a filter may look at.
_ONE_OF_EACH = [
    *(simple_draft(due_at=moment, time_zone="UTC") for moment in MOMENTS),
    *(simple_draft(due_date=day) for day in DAYS),
    *(simple_draft(status=Status.DONE, completed_at=moment) for moment in MOMENTS),
    *(replace(simple_draft(), created=moment) for moment in MOMENTS),
    *(simple_draft(status=status) for status in Status if status is not Status.DONE),
    *(simple_draft(priority=priority) for priority in Priority),
    *(simple_draft(labels=(label,)) for label in LABELS),
    *(simple_draft(title=word) for word in WORDS),
    *(simple_draft(description=word) for word in WORDS),
]


_ONE_FILTER: list[dict[str, Any]] = [
    *({name: bound} for name in RANGES for bound in (*MOMENTS, *DAYS)),
    *({"status": [word]} for word in (*Status, "open", "closed")),
    *({"priority": [priority]} for priority in Priority),
    *({"label": [label]} for label in LABELS),
    *({"q": word} for word in WORDS),
    {"overdue": True},
]


# Long lists: beyond what is ranked and counted, and beyond the newest tasks of a search.


def _many(count: int) -> list[Draft]:
    """Most with one word, some with a rarer one, the oldest tenth with one of its own."""
    random = Random(count)  # noqa: S311 - nothing secret
    many = []
    for number in range(count):
        title = [word for word, share in (("coffee", 0.9), ("cup", 0.2)) if random.random() < share]
        more = ["coffee", "milk"][: random.randrange(3)] + ["old"] * (number < count / 10)
        content = _content(random, title or ["tea"], more)
        many.append(Draft(random.choice(MOMENTS), content, "", content, NOW))
    return many


long_queries = st.builds(
    _query,
    st.fixed_dictionaries(
        {
            "q": st.sampled_from(
                ["coffee", "coff", "cup", "old", "milk coffee", "old cup", "tea", "x"]
            )
        },
        optional={"status": FILTERS["status"], "label": FILTERS["label"]},
    )
    | st.fixed_dictionaries(
        {}, optional={"priority": FILTERS["priority"], "label": FILTERS["label"]}
    ),
    st.none() | st.sampled_from(Sort),
)


long_asked = st.builds(
    Asked,
    long_queries,
    st.builds(Reader, moments, st.just("UTC")),
    st.sampled_from([0, 400, 490, 500, 501, 600, 5000, 10_000]),
    st.sampled_from([99, 100]),
)


@dataclass(frozen=True)
class LongList:
    owner_id: UserId
    tasks: list[Task]


async def long_list_in(store: Store, count: int) -> LongList:
    owner = await add_user(store, uuid4().hex)
    return LongList(owner.id, await made(store, owner.id, _many(count)))


class TaskListContract(Contract):
    """On the fixture `store`: every filter, order and search, against a plain model."""

    @pytest.fixture
    async def long_list(self, store: Store) -> LongList:
        return await long_list_in(store, 600)

    @settings(EXAMPLES, max_examples=min(40, EXAMPLES.max_examples))
    @given(drafts, st.lists(asked, min_size=1, max_size=2))
    async def test_lists_are_those_of_the_model(
        self, store: Store, given: list[Draft], several: list[Asked]
    ) -> None:
        await lists_agree(store, given, several)

    async def test_each_filter_alone_is_that_of_the_model(self, store: Store) -> None:
        owner = await add_user(store, uuid4().hex)
        tasks = await made(store, owner.id, _ONE_OF_EACH)
        for reader in (Reader(MIDNIGHT, "UTC"), Reader(NOW + TICK, "Pacific/Kiritimati")):
            for fields in _ONE_FILTER:
                await agrees(store, owner.id, tasks, Asked(TaskQuery(**fields), reader, 1, 100))

    @settings(EXAMPLES, max_examples=min(12, EXAMPLES.max_examples))
    @given(long_asked)
    async def test_long_lists_are_those_of_the_model(
        self, store: Store, long_list: LongList, asked: Asked
    ) -> None:
        await agrees(store, long_list.owner_id, long_list.tasks, asked)
