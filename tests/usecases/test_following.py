"""Following what changes in an account, on both stores."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import pytest

from taskcore import (
    SYSTEM,
    Actor,
    ChangedTask,
    Core,
    CursorExpired,
    Forbidden,
    LogPosition,
    Overloaded,
    Role,
    SessionId,
    TooMany,
    User,
    UserId,
)
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.memory.events import MemoryEvents
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.ports import ChangesPage, Store
from taskcore.testing import CheapHasher
from taskcore.usecases import change_followers
from taskcore.usecases.change_followers import PER_USER
from tests.conftest import ManualClock, bound, until
from tests.factories import PASSWORD
from tests.usecases.people import join, log_in

pytestmark = pytest.mark.anyio

WITHIN = 5  # seconds; what is waited for happens within a moment, or not at all
Feed = AsyncGenerator[ChangedTask, None]


@asynccontextmanager
async def following(core: Core, actor: Actor) -> AsyncIterator[Feed]:
    """From the present end on."""
    end = (await core.changes.page(actor)).end
    async with aclosing(core.changes.follow(actor, after=end)) as feed:
        yield feed


async def following_one(feed: Feed) -> ChangedTask:
    async with asyncio.timeout(WITHIN):
        return await anext(feed)


async def has_ended(feed: Feed) -> bool:
    async with asyncio.timeout(WITHIN):
        return [item async for item in feed] == []


async def test_a_follower_is_told_each_change_with_its_place(core: Core) -> None:
    ada, bob = (await join(core, "ada")).actor, (await join(core, "bob")).actor
    async with following(core, ada) as feed:
        told = asyncio.create_task(following_one(feed))
        await core.tasks.create(bob, title="Bob's")
        task = await core.tasks.create(ada, title="x")
        first = await told
        assert (first.task_id, first.task) == (task.id, task)
        edited = await core.tasks.edit(ada, task.id, title="y")
        assert (await following_one(feed)).task == edited
        await core.tasks.delete(ada, task.id)
        last = await following_one(feed)
        assert (last.task_id, last.task) == (task.id, None)
    assert last.place == (await core.changes.page(ada)).end
    async with aclosing(core.changes.follow(ada, after=first.place)) as again:
        assert await following_one(again) == last  # as it is now


async def test_what_is_done_with_a_key_is_told_once_it_is_committed(core: Core) -> None:
    ada = (await join(core, "ada")).actor

    async def work(core: Core) -> bytes:
        return (await core.tasks.create(ada, title="x")).title.encode()

    async with following(core, ada) as feed:
        told = asyncio.create_task(following_one(feed))
        await core.once(ada, "key", b"request", work)
        task = (await told).task
        assert task
        assert task.title == "x"


async def test_a_follower_begins_with_what_it_has_missed(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    start = (await core.changes.page(ada)).end
    made = [await core.tasks.create(ada, title=f"{number}") for number in range(103)]
    async with aclosing(core.changes.follow(ada, after=start)) as feed:
        assert [(await following_one(feed)).task for _ in made] == made


async def test_what_other_processes_write_is_told_too(
    core: Core, store: Store, clock: ManualClock
) -> None:
    other = bound(store, clock, ScryptHasher(n=2, r=1, p=1))
    ada = (await join(core, "ada")).actor
    async with following(core, ada) as feed:
        told = asyncio.create_task(following_one(feed))
        task = await other.tasks.create(ada, title="x")
        assert (await told).task == task
        ending = asyncio.create_task(has_ended(feed))
        await other.sessions.log_out(ada)
        assert await ending


async def test_following_ends_with_the_right_to_follow(core: Core, clock: ManualClock) -> None:
    """In each of the ways in which it may end; and nothing is told afterwards."""
    root = (await join(core, "root", Role.ADMIN)).actor
    ends: list[Callable[[Actor, User], Awaitable[object]]] = [
        lambda actor, _: core.sessions.log_out(actor),
        lambda actor, _: core.sessions.log_out_everywhere(actor),
        lambda actor, _: core.sessions.end_own(actor, actor.session_id or SessionId(UUID(int=0))),
        lambda _, user: core.accounts.change(root, user.id, is_active=False),
        lambda _, user: core.accounts.change(root, user.id, role=Role.ADMIN),
        lambda _, user: core.accounts.delete(root, user.id),
        lambda _, user: core.sessions.end_all_of(root, user.id),
        lambda _, user: change_password_elsewhere(core, user),
    ]
    for number, end in enumerate(ends):
        person = await join(core, f"ada{number}")
        async with following(core, person.actor) as feed:
            ending = asyncio.create_task(has_ended(feed))
            await asyncio.sleep(0)
            await end(person.actor, person.user)
            assert await ending
    ada = await join(core, "ada")
    async with following(core, ada.actor) as feed:
        ending = asyncio.create_task(has_ended(feed))
        clock.advance(minutes=31)
        assert await ending


async def change_password_elsewhere(core: Core, user: User) -> None:
    other = await log_in(core, user)
    await core.accounts.change_password(
        other.actor, current_password=PASSWORD, new_password=f"{PASSWORD} battery"
    )


async def test_a_user_follows_a_few_times_at_once(core: Core) -> None:
    ada, bob = (await join(core, "ada")).actor, (await join(core, "bob")).actor
    feeds = [core.changes.follow(ada) for _ in range(PER_USER)]
    waiting = [asyncio.create_task(following_one(feed)) for feed in feeds]
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await anext(core.changes.follow(ada))
    async with following(core, bob) as feed:
        made = await core.tasks.create(bob, title="x")
        assert (await following_one(feed)).task == made
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    start = (await core.changes.page(ada)).end
    made = await core.tasks.create(ada, title="x")
    async with aclosing(core.changes.follow(ada, after=start)) as feed:
        assert (await following_one(feed)).task == made
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting)


async def test_a_process_has_a_limit_for_the_followers_of_all_users(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_followers, "MAX_FOLLOWERS", 2)
    ada, bob, cyd = [(await join(core, name)).actor for name in ("ada", "bob", "cyd")]
    async with following(core, ada) as of_ada, following(core, bob) as of_bob:
        waiting = [asyncio.create_task(following_one(feed)) for feed in (of_ada, of_bob)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await anext(core.changes.follow(cyd))
        for actor in (ada, bob):
            await core.tasks.create(actor, title="x")
        assert all([(await told).task for told in waiting])
    async with following(core, cyd) as feed:
        made = await core.tasks.create(cyd, title="x")
        assert (await following_one(feed)).task == made


async def test_when_the_process_stops_followers_end_and_none_begins(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    async with following(core, ada) as feed:
        ending = asyncio.create_task(has_ended(feed))
        await asyncio.sleep(0)
        core.changes.followers.close()
        assert await ending
    with pytest.raises(Overloaded):
        await anext(core.changes.follow(ada))


async def test_places_that_have_expired_and_the_operator_are_refused(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    with pytest.raises(CursorExpired):
        await anext(core.changes.follow(ada, after=LogPosition(1, 99)))
    with pytest.raises(Forbidden):
        await anext(core.changes.follow(SYSTEM))


async def test_a_flood_of_writes_is_told_in_a_few_pages_and_whole(core: Core) -> None:
    """Else each write would cost two statements."""
    ada = (await join(core, "ada")).actor
    end = (await core.changes.page(ada)).end
    pages, told, written = 0, set[int](), set[int]()

    async def follow() -> None:
        nonlocal pages
        every = core.changes.followers
        async with (
            every.joined(ada) as follower,
            aclosing(every.told(follower, after=end, idle=99)) as found,
        ):
            async for items in found:
                pages += 1
                told.update(item.task_id for item in items)

    began = asyncio.get_running_loop().time()
    following = asyncio.create_task(follow())
    for _ in range(40):
        written.add((await core.tasks.create(ada, title="x")).id)
        await asyncio.sleep(0.001)  # time for a look
    await until(lambda: told == written)
    seconds = asyncio.get_running_loop().time() - began
    following.cancel()
    assert pages <= seconds / change_followers.PAUSE + 2


class LoopClock:
    """The clock of the event loop, which only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._give_way = 0.0, asyncio.sleep
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await self._give_way(0)


async def test_a_change_right_after_another_is_told_within_50_ms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And at once if the account was quiet."""
    core, clock = bound(MemoryStore(), ManualClock(), CheapHasher()), LoopClock(monkeypatch)
    ada = (await join(core, "ada")).actor
    async with following(core, ada) as feed:
        for quiet, at_most in ((1.0, 0.0), (0.0, 0.05), (0.0, 0.05), (1.0, 0.0)):
            told = asyncio.create_task(following_one(feed))
            await clock.sleep(quiet)
            began = clock.now
            made = await core.tasks.create(ada, title="x")
            assert (await told).task == made
            assert clock.now - began <= at_most


async def test_the_followers_of_an_account_share_a_look_at_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else each write would cost two statements for each of them."""
    core, clock = bound(MemoryStore(), ManualClock(), CheapHasher()), LoopClock(monkeypatch)
    ada, reads, read = (await join(core, "ada")).actor, 0, MemoryEvents.changes

    async def counted(
        self: MemoryEvents, owner_id: UserId, *, after: LogPosition, limit: int
    ) -> ChangesPage:
        nonlocal reads
        reads += 1
        return await read(self, owner_id, after=after, limit=limit)

    monkeypatch.setattr(MemoryEvents, "changes", counted)
    feeds = [core.changes.follow(ada) for _ in range(PER_USER)]
    for number in range(1, 4):
        told = [asyncio.create_task(following_one(feed)) for feed in feeds]
        for _ in range(20):  # until all of them wait
            await clock.sleep(0.1)
        made = await core.tasks.create(ada, title="x")
        assert [(await each).task for each in told] == [made] * PER_USER
        assert reads == number
    for feed in feeds:
        await feed.aclose()
