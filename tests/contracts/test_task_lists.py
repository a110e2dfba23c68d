"""Both stores list, filter, sort, search and count as a plain model does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskcore.adapters.memory import MemoryStore
from taskcore.domain.task_queries import MAX_RANKED
from taskcore.ports import Store
from taskcore.testing.contracts import TaskListContract
from taskcore.testing.contracts.task_lists import (
    EXAMPLES,
    Asked,
    Draft,
    LongList,
    agrees,
    asked,
    drafts,
    lists_agree,
    long_asked,
    long_list_in,
)


class TestTaskLists(TaskListContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""

    @pytest.fixture
    async def long_list(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> LongList:
        if not isinstance(store, MemoryStore):
            from taskcore.adapters.postgres import task_lists, task_search  # noqa: PLC0415 - --quick needs none

            # What PostgreSQL otherwise does for thousands of matches.
            monkeypatch.setattr(task_lists, "_statements", {})
            monkeypatch.setattr(task_lists, "FEW", 3)
            monkeypatch.setattr(task_search, "FEW", MAX_RANKED)
            monkeypatch.setattr(task_search, "PROBED", 20)
            monkeypatch.setattr(task_search, "RECENT", 20)
        return await long_list_in(store, 600)

    @pytest.fixture
    async def longer_list(self, store: Store) -> LongList:
        return await long_list_in(store, 5600)

    @pytest.mark.long
    @settings(EXAMPLES, max_examples=100)
    @given(long_asked)
    async def test_longer_lists_are_those_of_the_model(
        self, store: Store, longer_list: LongList, asked: Asked
    ) -> None:
        await agrees(store, longer_list.owner_id, longer_list.tasks, asked)

    @pytest.mark.long
    @settings(EXAMPLES, max_examples=10_000, derandomize=False)
    @given(drafts, st.lists(asked, min_size=1, max_size=3))
    async def test_ten_thousand_lists_are_those_of_the_model(
        self, store: Store, given: list[Draft], several: list[Asked]
    ) -> None:
        await lists_agree(store, given, several)
