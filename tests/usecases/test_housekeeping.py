"""Deleting accounts of many tasks, and what housekeeping then does, on every store."""

import pytest

from taskcore import SYSTEM, Core, InvalidToken, NotFound, Role
from taskcore.core import Terms
from taskcore.ports import Store
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.usecases.people import PASSWORD, Person, address, join

pytestmark = pytest.mark.anyio


@pytest.fixture
def core(store: Store, clock: ManualClock) -> Core:
    """A batch of it has two tasks."""
    return bound(store, clock, cheap_argon2(), terms=Terms(batch=2, at_once=2))


async def with_tasks(core: Core, name: str, count: int) -> Person:
    person = await join(core, name)
    for number in range(count):
        await core.tasks.create(person.actor, title=str(number))
    return person


async def swept(core: Core) -> tuple[int, int]:
    """How many accounts and tasks housekeeping has removed."""
    steps = [progress async for progress in core.housekeeping.sweep()]
    assert all(step.removed.tasks <= 2 for step in steps)
    return sum(s.removed.accounts for s in steps), sum(s.removed.tasks for s in steps)


@pytest.mark.parametrize("by", ["themselves", "an administrator"])
async def test_a_deleted_account_is_gone_at_once_however_many_tasks_it_has(
    core: Core, by: str
) -> None:
    """AZ-14: account, tasks, sessions and total; the address is free, the audit stays."""
    ada, root = await with_tasks(core, "ada", 7), await join(core, "root", Role.ADMIN)
    (task, *_) = (await core.tasks.page(ada.actor)).items
    if by == "themselves":
        await core.accounts.delete_own(ada.actor, password=PASSWORD)
    else:
        await core.accounts.delete(root.actor, ada.user.id)
    for gone in (
        core.accounts.get(root.actor, ada.user.id),
        core.accounts.change(root.actor, ada.user.id, is_active=True),
        core.accounts.delete(root.actor, ada.user.id),
        core.sessions.end_all_of(root.actor, ada.user.id),
        core.sessions.unlock(root.actor, ada.user.id),
        core.tasks.get(root.actor, task.id),
        core.tasks.edit(root.actor, task.id, title="x"),
        core.tasks.delete(root.actor, task.id),
        core.tasks.edit(SYSTEM, task.id, title="x", expected_version=1),
    ):
        with pytest.raises(NotFound):
            await gone
    assert (await core.tasks.page(root.actor)).total == 0
    assert (await core.tasks.page(root.actor, owner_id=ada.user.id)).items == []
    assert [user.id for user in (await core.accounts.page(root.actor)).items] == [root.user.id]
    with pytest.raises(InvalidToken):
        await core.sessions.authenticate(ada.grant.access_token)
    with pytest.raises(InvalidToken):
        await core.sessions.refresh(refresh_token=ada.grant.refresh_token)
    again = await join(core, "ada")
    assert (await core.tasks.page(again.actor)).total == 0
    events = (await core.audit.page(SYSTEM, user_id=ada.user.id)).items
    assert events[0].event == "user.deleted"


async def test_housekeeping_removes_in_batches_and_then_has_nothing_to_do(core: Core) -> None:
    ada, bob = await with_tasks(core, "ada", 5), await with_tasks(core, "bob", 1)
    kept = await with_tasks(core, "cid", 5)
    assert await swept(core) == (0, 0)
    for person in (ada, bob):
        await core.accounts.delete(SYSTEM, person.user.id)
    await swept(core)
    assert await swept(core) == (0, 0)
    assert (await core.tasks.page(SYSTEM)).total == 5
    assert (await core.accounts.find(SYSTEM, address("cid"))) == kept.user
