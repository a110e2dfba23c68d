"""A bulk: operations on the tasks of an account, applied one after the other, all or none."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from taskcore.domain.errors import Invalid, NotFound, Problem, StaleWrite, TaskcoreError
from taskcore.domain.events import Changes, TaskEventType, changes_of, content_of
from taskcore.domain.policies import Actor, Permission, authorize, own_id
from taskcore.domain.tasks import (
    DESCRIPTION,
    NewTask,
    NewTaskFields,
    Task,
    TaskChanges,
    TaskId,
    check_changes,
    limit_reached,
)
from taskcore.domain.users import UserId

MAX_OPERATIONS = 100
FIELD = "operations"
_LONG = 500  # characters


@dataclass(frozen=True, slots=True)
class Create:
    """Of a bulk: a new task."""

    content: NewTaskFields


@dataclass(frozen=True, slots=True)
class Update:
    """Of a bulk: an edit of the fields that `changes` names."""

    task_id: TaskId
    changes: TaskChanges
    version: int | None = None
    """The one that the task must have; None for any."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Moves the task to the trash."""

    task_id: TaskId
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Of a bulk: a task comes back from the trash."""

    task_id: TaskId


Operation = Create | Update | Delete | Restore


@dataclass(frozen=True, slots=True)
class Held:
    """The tasks that operations name, of an account that no other can write to meanwhile."""

    tasks: Mapping[TaskId, Task]
    """Those in the trash, which have `deleted_at`, and those outside of it."""
    number: int
    """How many tasks the account has in all, those in its trash included."""


NOTHING = Held({}, 0)


@dataclass(frozen=True, slots=True)
class Step:
    """What an operation has done: an event of the account's log."""

    type: TaskEventType
    task: Task | NewTask
    """As it is since then."""
    changes: Changes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be written, so that the operations are done."""

    owner_id: UserId
    at: datetime
    steps: Sequence[Step]
    changed: Sequence[tuple[Task, Task]]
    """Each stored task that changes: as it is stored, and as it is in the end."""
    words: Mapping[str, str] = field(default_factory=dict)
    """`blank_separated` of texts for which that was found before the work began."""

    @property
    def added(self) -> list[NewTask]:
        return [step.task for step in self.steps if isinstance(step.task, NewTask)]


def check_operations(operations: Sequence[object]) -> None:
    """Raises Invalid unless there are 1 to MAX_OPERATIONS."""
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        detail = f"takes 1 to {MAX_OPERATIONS} operations"
        raise Invalid(Problem(FIELD, detail, "out_of_range"))


def named(operations: Sequence[Operation]) -> list[TaskId]:
    return sorted({each.task_id for each in operations if not isinstance(each, Create)})


def long_texts(operations: Sequence[Operation]) -> Iterator[str]:
    """The texts that operations store whose words take time to find: up to a millisecond each."""
    contents = [
        each.content if isinstance(each, Create) else each.changes
        for each in operations
        if isinstance(each, Create | Update)
    ]
    for content in contents:
        text = content.get("description")
        if isinstance(text, str) and _LONG <= len(text) <= DESCRIPTION.max:
            yield text


def account_of(
    actor: Actor, operations: Sequence[Operation], owners: Mapping[TaskId, UserId]
) -> UserId | None:
    """Return the account of the first operation that has one; None if all will be refused."""
    accounts = (
        actor.user_id if isinstance(each, Create) else owners.get(each.task_id)
        for each in operations
    )
    return next((account for account in accounts if account is not None), None)


@dataclass(slots=True)
class Bulk:
    """Applies each operation as a single request would, to the result of those before it."""

    actor: Actor
    owner_id: UserId | None
    """The account that all operations must be about."""
    owners: Mapping[TaskId, UserId]
    """The account of each task that an operation names, for an actor who may reach others."""
    now: datetime
    at_most: int
    """How many tasks an account may hold."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Those of long texts, for the work."""
    results: list[Task | NewTask | None] = field(default_factory=list)
    """The task that each operation has left."""
    _tasks: dict[TaskId, Task] = field(default_factory=dict)
    _steps: list[Step] = field(default_factory=list)
    _number: int = 0

    def apply(self, operations: Sequence[Operation], held: Held = NOTHING) -> Work:
        """Raises the error of the first operation that is refused, as a single request would.

        The refusal says where: in `field`, or in the fields of its problems.
        """
        self._tasks = dict(held.tasks)
        self._number = held.number
        for place, operation in enumerate(operations):
            with _at(f"{FIELD}/{place}"):
                self.results.append(self._result(operation))
        if self.owner_id is None:  # the operator, who has no tasks: each operation is refused
            raise NotFound
        pairs = ((task, self._tasks[task_id]) for task_id, task in held.tasks.items())
        changed = [(was, now) for was, now in pairs if now is not was]
        return Work(self.owner_id, self.now, self._steps, changed, self.words)

    def _result(self, operation: Operation) -> Task | NewTask | None:
        match operation:
            case Create(content):
                return self._create(content)
            case Update(task_id, changes, version):
                return self._update(task_id, changes, version)
            case Delete(task_id, version):
                task = self._found(task_id, Permission.DELETE, version)
                self._done(TaskEventType.TRASHED, task.trashed(self.now))
                return None
            case Restore(task_id):
                task = self._found(task_id, Permission.RESTORE)
                return self._done(TaskEventType.RESTORED, task.restored(self.now))

    def _create(self, content: NewTaskFields) -> NewTask:
        self._require_account(own_id(self.actor), "")
        with _at("task"):
            new = Task.new(own_id(self.actor), self.now, self.actor.time_zone, **content)
        if self._number >= self.at_most:
            raise limit_reached(self.at_most)
        self._number += 1
        self._steps.append(Step(TaskEventType.CREATED, new, content_of(new)))
        return new

    def _update(self, task_id: TaskId, changes: TaskChanges, version: int | None) -> Task:
        try:
            task = self._found(task_id, Permission.EDIT, version)
        except StaleWrite:  # Invalid comes first, as in an edit
            with _at("changes"):
                check_changes(changes)
            raise
        with _at("changes"):
            edited = task.edited(self.now, self.actor.time_zone, **changes)
        if edited is task:
            return task
        return self._done(TaskEventType.UPDATED, edited, changes_of(edited, task))

    def _found(self, task_id: TaskId, permission: Permission, version: int | None = None) -> Task:
        self._require_account(self.owners.get(task_id, self.owner_id), "id")
        task = self._tasks.get(task_id)
        in_trash = permission is Permission.RESTORE
        if task is None or (task.deleted_at is not None) is not in_trash:
            raise NotFound(field="id")
        authorize(self.actor, permission, task)
        if version not in {None, task.version}:
            raise StaleWrite.now_at(task.version, field="version")
        return task

    def _require_account(self, owner_id: UserId | None, place: str) -> None:
        if owner_id != self.owner_id:
            detail = "is about another account than the operations before it"
            raise Invalid(Problem(place, detail, "one_account_per_bulk"))

    def _done(self, kind: TaskEventType, task: Task, *changes: Changes) -> Task:
        self._tasks[task.id] = task
        self._steps.append(Step(kind, task, *changes))
        return task


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Tell of a refusal in which part of the input it is."""
    try:
        yield
    except Invalid as refusal:
        raise Invalid(
            *(replace(each, field=_joined(place, each.field)) for each in refusal.problems)
        ) from None
    except TaskcoreError as refusal:
        refusal.field = _joined(place, refusal.field)
        raise


def _joined(place: str, field: str) -> str:
    return f"{place}/{field}" if field else place
