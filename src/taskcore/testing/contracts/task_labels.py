"""The labels of an account and their numbers, on every store."""

from collections import defaultdict
from typing import Any
from unicodedata import normalize

from taskcore.domain.users import User
from taskcore.ports import LabelCount, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import LATER, add_task, add_user, move_to_trash


async def labels_of(store: Store, owner: User, limit: int = 100) -> list[LabelCount]:
    """Read page by page."""
    read: list[LabelCount] = []
    after = None
    async with store.autocommit() as db:
        while True:
            page = await db.tasks.labels(owner.id, limit=limit, after=after)
            assert page.total is None
            assert page.has_more is (len(page.items) == limit and page.has_more)
            read += page.items
            if not page.has_more:
                return read
            after = read[-1].key


class TaskLabelContract(Contract):
    async def test_labels_that_are_alike_count_as_one_and_come_by_name(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_task(store, bob, labels=["Home", "bobs"])
        given = [
            ["home", "zoo"],
            ["Home", "caf\u00e9"],
            ["HOME", "CAFE\u0301", "\U0001f600"],
            ["cafe\u0301", "Zoo", "a"],
            ["Stra\u00dfe", "\uffff"],
            ["STRASSE", "a b", "\u6771\u4eac"],
        ]
        for labels in given:
            await add_task(store, ada, labels=labels)
        alike = defaultdict(list)
        for name in (name for labels in given for name in labels):
            alike[normalize("NFC", name).casefold()].append(name)
        # By code points, in which the last two differ from the order of UTF-16.
        wanted = [LabelCount(min(alike[key]), len(alike[key]), key) for key in sorted(alike)]
        assert [label.key for label in wanted[-2:]] == ["\uffff", "\U0001f600"]
        for limit in (1, 2, 7, 100):
            assert await labels_of(store, ada, limit) == wanted
        assert [label.name for label in await labels_of(store, bob)] == ["bobs", "Home"]
        async with store.autocommit() as db:
            exactly = await db.tasks.labels(ada.id, limit=len(wanted))
            assert (list(exactly.items), exactly.has_more) == (wanted, False)
            behind = await db.tasks.labels(ada.id, limit=9, after="home, no label")
            assert list(behind.items) == [label for label in wanted if label.key > "home, no label"]

    async def test_labels_follow_every_change_of_their_tasks(self, store: Store) -> None:
        ada = await add_user(store)

        async def counted() -> dict[str, int]:
            return {label.name: label.count for label in await labels_of(store, ada)}

        async def changed(task: Any, **changes: Any) -> Any:
            edited = task.edited(LATER, **changes)
            async with store.autocommit() as db:
                return await db.tasks.save(edited, was=task)

        assert await counted() == {}
        one = await add_task(store, ada, labels=["a", "b"])
        two = await add_task(store, ada, labels=["B"])
        assert await counted() == {"a": 1, "B": 2}
        one = await changed(one, labels=["b", "c"])
        assert await counted() == {"B": 2, "c": 1}
        two = await changed(two, labels=[], title="y")
        assert await counted() == {"b": 1, "c": 1}
        one = await changed(one, title="z", priority="high")
        trashed = await move_to_trash(store, one)
        assert await counted() == {}
        async with store.autocommit() as db:
            await db.trash.restore(trashed.restored(LATER), was=trashed)
        assert await counted() == {"b": 1, "c": 1}
