"""Bulks of operations on tasks: whose they may be, what is recorded, and how they are refused."""

import pytest

from taskcore import (
    SYSTEM,
    AuditEventName,
    Core,
    Create,
    Delete,
    Forbidden,
    Invalid,
    InvalidToken,
    NotFound,
    Operation,
    Restore,
    Role,
    StaleWrite,
    TaskcoreError,
    TaskId,
    Update,
)
from taskcore.domain.bulk import MAX_OPERATIONS
from tests.usecases.people import Person, join

pytestmark = pytest.mark.anyio

MISSING = TaskId(2**62)


async def refusal(core: Core, person: Person, *operations: Operation) -> TaskcoreError:
    with pytest.raises(TaskcoreError) as refused:
        await core.tasks.bulk(person.actor, operations)
    return refused.value


async def test_a_refusal_says_which_operation_it_is_about(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    fine: list[Operation] = [Update(task.id, {"title": "y"}), Create({"title": "z"})]
    refused_ones: list[tuple[Operation, type, str]] = [
        (Update(MISSING, {}), NotFound, "operations/2/id"),
        (Restore(task.id), NotFound, "operations/2/id"),
        (Update(task.id, {"title": "q"}, version=1), StaleWrite, "operations/2/version"),
        (Delete(task.id, version=3), StaleWrite, "operations/2/version"),
    ]
    for operation, kind, field in refused_ones:
        refused = await refusal(core, ada, *fine, operation, Delete(MISSING))
        assert (type(refused), refused.field) == (kind, field)
    invalid: list[tuple[Operation, str]] = [
        (Create({"title": "", "labels": ["a", "A"]}), "operations/2/task/title"),
        (Update(task.id, {"title": ""}, version=2), "operations/2/changes/title"),
        (Update(task.id, {"title": ""}, version=1), "operations/2/changes/title"),  # stale as well
    ]
    for operation, field in invalid:
        refused = await refusal(core, ada, *fine, operation)
        assert isinstance(refused, Invalid)
        assert refused.problems[0].field == field
    assert (await core.tasks.page(ada.actor)).items == [task]


async def test_a_bulk_has_1_to_100_operations(core: Core) -> None:
    ada = await join(core, "ada")
    for count in (0, MAX_OPERATIONS + 1):
        refused = await refusal(core, ada, *[Create({"title": "x"})] * count)
        assert isinstance(refused, Invalid)
        assert [each.field for each in refused.problems] == ["operations"]
    made = await core.tasks.bulk(ada.actor, [Create({"title": "x"})] * MAX_OPERATIONS)
    ids = [task.id for task in made if task]
    assert ids == sorted(set(ids))
    assert (await core.tasks.page(ada.actor)).total == MAX_OPERATIONS == len(ids)


async def test_an_administrator_changes_tasks_of_one_other_account_at_a_time(core: Core) -> None:
    """What an administrator does to another user's tasks is recorded, each by itself."""
    ada, bob = await join(core, "ada"), await join(core, "bob")
    root = await join(core, "root", Role.ADMIN)
    one, two = [await core.tasks.create(ada.actor, title=title) for title in "ab"]
    other = await core.tasks.create(bob.actor, title="x")
    own = await core.tasks.create(root.actor, title="x")
    edit, of_another = Update(one.id, {"title": "y"}), Update(other.id, {"title": "y"})
    new = Create({"title": "x"})
    for pair in ((edit, of_another), (edit, new), (Update(own.id, {}), edit), (new, edit)):
        refused = await refusal(core, root, *pair)
        assert isinstance(refused, Invalid)
        (problem,) = refused.problems
        assert problem.code == "one_account_per_bulk"
        assert problem.field.startswith("operations/1")
    for more in ((edit, of_another), ()):
        refused = await refusal(core, root, Delete(MISSING), *more)
        assert (type(refused), refused.field) == (NotFound, "operations/0/id")
    for person in (root.actor, SYSTEM):
        before = len((await core.audit.page(SYSTEM, user_id=ada.user.id)).items)
        moves: list[Operation] = [
            edit,
            Update(one.id, {"title": "y"}),
            Delete(two.id),
            Restore(two.id),
        ]
        await core.tasks.bulk(person, [*moves, Update(one.id, {"title": "a"})])
        events = (await core.audit.page(SYSTEM, user_id=ada.user.id)).items[:-before]
        assert [(event.event, event.detail) for event in reversed(events)] == [
            (AuditEventName.TASK_CHANGED, {"task_id": one.id}),
            (AuditEventName.TASK_DELETED, {"task_id": two.id}),
            (AuditEventName.TASK_RESTORED, {"task_id": two.id}),
            (AuditEventName.TASK_CHANGED, {"task_id": one.id}),
        ]
        assert {event.actor_id for event in events} == {person.user_id}


async def test_the_operator_creates_nothing(core: Core) -> None:
    with pytest.raises(Forbidden) as refused:
        await core.tasks.bulk(SYSTEM, [Create({"title": "x"})])
    assert refused.value.field == "operations/0"
    with pytest.raises(NotFound):
        await core.tasks.bulk(SYSTEM, [Restore(MISSING), Create({"title": "x"})])


async def test_a_user_whose_account_is_gone_is_told_so(core: Core) -> None:
    ada = await join(core, "ada")
    await core.accounts.delete(SYSTEM, ada.user.id)
    for operation in (Create({"title": "x"}), Delete(MISSING)):
        assert isinstance(await refusal(core, ada, operation), InvalidToken)
