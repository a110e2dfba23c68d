"""Random writes to an account, and a follower whose copy of it is kept by its changes alone."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskcore import (
    SYSTEM,
    Actor,
    Core,
    Create,
    CursorExpired,
    Delete,
    HistoryGone,
    LogPosition,
    NotFound,
    Operation,
    Restore,
    StaleWrite,
    Task,
    TaskcoreError,
    TaskId,
    TaskPosition,
    Update,
)
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.errors import KeyReused
from taskcore.domain.events import CONTENT
from taskcore.domain.idempotency import LIFETIME
from tests.conftest import ManualClock, bound
from tests.factories import PASSWORD
from tests.stateful.conftest import Place
from tests.usecases.people import address

MISSING = TaskId(2**62)
Content = dict[str, Any]
Call = Callable[[Core], Awaitable[object]]

pick = st.integers(0, 9)
keyed = st.sampled_from([True, False])
versions = st.sampled_from([None, None, "current", "older"])
some = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["", "A letter", "\u00e9 \U0001f600"]),
        "status": st.sampled_from(["todo", "done", "cancelled"]),
        "priority": st.sampled_from(["none", "high"]),
        "labels": st.sampled_from([(), ("home",), ("Home", "\u00e9")]),
    },
)
dues = st.sampled_from(
    [
        *({}, {}, {"due_date": date(2030, 5, 6)}, {"due_date": None}),
        *({"due_at": datetime(2030, 5, 6, 7, tzinfo=UTC)}, {"due_at": None}),
    ]
)
titles = st.sampled_from(["Write", "Post", "\u00e9t\u00e9"])
changes = st.builds(
    lambda title, more, due: title | more | due,
    st.fixed_dictionaries({}, optional={"title": titles}),
    some,
    dues,
)
contents = st.builds(lambda title, more, due: {"title": title} | more | due, titles, some, dues)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("create"), contents),
        st.tuples(st.just("update"), pick, changes, versions),
        st.tuples(st.just("delete"), pick, versions),
        st.tuples(st.just("restore"), pick),
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class World:
    """The model. A task that is gone for good is in neither place, and its history goes along."""

    tasks: dict[TaskId, Task]
    trash: dict[TaskId, Task]
    versions: dict[TaskId, dict[int, Content]]
    """What can be reverted to: each version that the log leads back to, and its content."""

    @classmethod
    def empty(cls) -> "World":
        return cls({}, {}, {})

    def copy(self) -> "World":
        versions = {task_id: dict(of) for task_id, of in self.versions.items()}
        return World(dict(self.tasks), dict(self.trash), versions)

    def put(self, task: Task) -> Task:
        """Where the task belongs now."""
        for tasks in (self.tasks, self.trash):
            tasks.pop(task.id, None)
        (self.tasks if task.deleted_at is None else self.trash)[task.id] = task
        self.versions.setdefault(task.id, {})[task.version] = content_of(task)
        return task

    def purge(self, task_id: TaskId) -> None:
        del self.trash[self.found(task_id, in_trash=True).id]

    def found(self, task_id: TaskId, seen: int | None = None, *, in_trash: bool = False) -> Task:
        task = (self.trash if in_trash else self.tasks).get(task_id)
        if task is None:
            raise NotFound
        if seen not in {None, task.version}:
            raise StaleWrite
        return task


def content_of(task: Task) -> Content:
    return {name: getattr(task, name) for name in CONTENT}


def changed(task: Task, changes: Mapping[str, Any], now: datetime) -> Task:
    """As the contract has it; this very task if nothing changes."""
    due: Content = {}
    if changes.get("due_date"):
        due = {"due_at": None, "time_zone": None}
    elif changes.get("due_at"):
        due = {"due_date": None, "time_zone": "UTC"}
    elif "due_at" in changes:
        due = {"time_zone": None}
    new = replace(task, **due | dict(changes))
    if new == task:
        return task
    if new.status != "done":
        new = replace(new, completed_at=None)
    elif task.status != "done":
        new = replace(new, completed_at=now)
    return moved(new, now)


def moved(task: Task, now: datetime, **to: Any) -> Task:
    return replace(task, **to, version=task.version + 1, updated_at=now)


class Account(RuleBasedStateMachine):
    place: Place
    seen: Counter[str]
    turn = 0

    @initialize()
    def one_user_and_one_follower(self) -> None:
        self.clock = ManualClock()
        self.core = bound(self.place.store(), self.clock, ScryptHasher(n=2, r=1, p=1))
        email = address(uuid4().hex)
        user = self.run(self.core.accounts.create(SYSTEM, email=email, password=PASSWORD))
        self.actor = Actor(user.id, user.role)
        self.world = World.empty()
        self.sent: dict[str, tuple[datetime, bytes]] = {}
        self.copy: dict[TaskId, Task] = {}
        self.at = self.present()
        self.begun: LogPosition | None = None

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.place.runner.run(awaited())

    def present(self) -> LogPosition:
        place: LogPosition = self.run(self.core.changes.page(self.actor)).end
        return place

    def task_id(self, number: int) -> TaskId:
        """Of any task that is there, more often than of one that is not."""
        known = [*self.world.tasks, *self.world.trash, MISSING]
        return known[number % len(known)]

    def trashed_id(self, number: int) -> TaskId:
        known = [*self.world.trash, *[*self.world.tasks][:1], MISSING]
        return known[number % len(known)]

    def version(self, task_id: TaskId, seen: str | None) -> int | None:
        task = self.world.tasks.get(task_id)
        current = task.version if task else 1
        return {None: None, "current": current, "older": current - 1}[seen]

    def act(
        self, name: str, call: Call, model: Callable[[World], object], *, has_key: bool
    ) -> object:
        """Do it here and there: both refuse it for the same reason, or return the same."""
        new, result = self.world.copy(), None
        refusal: type[TaskcoreError] | None = None
        try:
            result = model(new)
        except TaskcoreError as error:
            refusal = type(error)
        self.seen[f"{name} {refusal.__name__ if refusal else 'done'}"] += 1
        work = self.once(call) if has_key else call(self.core)
        if refusal:
            with pytest.raises(refusal) as raised:
                self.run(work)
            assert raised.type is refusal
            return None
        answer: object = self.run(work)
        self.world = new
        if callable(result):  # what only the store decides, such as ids
            result(answer)
        return answer

    async def once(self, call: Call) -> object:
        key, answers = uuid4().hex, []

        async def work(core: Core) -> bytes:
            answers.append(await call(core))
            return repr(answers).encode()

        answer = await self.core.once(self.actor, key, key.encode(), work)
        assert not answer.is_replay
        self.sent[key] = self.clock.now(), answer.content
        return answers[0]

    @rule(content=contents, has_key=keyed)
    def create(self, content: Content, *, has_key: bool) -> None:
        made = self.act(
            "create",
            lambda core: core.tasks.create(self.actor, **content),
            lambda _: None,
            has_key=has_key,
        )
        assert isinstance(made, Task)
        self.added(self.world, made, content)

    def added(self, world: World, made: object, content: Content) -> None:
        assert isinstance(made, Task)
        assert made.id not in world.versions
        assert (made.version, made.created_at, made.deleted_at) == (1, self.clock.now(), None)
        assert {name: getattr(made, name) for name in content} == content
        world.put(made)

    @rule(which=pick, changes=changes, seen=versions, has_key=keyed)
    def edit(self, which: int, changes: Content, seen: str | None, *, has_key: bool) -> None:
        task_id = self.task_id(which)
        version = self.version(task_id, seen)
        now = self.clock.now()
        edited = self.act(
            "edit",
            lambda core: core.tasks.edit(self.actor, task_id, expected_version=version, **changes),
            lambda world: world.put(changed(world.found(task_id, version), changes, now)),
            has_key=has_key,
        )
        assert edited is None or edited == self.world.tasks[task_id]

    @rule(which=pick, version=st.integers(1, 6), has_key=keyed)
    def revert(self, which: int, version: int, *, has_key: bool) -> None:
        task_id, now = self.task_id(which), self.clock.now()

        def model(world: World) -> None:
            task = world.found(task_id)
            if version not in world.versions[task_id]:
                raise HistoryGone
            content = world.versions[task_id][version]
            new = changed(task, {}, now)
            if content_of(task) != content:
                done = content["status"] == "done"
                at = task.completed_at if done and task.status == "done" else now if done else None
                new = moved(task, now, **content, completed_at=at)
            world.put(new)

        reverted = self.act(
            "revert",
            lambda core: core.tasks.revert(self.actor, task_id, version),
            model,
            has_key=has_key,
        )
        assert reverted is None or reverted == self.world.tasks[task_id]

    @rule(which=pick, seen=versions, has_key=keyed)
    def delete(self, which: int, seen: str | None, *, has_key: bool) -> None:
        task_id, now = self.task_id(which), self.clock.now()
        version = self.version(task_id, seen)
        self.act(
            "delete",
            lambda core: core.tasks.delete(self.actor, task_id, expected_version=version),
            lambda world: world.put(moved(world.found(task_id, version), now, deleted_at=now)),
            has_key=has_key,
        )

    @rule(which=pick, has_key=keyed)
    def restore(self, which: int, *, has_key: bool) -> None:
        task_id, now = self.trashed_id(which), self.clock.now()
        self.act(
            "restore",
            lambda core: core.tasks.restore(self.actor, task_id),
            lambda world: world.put(
                moved(world.found(task_id, in_trash=True), now, deleted_at=None)
            ),
            has_key=has_key,
        )

    @rule(which=pick, has_key=keyed)
    def purge(self, which: int, *, has_key: bool) -> None:
        task_id = self.trashed_id(which)
        self.act(
            "purge",
            lambda core: core.tasks.purge(self.actor, task_id),
            lambda world: world.purge(task_id),
            has_key=has_key,
        )

    @rule(chosen=operations, has_key=keyed)
    def bulk(self, chosen: list[tuple[Any, ...]], *, has_key: bool) -> None:
        asked: list[Operation] = []
        for kind, *rest in chosen:
            if kind == "create":
                asked.append(Create(rest[0]))
                continue
            task_id = (self.trashed_id if kind == "restore" else self.task_id)(rest[0])
            if kind == "update":
                asked.append(Update(task_id, rest[1], self.version(task_id, rest[2])))
            elif kind == "delete":
                asked.append(Delete(task_id, self.version(task_id, rest[1])))
            else:
                asked.append(Restore(task_id))
        now = self.clock.now()

        def model(world: World) -> Callable[[object], None]:
            expected = [applied(world, each, now) for each in asked]

            def check(answer: object) -> None:
                assert isinstance(answer, list)
                for operation, left, made in zip(asked, expected, answer, strict=True):
                    if isinstance(operation, Create):
                        self.added(world, made, dict(operation.content))
                    else:
                        assert made == left

            return check

        self.act("bulk", lambda core: core.tasks.bulk(self.actor, asked), model, has_key=has_key)

    @precondition(lambda self: self.sent)
    @rule(number=pick)
    def the_answer_was_lost_and_the_client_asks_again(self, number: int) -> None:
        keys = list(self.sent)
        key = keys[number % len(keys)]

        async def never(core: Core) -> bytes:
            await core.tasks.create(self.actor, title="a second time")
            raise AssertionError("done a second time")

        answer = self.run(self.core.once(self.actor, key, key.encode(), never))
        assert (answer.content, answer.is_replay) == (self.sent[key][1], True)
        with pytest.raises(KeyReused):
            self.run(self.core.once(self.actor, key, b"another request", never))

    @rule(hours=st.sampled_from([0.01, 1, 25]))
    def time_passes(self, hours: float) -> None:
        self.clock.advance(hours=hours)
        now = self.clock.now()
        self.sent = {key: sent for key, sent in self.sent.items() if sent[0] + LIFETIME > now}

    @precondition(lambda self: len(self.world.versions) > 3)
    @rule(sure=st.sampled_from([True, False, False, False]))
    def a_year_passes_and_housekeeping_removes_what_is_old(self, *, sure: bool) -> None:
        if not sure:
            return
        self.time_passes(24 * 400)
        end = self.present()
        self.run(self.swept())
        self.world.trash.clear()
        for task_id, task in self.world.tasks.items():
            self.world.versions[task_id] = {task.version: content_of(task)}
        if self.begun and self.begun.position < end.position:
            self.begun = None
        try:
            self.follow(500)
        except CursorExpired:
            self.seen["the follower's place has expired"] += 1
            assert self.at.position < end.position
            self.begin_to_copy()
            self.copy_the_lists()

    async def swept(self) -> None:
        async for step in self.core.housekeeping.sweep("trash", "events", "keys"):
            assert step.error is None

    @invariant()
    def the_follower_reads_on(self) -> None:
        """Not after each step, and not always all of it."""
        self.turn += 1
        if self.turn % 3:
            self.follow((1, 3, 500, 500)[self.turn % 4])

    def follow(self, limit: int) -> None:
        page = self.run(self.core.changes.page(self.actor, after=self.at, limit=limit))
        told = [item.task_id for item in page.items]
        assert len(told) == len(set(told)) <= limit
        for item in page.items:
            assert item.place.position > self.at.position
            self.at = item.place
            if item.task is None:
                self.copy.pop(item.task_id, None)
            else:
                self.copy[item.task_id] = item.task
        self.at = page.end
        if not page.has_more:
            self.seen["the follower has it all"] += 1
            assert self.copy == self.world.tasks

    @rule()
    def begin_to_copy(self) -> None:
        """Note the place. The lists are read later, whatever is written meanwhile."""
        self.begun = self.present()

    @precondition(lambda self: self.begun)
    @rule()
    def copy_the_lists(self) -> None:
        assert self.begun
        self.at, self.begun = self.begun, None
        self.copy, after = {}, None
        while True:
            page = self.run(self.core.tasks.page(self.actor, limit=4, after=after))
            self.copy |= {task.id: task for task in page.items}
            if not page.has_more:
                return
            after = TaskPosition(page.items[-1].id, page.items[-1].id)

    @rule(which=pick)
    def look_at_a_history(self, which: int) -> None:
        """It has an event for each version that can be reverted to, but for the oldest one."""
        task_id = self.task_id(which)
        if task_id not in self.world.tasks:
            return
        history = self.run(self.core.tasks.history(self.actor, task_id))
        known = sorted(self.world.versions[task_id], reverse=True)
        assert [event.version for event in history.items] in (known, known[:-1])

    def teardown(self) -> None:
        if hasattr(self, "at"):
            self.follow(500)
            assert self.copy == self.world.tasks


def applied(world: World, operation: Operation, now: datetime) -> Task | None:
    """The task that it leaves; None for one that it creates or deletes."""
    match operation:
        case Update(task_id, changes, version):
            return world.put(changed(world.found(task_id, version), changes, now))
        case Delete(task_id, version):
            world.put(moved(world.found(task_id, version), now, deleted_at=now))
        case Restore(task_id):
            task = world.found(task_id, in_trash=True)
            return world.put(moved(task, now, deleted_at=None))
    return None


WALKS = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# A run in which nothing is done, or nothing refused, would agree with any model.
SEEN = {
    "create done",
    *(f"edit {each}" for each in ("done", "NotFound", "StaleWrite")),
    *(f"revert {each}" for each in ("done", "NotFound", "HistoryGone")),
    *(f"delete {each}" for each in ("done", "NotFound", "StaleWrite")),
    *(f"{kind} {each}" for kind in ("restore", "purge") for each in ("done", "NotFound")),
    *(f"bulk {each}" for each in ("done", "NotFound", "StaleWrite")),
    "the follower's place has expired",
    "the follower has it all",
}


@pytest.mark.parametrize(
    ("place", "rounds"),
    [("memory", 1), pytest.param("postgres", 8, marks=pytest.mark.long)],
    indirect=["place"],
)
def test_a_copy_that_is_kept_by_changes_alone_is_the_account(place: Place, rounds: int) -> None:
    """Rounds with one seed each, and more until every outcome has been seen."""
    seen = Counter[str]()
    for number in range(rounds + 9):
        machine = seed(number)(type("Machine", (Account,), {"place": place, "seen": seen}))
        run_state_machine_as_test(machine, settings=WALKS)
        if number + 1 >= rounds and seen.keys() >= SEEN:
            break
    assert seen.keys() >= SEEN
