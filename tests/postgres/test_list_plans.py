"""Lists of tasks with filters, orders and words: what the server reads for a page.

Few owners or many, with many tasks or none, after VACUUM and before the first one.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import psycopg
import pytest

from taskcore.adapters.postgres import task_lists, task_search, trash
from taskcore.adapters.postgres.conninfo import conninfo
from taskcore.adapters.postgres.ordered_scans import SORTED_BY
from taskcore.adapters.postgres.task_filters import Shape, arguments
from taskcore.adapters.postgres.task_search import search_arguments
from taskcore.domain.dues import DueRange
from taskcore.domain.search import Search
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import EVERYTHING, MAX_RANKED, TaskFilter
from taskcore.domain.tasks import Priority, Status, TaskId
from tests.conftest import migrated_database
from tests.postgres.plans import MOST, OWNERS, Db, Node, add_people, add_tasks, plan

LIMIT = 31
FROM, UNTIL = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC)
DUE = DueRange(FROM, FROM.date(), UNTIL, UNTIL.date())
FILTERS = {
    "everything": EVERYTHING,
    "status": TaskFilter(statuses=frozenset({Status.DONE, Status.CANCELLED})),
    "status of two apart": TaskFilter(statuses=frozenset({Status.TODO, Status.DONE})),
    "priority": TaskFilter(priorities=frozenset({Priority.HIGH})),
    "label": TaskFilter(label_keys=frozenset({"home"})),
    "label of none": TaskFilter(label_keys=frozenset({"homeless"})),
    "due": TaskFilter(due=DUE),
    "overdue": TaskFilter(
        statuses=frozenset({Status.TODO}), due=DueRange(None, None, UNTIL, UNTIL.date())
    ),
    "completed": TaskFilter(completed_from=FROM, completed_until=UNTIL),
    "updated": TaskFilter(updated_from=UNTIL),
    "all": TaskFilter(
        statuses=frozenset({Status.DONE}),
        priorities=frozenset({Priority.HIGH}),
        label_keys=frozenset({"home"}),
        due=DUE,
        completed_from=FROM,
        completed_until=UNTIL,
        updated_from=FROM,
    ),
}
# A position in the midst of each list.
MIDST = 15_000
KEYS: dict[Sort, int | datetime] = {
    Sort.DUE: FROM,
    Sort.UPDATED: UNTIL,
    Sort.PRIORITY: 2,
    Sort.RELEVANCE: 1,
}


class World(NamedTuple):
    db: Db
    owners: tuple[int, ...]
    most: int
    """How many tasks an owner has at most."""
    is_vacuumed: bool
    is_short: bool
    """Each two of the owner, the place in the list and the kind of plan, not each three."""

    def asked(self, *, generic: bool) -> Iterator[tuple[int, bool]]:
        """The owners, and whether the page is one further on."""
        for owner_id, goes_on in product(self.owners, (False, True)):
            if not self.is_short or goes_on == ((owner_id == self.owners[0]) == generic):
                yield owner_id, goes_on


@pytest.fixture(scope="module")
def filled(database_url: str) -> Iterator[Callable[[str], Db]]:
    """A database of these owners, made once. No table of tasks is vacuumed by itself."""
    with ExitStack() as stack:

        @cache
        def made(kind: str) -> Db:
            url = stack.enter_context(migrated_database(database_url, is_searched=False))
            db = stack.enter_context(psycopg.connect(conninfo(url), autocommit=True))
            db.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")
            db.execute("ALTER TABLE task_words SET (autovacuum_enabled = off)")
            people, parts = OWNERS[kind]
            add_people(db, people)
            add_tasks(db, *parts)
            return db

        yield made


# The first ones see their database before a VACUUM.
WORLDS = [
    (MOST, False, True),
    (MOST, True, True),
    pytest.param((MOST, False, False), marks=pytest.mark.long),
    *(pytest.param((kind, True, False), marks=pytest.mark.long) for kind in OWNERS),
]


@pytest.fixture(scope="module", params=WORLDS, ids=str)
def world(request: pytest.FixtureRequest, filled: Callable[[str], Db]) -> World:
    kind, is_vacuumed, is_short = request.param
    people, _ = OWNERS[kind]
    db = filled(kind)
    if is_vacuumed:
        db.execute("VACUUM ANALYZE")
    row = db.execute(
        "SELECT max(live), (SELECT relallvisible > 0 FROM pg_class WHERE relname = 'tasks')"
        " FROM streams"
    ).fetchone()
    assert row
    most, is_visible = row
    assert is_visible == is_vacuumed
    return World(db, (1, min(people, 7)), most, is_vacuumed, is_short)


def listed(
    world: World, of: TaskFilter, sort: Sort, owner_id: int, *, goes_on: bool, generic: bool
) -> list[Node]:
    after = TaskPosition(KEYS.get(sort, MIDST), TaskId(MIDST)) if goes_on else None
    values: dict[str, Any] = arguments(of, after)
    if of.search:
        values |= search_arguments(of.search, owner_id)
    statement = task_lists._slice(Shape.of(of, sort, goes_on=goes_on))
    return plan(
        world.db, statement, generic=generic, owner_id=owner_id, skip=0, limit=LIMIT, **values
    )


def scans(found: list[Node], *tables: str) -> Iterator[tuple[Node, int]]:
    """Those of these tables, and how many rows each reads, those that it drops included."""
    for node in found:
        if node.get("Relation Name") in tables and "Scan" in node["Node Type"]:
            dropped = node.get("Rows Removed by Filter", 0)
            dropped += node.get("Rows Removed by Index Recheck", 0)
            yield node, int((node["Actual Rows"] + dropped) * node["Actual Loops"])


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("sort", SORTED_BY)
def test_a_list_is_read_from_an_index_in_its_order(
    world: World, sort: Sort, *, generic: bool
) -> None:
    """Filters are tested in the index: no row is fetched that is not shown."""
    for name, of in FILTERS.items():
        for owner_id, goes_on in world.asked(generic=generic):
            found = listed(world, of, sort, owner_id, goes_on=goes_on, generic=generic)
            case = (name, owner_id, goes_on)
            for node, read in scans(found, "tasks"):
                assert node["Node Type"] != "Seq Scan", case
                assert read <= world.most, case
                if world.is_vacuumed and read > LIMIT:
                    assert node["Node Type"] == "Index Only Scan", case
                    assert node["Heap Fetches"] == 0, case
            # A range of dues or changes may be read first, and then be sorted.
            if world.is_vacuumed and of.due is None and of.updated_from is None:
                sorts = [node for node in found if "Sort" in node["Node Type"]]
                # Few tasks with a label are looked up by their ids.
                most = LIMIT if of.label_keys is None else task_search.FEW
                assert all(node["Plans"][0]["Actual Rows"] <= most for node in sorts), case


@pytest.mark.parametrize("generic", [False, True])
def test_the_index_itself_drops_tasks_without_labels(world: World, *, generic: bool) -> None:
    """Handing a row out and testing it takes three times as long. Here all labels are alike."""
    if not world.is_vacuumed:
        pytest.skip("the rows are read then, too")
    for sort in SORTED_BY:
        for owner_id in world.owners:
            of = FILTERS["label"]
            found = listed(world, of, sort, owner_id, goes_on=False, generic=generic)
            (counting,) = [
                node
                for node, _ in scans(found, "tasks")
                if "label_hashes IS NOT NULL" in node.get("Index Cond", "")
            ]
            assert not counting.get("Rows Removed by Filter")


WORDS = {
    "in every task": ("common",),
    "in every tenth": ("v7",),
    "in few": ("v4999",),
    "in none": ("nothing",),
    "two": ("common", "w1"),
}


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("words", WORDS)
def test_a_search_reads_each_task_of_the_account_once_at_most(
    world: World, words: str, *, generic: bool
) -> None:
    """Nothing of other accounts, but where nearly all words are the account's."""
    search = Search(WORDS[words])
    for name, sort in product(("everything", "status"), (Sort.RELEVANCE, Sort.OLDEST, Sort.DUE)):
        of = TaskFilter(FILTERS[name].statuses, search=search)
        for owner_id, goes_on in world.asked(generic=generic):
            found = listed(world, of, sort, owner_id, goes_on=goes_on, generic=generic)
            case = (name, sort, goes_on, owner_id)
            for node, read in scans(found, "tasks", "task_words"):
                assert read <= world.most * 1.3, case
                if node["Node Type"] == "Seq Scan":
                    assert node["Relation Name"] == "task_words", case
                    assert node["Actual Rows"] >= read / 2, case
                # Look-ups one by one are for those that are shown or ranked, and for
                # the first in the list's order.
                assert node["Actual Loops"] <= max(MAX_RANKED, task_search.PROBED), case


@pytest.mark.parametrize("generic", [False, True])
def test_a_common_word_is_looked_for_in_the_order_of_the_list(
    world: World, *, generic: bool
) -> None:
    """In every order, and with filters, as many tasks are looked at as are counted at most."""
    for sort in set(SORTED_BY) - {Sort.NEWEST}:
        for name in ("everything", "status", "label of none"):
            of = TaskFilter(
                FILTERS[name].statuses,
                label_keys=FILTERS[name].label_keys,
                search=Search(("common",)),
            )
            most = {"everything": LIMIT, "status": MAX_RANKED + 1, "label of none": 0}[name]
            found = listed(world, of, sort, 7, goes_on=False, generic=generic)
            if world.owners[1] == 7 and live(world, 7) > task_search.FEW:
                probes = [node for node, _ in scans(found, "task_words") if is_probe(node)]
                assert sum(node["Actual Loops"] for node in probes) <= most, (sort, name)


@pytest.mark.parametrize("generic", [False, True])
def test_a_word_of_many_tasks_far_down_is_collected_once(world: World, *, generic: bool) -> None:
    """The tasks that come first are looked up one by one, and not all of them."""
    of = TaskFilter(search=Search(("early",)))
    owner_id = max(world.owners, key=lambda each: live(world, each))
    found = listed(world, of, Sort.UPDATED, owner_id, goes_on=False, generic=generic)
    loops = [node["Actual Loops"] for node, _ in scans(found, "task_words")]
    if live(world, owner_id) > 3 * task_search.PROBED:
        assert task_search.PROBED in loops
        assert sum(loops) <= task_search.PROBED + 3
    else:
        assert sum(loops) <= 3


def live(world: World, owner_id: int) -> int:
    row = world.db.execute("SELECT live FROM streams WHERE owner_id = %s", [owner_id]).fetchone()
    return row[0] if row else 0


def is_probe(node: Node) -> bool:
    return node.get("Index Name") == "task_words_pkey"


@pytest.mark.parametrize("generic", [False, True])
def test_a_common_word_is_found_among_the_newest_tasks(world: World, *, generic: bool) -> None:
    of = TaskFilter(search=Search(("common",)))
    for sort in (Sort.RELEVANCE, Sort.NEWEST):
        found = listed(world, of, sort, 1, goes_on=False, generic=generic)
        for node, read in scans(found, "tasks", "task_words"):
            assert read <= task_search.RECENT, node


@pytest.mark.parametrize("generic", [False, True])
def test_older_matches_are_looked_for_only_behind_those_that_are_ranked(
    world: World, *, generic: bool
) -> None:
    owner_id = max(world.owners, key=lambda each: live(world, each))
    if live(world, owner_id) <= MAX_RANKED + LIMIT:
        pytest.skip("all are ranked")
    row = world.db.execute("SELECT max(id) FROM tasks WHERE owner_id = %s", [owner_id]).fetchone()
    assert row
    search = Search(("common",))  # in the title of every task
    of = TaskFilter(search=search)
    statement = task_lists._slice(Shape.of(of, Sort.RELEVANCE, goes_on=True))
    for after_id, is_ranked in ((row[0], True), (MIDST, False)):
        values = arguments(of, TaskPosition(1, TaskId(after_id)))
        values |= search_arguments(search, owner_id) | {"owner_id": owner_id}
        found = plan(world.db, statement, generic=generic, skip=0, limit=LIMIT, **values)
        (older,) = [node for node in found if node.get("Subplan Name") == "CTE older_first"]
        assert older["Actual Loops"] == (0 if is_ranked else 1)


@pytest.mark.parametrize("generic", [False, True])
def test_the_trash_is_read_in_its_order(world: World, *, generic: bool) -> None:
    last = trash._BEYOND_ALL
    position = {"deleted_before": last.deleted_at, "id_before": last.task_id}
    for owner_id in world.owners:
        values: dict[str, Any] = {"owner_id": owner_id, "skip": 0, "limit": LIMIT} | position
        for _, read in scans(plan(world.db, trash._PAGE, generic=generic, **values), "trash"):
            assert read <= LIMIT


@pytest.mark.parametrize("generic", [False, True])
def test_what_is_old_in_the_trash_is_found_by_its_index(world: World, *, generic: bool) -> None:
    begin = {"deleted_after": trash._BEFORE_ALL.deleted_at, "id_after": 0}
    old: dict[str, Any] = {"before": datetime(2026, 1, 2, tzinfo=UTC), "limit": 50} | begin
    old["at"] = datetime(2026, 2, 1, tzinfo=UTC)
    with world.db.transaction(force_rollback=True):
        found = plan(world.db, trash._PURGE_OLD, generic=generic, **old)
    assert "Seq Scan" not in {node["Node Type"] for node, _ in scans(found, "trash")}
    for _, read in scans(found, "trash"):
        assert read <= 70  # those of one moment are sorted by their ids, some dozens at a time
