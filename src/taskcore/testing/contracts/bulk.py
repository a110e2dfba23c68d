"""The contract of `ports.BulkRepository`, on every store: bulks leave what single writes leave."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskcore.core import Core, Terms
from taskcore.domain.bulk import Create, Delete, Operation, Restore, Step, Update, Work
from taskcore.domain.errors import Invalid, StaleWrite, TaskcoreError
from taskcore.domain.events import TaskEventType
from taskcore.domain.policies import Actor
from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import Status, Task, TaskId
from taskcore.domain.users import Role, UserId
from taskcore.ports import Page, Repositories, Store
from taskcore.testing.clock import ManualClock
from taskcore.testing.contracts.contract import SHARED, Contract
from taskcore.testing.contracts.stored import (
    LATER,
    add_task,
    add_user,
    move_to_trash,
    total_in_trash,
)
from taskcore.testing.cores import core_on

MISSING = TaskId(2**62)


MOST = 5


BEFORE = 3  # tasks of each account; the last one is in the trash


Fields = dict[str, Any]


CONTENT: st.SearchStrategy[Fields] = st.fixed_dictionaries(
    {"title": st.sampled_from(["Water the roses", "Write", "\u00e9t\u00e9", ""])},
    optional={
        "description": st.sampled_from(["a letter", "two letters"]),
        "status": st.sampled_from(["todo", "done", "never"]),
        "labels": st.sampled_from([["Home"], [], ["a", "A"]]),
        "due_at": st.sampled_from([LATER, None]),
    },
)


CHANGES: st.SearchStrategy[Fields] = st.one_of(
    st.just({}), st.just({"description": "Today"}), st.just({"status": "done"}), CONTENT
)


# The number of a task among those of the account; that of none is the last.
PLACE = st.sampled_from([0, 1, 2, 0, 1, 2, BEFORE])


VERSION = st.sampled_from([None, None, None, 1, 2, 3])


OPERATIONS = st.lists(
    st.one_of(
        st.builds(Create, CONTENT),
        st.builds(Update, PLACE, CHANGES, VERSION),
        st.builds(Delete, PLACE, VERSION),
        st.builds(Restore, PLACE),
    ),
    min_size=1,
    max_size=10,
)


QUERIES = [
    TaskQuery(),
    TaskQuery(q="roses"),
    TaskQuery(q="today"),
    TaskQuery(label=["home"], status=["done"]),
]


Outcome = tuple[Any, TaskcoreError | None]


async def outcome(work: Awaitable[object]) -> Outcome:
    try:
        return await work, None
    except TaskcoreError as refusal:
        return None, refusal


@dataclass
class Account:
    core: Core
    store: Store
    actor: Actor
    ids: list[TaskId]
    """Of its tasks, in the order in which they were created."""

    def numbered(self, task: Task | None) -> Task | None:
        """As it would be in any account."""
        if task is None:
            return None
        if task.id not in self.ids:
            self.ids.append(task.id)
        number = TaskId(self.ids.index(task.id))
        return replace(task, id=number, owner_id=UserId(0))

    def on_its_tasks(self, operations: Sequence[Operation]) -> list[Operation]:
        ids = [*self.ids[:BEFORE], MISSING]
        return [
            each if isinstance(each, Create) else replace(each, task_id=ids[each.task_id])
            for each in operations
        ]

    async def one_by_one(self, operations: Sequence[Operation]) -> list[Outcome]:
        return [await outcome(self._single(each)) for each in operations]

    async def _single(self, operation: Operation) -> Task | None:
        tasks = self.core.tasks
        match operation:
            case Create(content):
                return await tasks.create(self.actor, **content)
            case Update(task_id, changes, version):
                return await tasks.edit(self.actor, task_id, expected_version=version, **changes)
            case Delete(task_id, version):
                await tasks.delete(self.actor, task_id, expected_version=version)
                return None
            case Restore(task_id):
                return await tasks.restore(self.actor, task_id)

    async def _page(self, query: TaskQuery) -> Page[Task]:
        return await self.core.tasks.page(self.actor, query)

    async def state(self) -> object:
        """All that readers find, and every event."""
        tasks = self.core.tasks
        owner_id = UserId(self.actor.user_id or 0)
        pages = await asyncio.gather(tasks.trash(self.actor), *map(self._page, QUERIES))
        async with self.store.autocommit() as db:
            logs = await asyncio.gather(
                *(db.events.history(owner_id, each, skip=0, limit=99) for each in self.ids)
            )
        events = [
            replace(event, task_id=TaskId(number), actor_id=None)
            for number, log in enumerate(logs)
            for event in log.items
            if event.actor_id == owner_id
        ]
        assert len(events) == sum(len(log.items) for log in logs)
        return (
            [(list(map(self.numbered, page.items)), page.total) for page in pages],
            events,
            await tasks.labels(self.actor),
        )


async def an_account(core: Core, store: Store) -> Account:
    user = await add_user(store, uuid4().hex)
    account = Account(core, store, Actor(user.id, Role.USER, time_zone="Europe/Berlin"), [])
    for number in range(BEFORE):
        task = await core.tasks.create(account.actor, title=str(number), description="roses")
        account.ids.append(task.id)
    await core.tasks.delete(account.actor, account.ids[-1])
    return account


def fields_of(refusal: TaskcoreError) -> list[str]:
    if isinstance(refusal, Invalid):
        return [each.field for each in refusal.problems]
    return [refusal.field]


def told(refusal: TaskcoreError) -> tuple[type, tuple[tuple[str, str], ...]]:
    problems = refusal.problems if isinstance(refusal, Invalid) else ()
    return type(refusal), tuple((each.code, each.detail) for each in problems)


async def agree(store: Store, operations: Sequence[Operation]) -> None:
    """One account gets the operations one by one, the other those at once that were not refused.

    Before, it gets all, and is left as it was if any is refused.
    """
    clock = ManualClock()
    core = core_on(store, clock=clock, terms=Terms(max_tasks=MOST))
    ada, bob = await an_account(core, store), await an_account(core, store)
    before = await bob.state()
    clock.advance(hours=1)
    outcomes = await ada.one_by_one(ada.on_its_tasks(operations))
    results = [ada.numbered(task) for task, refusal in outcomes if refusal is None]
    refusals = [(place, refusal) for place, (_, refusal) in enumerate(outcomes) if refusal]
    at_once = bob.on_its_tasks(operations)
    if refusals:
        place, alone = refusals[0]
        _, refused = await outcome(core.tasks.bulk(bob.actor, at_once))
        assert refused
        assert told(refused) == told(alone)
        for field in fields_of(refused):
            assert f"{field}/".startswith(f"operations/{place}/")
        assert await bob.state() == before
        at_once = [
            each for each, (_, refusal) in zip(at_once, outcomes, strict=True) if not refusal
        ]
    if at_once:
        found = await core.tasks.bulk(bob.actor, at_once)
        assert [bob.numbered(task) for task in found] == results
    assert await bob.state() == await ada.state()


ALL: list[Operation] = [
    Create({"title": "Water the roses", "labels": ["Home"], "status": Status.DONE}),
    Update(TaskId(0), {"title": "Plant the roses"}),
    Update(TaskId(0), {"labels": ["HOME"], "description": "today"}, version=2),
    Update(TaskId(0), {"labels": ["HOME"]}),
    Delete(TaskId(1)),
    Restore(TaskId(1)),
    Update(TaskId(1), {"description": "Today"}),
    Delete(TaskId(1), version=4),
    Restore(TaskId(2)),
    Update(TaskId(2), {"title": "Roses"}),
    Create({"title": "Write", "due_at": LATER}),
    Delete(TaskId(2)),
]


async def written(store: Store, work: Work) -> None:
    async with store.transaction() as tx:
        await tx.bulk.hold(work.owner_id, [])
        await tx.bulk.write(work)


class BulkContract(Contract):
    @settings(SHARED, max_examples=min(15, SHARED.max_examples))
    @given(OPERATIONS)
    async def test_a_bulk_does_what_the_single_operations_do(
        self, store: Store, operations: list[Operation]
    ) -> None:
        await agree(store, operations)

    async def test_all_kinds_of_operations_follow_each_other(self, store: Store) -> None:
        await agree(store, ALL)

    async def test_work_on_tasks_that_have_changed_is_refused(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        live, other = await add_task(store, ada), await add_task(store, bob)
        trashed = await move_to_trash(store, await add_task(store, ada))

        def changed(was: Task) -> list[tuple[Task, Task]]:
            stale = replace(was, version=was.version + 1)
            return [
                (stale, stale.edited(LATER, title="x")),
                (stale, stale.trashed(LATER) if was.deleted_at is None else stale.restored(LATER)),
            ]

        for was, now in [
            *changed(live),
            *changed(trashed),
            (other, other.edited(LATER, title="x")),
        ]:
            work = Work(ada.id, LATER, [Step(TaskEventType.UPDATED, now)], [(was, now)])
            with pytest.raises(StaleWrite):
                await written(store, work)
        assert await total_in_trash(store, ada) == 1

    async def test_the_tasks_of_an_account_are_held_and_those_of_others_are_not(
        self, store: Store
    ) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        live, other = await add_task(store, ada), await add_task(store, bob)
        trashed = await move_to_trash(store, await add_task(store, ada))
        ids = [live.id, trashed.id, other.id, MISSING]

        async def held(owner_id: UserId, db: Repositories) -> tuple[dict[TaskId, Task], int] | None:
            found = await db.bulk.hold(owner_id, ids)
            return None if found is None else (dict(found.tasks), found.number)

        async with store.transaction() as tx:
            assert await held(ada.id, tx) == ({live.id: live, trashed.id: trashed}, 2)
            assert await held(UserId(MISSING), tx) is None
            owners = {live.id: ada.id, trashed.id: ada.id, other.id: bob.id}
            assert await tx.bulk.owners_of(ids) == owners
            assert await tx.bulk.owners_of([]) == {}
        async with store.transaction() as tx:
            await tx.users.remove(bob.id, at_once=0)
        async with store.transaction() as tx:
            assert await held(bob.id, tx) is None
            assert other.id not in await tx.bulk.owners_of(ids)

    async def test_bulks_that_run_at_the_same_time_keep_the_limit(self, store: Store) -> None:
        core = core_on(store, terms=Terms(max_tasks=7))
        ada = await add_user(store)
        actor = Actor(ada.id, Role.USER)
        two: list[Operation] = [Create({"title": "x"})] * 2

        outcomes = await asyncio.gather(*(outcome(core.tasks.bulk(actor, two)) for _ in range(6)))
        assert sum(len(results or ()) for results, _ in outcomes) == 6
        refusals = {told(refusal) for _, refusal in outcomes if refusal}
        assert [code for _, ((code, _),) in refusals] == ["limit_reached"]
