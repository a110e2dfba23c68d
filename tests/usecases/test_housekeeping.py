"""What housekeeping removes, and deleting accounts of many tasks, on every store."""

from collections import Counter
from dataclasses import replace

import pytest

from taskcore import SYSTEM, Core, InvalidToken, NotFound, Role
from taskcore.adapters.memory.rate_limits import MemoryLimiter
from taskcore.core import Terms
from taskcore.domain.rate_limits import REGISTER
from taskcore.ports import Claim, Removal, Store
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.factories import PASSWORD
from tests.usecases.people import Person, address, join

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


async def swept(core: Core) -> Counter[str]:
    """How much of each kind housekeeping has removed."""
    removed: Counter[str] = Counter()
    async for step in core.housekeeping.sweep():
        assert step.error is None
        assert all(count <= 2 for count in step.removed.values())
        removed.update(step.removed)
    return removed


NOTHING = {
    "accounts": 0,
    "tasks": 0,
    "trash": 0,
    "events": 0,
    "sessions": 0,
    "keys": 0,
    "limits": 0,
    "index_bytes": 0,
}


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
    assert await swept(core) == NOTHING
    for person in (ada, bob):
        await core.accounts.delete(SYSTEM, person.user.id)
    await swept(core)
    assert await swept(core) == NOTHING
    assert (await core.tasks.page(SYSTEM)).total == 5
    assert (await core.accounts.find(SYSTEM, address("cid"))) == kept.user


async def test_expired_sessions_are_removed_with_their_tokens_for_everybody(
    core: Core, clock: ManualClock
) -> None:
    """RT-15: a replay of one of their tokens is then a plain 401."""
    ada, bob = await join(core, "ada"), await join(core, "bob")
    await core.sessions.refresh(refresh_token=ada.grant.refresh_token)
    clock.advance(days=6)
    cid = await join(core, "cid")
    clock.advance(days=1)
    assert await swept(core) == NOTHING | {"sessions": 2}
    await core.sessions.refresh(refresh_token=cid.grant.refresh_token)
    for gone in (ada, bob):
        with pytest.raises(InvalidToken):
            await core.sessions.refresh(refresh_token=gone.grant.refresh_token)
    events = (await core.audit.page(SYSTEM, user_id=ada.user.id)).items
    assert "refresh.reuse_detected" not in {event.event for event in events}
    assert await swept(core) == NOTHING


async def test_limits_whose_period_is_over_are_removed(core: Core, clock: ManualClock) -> None:
    limiter = MemoryLimiter(clock)
    core = replace(core, housekeeping=replace(core.housekeeping, limiter=limiter))
    for subject in "abc":
        await limiter.acquire(Claim(REGISTER, subject))
    assert await swept(core) == NOTHING
    clock.advance(minutes=1)
    await limiter.acquire(Claim(REGISTER, "d"))
    assert await swept(core) == NOTHING | {"limits": 3}


class Broken(MemoryLimiter):
    async def forget(self, limit: int) -> Removal:
        raise RuntimeError(f"a bug in the removal of {limit}")


async def test_a_kind_that_fails_does_not_stop_the_others(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    clock.advance(days=7)
    keeping = replace(core.housekeeping, limiter=Broken(clock))
    kinds = dict(keeping._kinds())
    first_fails = {"limits": kinds.pop("limits"), **kinds}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(keeping), "_kinds", lambda _: first_fails)
        steps = [step async for step in keeping.sweep()]
    assert [(step.kind, str(step.error)) for step in steps if step.error] == [
        ("limits", "a bug in the removal of 2")
    ]
    assert sum(step.removed.get("sessions", 0) for step in steps) == 1
    assert (await core.sessions.page(SYSTEM, user_id=ada.user.id)).items == []


async def test_a_sweep_may_be_of_one_kind_alone(core: Core, clock: ManualClock) -> None:
    await join(core, "ada")
    clock.advance(days=7)
    steps = [step async for step in core.housekeeping.sweep("accounts")]
    assert {step.kind for step in steps} == {"accounts"}
    assert (await swept(core))["sessions"] == 1
