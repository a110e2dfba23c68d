"""A search by relevance lists every match, those too that are too old to be ranked."""

from dataclasses import dataclass
from uuid import uuid4

import pytest

from taskcore.domain.search import Search
from taskcore.domain.task_orders import Sort, TaskPosition, position
from taskcore.domain.task_queries import MAX_RANKED, TaskFilter
from taskcore.domain.tasks import Status, Task
from taskcore.domain.users import UserId
from taskcore.ports import Page, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import add_user
from taskcore.testing.contracts.task_lists import made, simple_draft

_COFFEE = TaskFilter(search=Search(("coffee",)))
_OLDER = 25


@dataclass(frozen=True)
class Matches:
    store: Store
    owner_id: UserId
    wanted: list[Task]
    """All, in the order of the list."""

    async def page(
        self, of: TaskFilter = _COFFEE, *, skip: int, limit: int, after: TaskPosition | None = None
    ) -> Page[Task]:
        async with self.store.autocommit() as db:
            return await db.tasks.page(
                self.owner_id, of, Sort.RELEVANCE, skip=skip, limit=limit, after=after
            )

    async def walked(self, of: TaskFilter = _COFFEE, *, by_cursor: bool, limit: int) -> list[Task]:
        read: list[Task] = []
        has_more = True
        while has_more:
            after = position(read[-1], Sort.RELEVANCE, of.search) if read and by_cursor else None
            page = await self.page(of, skip=0 if by_cursor else len(read), limit=limit, after=after)
            assert page.total is None
            assert page.items
            read += page.items
            has_more = page.has_more
        return read


class TaskSearchContract(Contract):
    """On the fixture `store`."""

    @pytest.fixture
    async def matches(self, store: Store) -> Matches:
        """More than are ranked: some have the word in the title, among them the oldest of all."""
        owner = await add_user(store, uuid4().hex)
        in_title, in_text = simple_draft(title="coffee"), simple_draft(description="coffee")
        other = simple_draft(description="coffee", status=Status.IN_PROGRESS)
        drafts = [in_title, *[in_text, other] * ((MAX_RANKED + _OLDER) // 2)]
        drafts[_OLDER + 40] = drafts[-7] = in_title
        made_of = await made(store, owner.id, drafts)
        tasks = sorted(made_of, key=lambda task: task.id, reverse=True)
        ranked, older = tasks[:MAX_RANKED], tasks[MAX_RANKED:]
        ranked.sort(key=lambda task: "coffee" not in task.title)
        return Matches(store, owner.id, ranked + older)

    @pytest.mark.parametrize("by_cursor", [True, False])
    async def test_a_search_by_relevance_lists_each_match_once(
        self, matches: Matches, *, by_cursor: bool
    ) -> None:
        """Behind those that are ranked, the newest first, whatever their title."""
        for limit in (101, MAX_RANKED, MAX_RANKED - 1):
            assert await matches.walked(by_cursor=by_cursor, limit=limit) == matches.wanted

    async def test_a_page_begins_anywhere_around_the_last_that_is_ranked(
        self, matches: Matches
    ) -> None:
        wanted = matches.wanted
        for begin in range(MAX_RANKED - 3, MAX_RANKED + 4):
            after = position(wanted[begin - 1], Sort.RELEVANCE, _COFFEE.search)
            for limit in (1, 2, 5):
                by_skip = await matches.page(skip=begin, limit=limit)
                by_cursor = await matches.page(skip=0, limit=limit, after=after)
                both = await matches.page(skip=2, limit=limit, after=after)
                assert list(by_skip.items) == wanted[begin : begin + limit]
                assert list(by_cursor.items) == wanted[begin : begin + limit]
                assert list(both.items) == wanted[begin + 2 : begin + 2 + limit]
        beyond = await matches.page(skip=len(wanted), limit=5)
        assert (list(beyond.items), beyond.has_more) == ([], False)

    @pytest.mark.parametrize("by_cursor", [True, False])
    async def test_a_filter_is_applied_before_the_newest_are_ranked(
        self, matches: Matches, *, by_cursor: bool
    ) -> None:
        """Of more matches than are ranked, a filter leaves more out of the older ones as well."""
        most = TaskFilter(statuses=frozenset({Status.TODO, Status.DONE}), search=_COFFEE.search)
        store, owner_id = matches.store, matches.owner_id
        draft = simple_draft(description="coffee", status=Status.TODO)
        newer = await made(store, owner_id, [draft] * (MAX_RANKED // 2 + _OLDER))
        kept = [task for task in matches.wanted if task.status is not Status.IN_PROGRESS]
        tasks = sorted([*kept, *newer], key=lambda task: task.id, reverse=True)
        ranked, older = tasks[:MAX_RANKED], tasks[MAX_RANKED:]
        assert older
        ranked.sort(key=lambda task: "coffee" not in task.title)
        assert await matches.walked(most, by_cursor=by_cursor, limit=97) == ranked + older

    async def test_few_matches_go_on_behind_a_task_that_is_gone(self, store: Store) -> None:
        """The task may be older than all matches that are left: these are ranked all the same."""
        owner = await add_user(store, uuid4().hex)
        in_title = simple_draft(title="coffee")
        first, *rest = await made(
            store, owner.id, [in_title, *[simple_draft(description="coffee")] * 3]
        )
        async with store.autocommit() as db:
            await db.tasks.trash(first.trashed(first.updated_at), was=first)
        after = position(first, Sort.RELEVANCE, _COFFEE.search)
        page = await Matches(store, owner.id, []).page(skip=0, limit=5, after=after)
        assert {task.id for task in page.items} == {task.id for task in rest}
