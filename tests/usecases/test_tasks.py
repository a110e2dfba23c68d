"""The use cases of tasks, on both stores."""

import asyncio
from typing import Any

import pytest

from taskcore import (
    SYSTEM,
    Actor,
    AuditEventName,
    Core,
    Forbidden,
    Invalid,
    InvalidToken,
    NotFound,
    Role,
    StaleWrite,
    TaskId,
    UserId,
)
from taskcore.domain.ids import MAX_ID
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.usecases.people import join
from tests.usecases.spies import InterruptedStore, nothing

pytestmark = pytest.mark.anyio


async def test_a_task_is_made_read_edited_and_deleted_by_its_owner(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="Write", description="the letter")
    assert (made.title, made.description) == ("Write", "the letter")
    assert (made.owner_id, made.version) == (ada.user.id, 1)
    assert made.created_at == made.updated_at == clock.now()
    assert await core.tasks.get(ada.actor, made.id) == made
    clock.advance(hours=1)
    edited = await core.tasks.edit(ada.actor, made.id, title="Rewrite")
    assert (edited.title, edited.description) == ("Rewrite", "the letter")
    assert (edited.version, edited.created_at) == (2, made.created_at)
    assert edited.updated_at == clock.now()
    assert await core.tasks.get(ada.actor, made.id) == edited
    await core.tasks.delete(ada.actor, made.id)
    for missing in (
        core.tasks.get(ada.actor, made.id),
        core.tasks.edit(ada.actor, made.id, title="x"),
        core.tasks.delete(ada.actor, made.id),
    ):
        with pytest.raises(NotFound):
            await missing


async def test_a_description_may_be_left_out(core: Core) -> None:
    ada = await join(core, "ada")
    assert (await core.tasks.create(ada.actor, title="x")).description == ""


async def test_an_edit_that_changes_nothing_leaves_no_trace(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="x", description="y")
    clock.advance(hours=1)
    assert await core.tasks.edit(ada.actor, made.id) == made
    assert await core.tasks.edit(ada.actor, made.id, title="x", description="y") == made
    assert await core.tasks.get(ada.actor, made.id) == made


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({"title": ""}, {"title": "too_short"}),
        ({"title": "x" * 256}, {"title": "too_long"}),
        ({"title": "\x00"}, {"title": "control_character"}),
        ({"title": "\ud800"}, {"title": "not_unicode"}),
        ({"description": "x" * 5001}, {"description": "too_long"}),
        (
            {"title": "", "description": "\x1b[31m"},
            {"title": "too_short", "description": "control_character"},
        ),
    ],
)
async def test_what_breaks_a_rule_is_not_stored(
    core: Core, given: dict[str, Any], codes: dict[str, str]
) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    for refused in (
        core.tasks.create(ada.actor, **({"title": "x"} | given)),
        core.tasks.edit(ada.actor, task.id, **given),
    ):
        with pytest.raises(Invalid) as refusal:
            await refused
        assert {problem.field: problem.code for problem in refusal.value.problems} == codes
    page = await core.tasks.page(ada.actor)
    assert (list(page.items), page.total) == ([task], 1)


async def test_a_task_of_an_account_that_has_gone_is_refused_as_its_token_is(core: Core) -> None:
    ada = await join(core, "ada")
    await core.accounts.delete(SYSTEM, ada.user.id)
    with pytest.raises(InvalidToken):
        await core.tasks.create(ada.actor, title="x")


async def test_a_list_shows_what_may_be_seen_newest_first(core: Core) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    root = await join(core, "root", Role.ADMIN)
    of = {
        person.user.id: [await core.tasks.create(person.actor, title=str(n)) for n in range(3)]
        for person in (ada, bob)
    }
    of_ada, of_bob = of[ada.user.id][::-1], of[bob.user.id][::-1]

    async def listed(actor: Actor, owner_id: UserId | None = None) -> list[Any]:
        page = await core.tasks.page(actor, owner_id=owner_id)
        assert page.total == len(page.items)
        return list(page.items)

    assert await listed(ada.actor) == await listed(ada.actor, ada.user.id) == of_ada
    assert await listed(bob.actor) == of_bob
    for owner_id in (bob.user.id, root.user.id, UserId(10**6)):
        with pytest.raises(Forbidden):
            await listed(ada.actor, owner_id)
    for actor in (root.actor, SYSTEM):
        assert await listed(actor) == of_bob + of_ada
        assert await listed(actor, ada.user.id) == of_ada
        assert await listed(actor, root.user.id) == []
        assert await listed(actor, UserId(MAX_ID + 1)) == []


async def test_a_list_is_cut_into_pages(core: Core) -> None:
    ada = await join(core, "ada")
    tasks = [await core.tasks.create(ada.actor, title=str(n)) for n in range(5)][::-1]
    for skip, limit in [(0, 2), (2, 2), (4, 2), (5, 2), (10_000, 100), (0, 100)]:
        page = await core.tasks.page(ada.actor, skip=skip, limit=limit)
        assert (list(page.items), page.total) == (tasks[skip : skip + limit], 5)
    for skip, limit in [(-1, 1), (10_001, 1), (2**63, 1), (0, 0), (0, 101), (0, -1)]:
        with pytest.raises(Invalid):
            await core.tasks.page(ada.actor, skip=skip, limit=limit)


async def test_a_page_that_cannot_be_asked_for_says_all_that_is_wrong(core: Core) -> None:
    with pytest.raises(Invalid) as refusal:
        await core.tasks.page(SYSTEM, skip=-1, limit=0)
    assert [problem.field for problem in refusal.value.problems] == ["skip", "limit"]


# Two at once


async def test_a_version_that_was_expected_must_be_the_one_that_is_there(core: Core) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="x")
    edited = await core.tasks.edit(ada.actor, made.id, expected_version=1, title="y")
    for version in (0, 1, 3, -1, MAX_ID + 1):
        for stale in (
            core.tasks.edit(ada.actor, made.id, expected_version=version, title="z"),
            core.tasks.edit(ada.actor, made.id, expected_version=version),
            core.tasks.delete(ada.actor, made.id, expected_version=version),
        ):
            with pytest.raises(StaleWrite):
                await stale
    assert await core.tasks.get(ada.actor, made.id) == edited
    await core.tasks.delete(ada.actor, made.id, expected_version=2)


class Rival:
    """Edits the task just before another client writes it, `times` times."""

    def __init__(self, core: Core, actor: Actor, times: int) -> None:
        self._core, self._actor, self._times = core, actor, times
        self.task_id: TaskId | None = None

    async def __call__(self) -> None:
        if self.task_id is not None and self._times:
            self._times -= 1
            text = f"{self._times} to go"
            await self._core.tasks.edit(self._actor, self.task_id, description=text)


def contested(core: Core, rival: Rival, clock: ManualClock) -> Core:
    return bound(InterruptedStore(core.store, rival), clock, cheap_argon2())


async def test_an_edit_that_names_no_version_is_repeated_on_what_came_between(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    rival = Rival(core, ada.actor, times=3)
    ours = contested(core, rival, clock)
    made = await ours.tasks.create(ada.actor, title="x")
    rival.task_id = made.id
    edited = await ours.tasks.edit(ada.actor, made.id, title="y")
    assert (edited.title, edited.description) == ("y", "0 to go")
    assert edited.version == 5
    assert await core.tasks.get(ada.actor, made.id) == edited


async def test_a_delete_that_names_no_version_is_repeated_too(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    rival = Rival(core, ada.actor, times=2)
    ours = contested(core, rival, clock)
    rival.task_id = (await ours.tasks.create(ada.actor, title="x")).id
    await ours.tasks.delete(ada.actor, rival.task_id)
    assert (await core.tasks.page(ada.actor)).total == 0


async def test_a_change_that_names_a_version_is_stale_when_another_came_between(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    rival = Rival(core, ada.actor, times=2)
    ours = contested(core, rival, clock)
    rival.task_id = (await ours.tasks.create(ada.actor, title="x")).id
    with pytest.raises(StaleWrite):
        await ours.tasks.edit(ada.actor, rival.task_id, expected_version=1, title="y")
    with pytest.raises(StaleWrite):
        await ours.tasks.delete(ada.actor, rival.task_id, expected_version=2)
    left = await core.tasks.get(ada.actor, rival.task_id)
    assert (left.title, left.version) == ("x", 3)


async def test_a_task_that_is_fought_over_is_waited_for_in_the_end(
    core: Core, clock: ManualClock
) -> None:
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)
    for actor in (ada.actor, root.actor):
        rival = Rival(core, ada.actor, times=100)
        ours = contested(core, rival, clock)
        rival.task_id = (await ours.tasks.create(ada.actor, title="x")).id
        edited = await ours.tasks.edit(actor, rival.task_id, title="y")
        assert edited.title == "y"
        assert await core.tasks.get(ada.actor, rival.task_id) == edited
        await ours.tasks.delete(actor, rival.task_id)
        with pytest.raises(NotFound):
            await core.tasks.get(ada.actor, rival.task_id)
    # What was done to another's, under the lock too, is on record; and what she did is not.
    page = await core.audit.page(SYSTEM)
    assert [event.event for event in page.items if event.detail.get("task_id")] == [
        AuditEventName.TASK_DELETED,
        AuditEventName.TASK_CHANGED,
    ]


async def test_a_task_deleted_between_read_and_write_is_not_there(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")

    async def delete() -> None:
        if (await core.tasks.page(ada.actor)).total:
            await core.tasks.delete(ada.actor, task.id)

    ours = bound(InterruptedStore(core.store, delete), clock, cheap_argon2())
    with pytest.raises(NotFound):
        await ours.tasks.edit(ada.actor, task.id, title="y")


async def test_edits_of_different_fields_at_once_both_count(core: Core) -> None:
    ada = await join(core, "ada")
    for _ in range(10):
        task = await core.tasks.create(ada.actor, title="x", description="x")
        await asyncio.gather(
            core.tasks.edit(ada.actor, task.id, title="y"),
            core.tasks.edit(ada.actor, task.id, description="z"),
        )
        both = await core.tasks.get(ada.actor, task.id)
        assert (both.title, both.description, both.version) == ("y", "z", 3)


async def test_of_many_who_edit_at_once_and_name_no_version_all_succeed(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    edits = (core.tasks.edit(ada.actor, task.id, title=str(number)) for number in range(40))
    versions = [edited.version for edited in await asyncio.gather(*edits)]
    assert sorted(versions) == [*range(2, 42)]


async def test_edits_of_one_task_at_once_need_no_transaction(
    core: Core, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would wait with a connection in hand, until none is left for others."""
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    ours = bound(InterruptedStore(core.store, nothing), clock, cheap_argon2())
    monkeypatch.setattr(InterruptedStore, "transaction", None)
    edits = (ours.tasks.edit(ada.actor, task.id, title=str(number)) for number in range(40))
    assert len(await asyncio.gather(*edits)) == 40


async def test_of_many_who_expect_one_version_at_once_one_writes(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    results = await asyncio.gather(
        *(
            core.tasks.edit(ada.actor, task.id, expected_version=1, title=str(number))
            for number in range(8)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, StaleWrite) for result in results) == 7
    assert (await core.tasks.get(ada.actor, task.id)).version == 2
