"""A request is done once, on every store."""

import asyncio
import gc
import weakref
from dataclasses import replace
from datetime import timedelta

import pytest

from taskcore import (
    SYSTEM,
    Answer,
    Core,
    EmailTaken,
    Forbidden,
    Invalid,
    InvalidToken,
    KeyInProgress,
    KeyReused,
    NotFound,
    Priority,
    Role,
    TooMany,
)
from taskcore.adapters.keys import HmacPseudonyms
from taskcore.adapters.memory import MemoryStore
from taskcore.core import Terms
from taskcore.domain.audit import AuditEventName
from taskcore.domain.idempotency import MAX_ANSWER, ROW
from taskcore.ports import Store
from taskcore.usecases import idempotency
from tests.api.doubles import CHEAP
from tests.conftest import ManualClock, bound
from tests.factories import PASSWORD
from tests.usecases.people import Person, join
from tests.usecases.spies import WatchedHasher

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ada(core: Core) -> Person:
    return await join(core, "ada")


async def create(core: Core, person: Person, key: str = "k", title: str = "Write") -> Answer:
    async def work(core: Core) -> bytes:
        task = await core.tasks.create(person.actor, title=title)
        return f"{task.id} {task.title}".encode()

    return await core.once(person.actor, key, title.encode(), work)


async def titles(core: Core, person: Person) -> list[str]:
    return [task.title for task in (await core.tasks.page(person.actor)).items]


async def test_the_same_request_is_done_once(core: Core, ada: Person) -> None:
    first = await create(core, ada)
    assert not first.is_replay
    assert await create(core, ada) == Answer(first.content, is_replay=True)
    with pytest.raises(KeyReused):
        await create(core, ada, title="Something else")
    assert await titles(core, ada) == ["Write"]
    assert not (await create(core, await join(core, "bob"))).is_replay
    assert not (await create(core, ada, key="l")).is_replay


async def test_what_is_kept_of_a_request_depends_on_the_secret_key(clock: ManualClock) -> None:
    """A digest alone would let a reader of the database try the password in a request."""
    kept = []
    for secret in (b"one", b"one", b"other"):
        store = MemoryStore()
        core = bound(store, clock, CHEAP)
        of_secret = replace(core.idempotency, pseudonyms=HmacPseudonyms(secret))
        await create(replace(core, idempotency=of_secret), await join(core, "ada"))
        kept += [answer.request for answer in store._tables.answers.values()]
    same, again, other = kept
    assert same == again != other


async def test_requests_at_the_same_moment_are_done_once(core: Core, ada: Person) -> None:
    answers = await asyncio.gather(*(create(core, ada) for _ in range(9)))
    assert len({answer.content for answer in answers}) == 1
    assert sum(not answer.is_replay for answer in answers) == 1
    assert await titles(core, ada) == ["Write"]


async def test_one_that_waits_too_long_for_the_first_is_told_so(
    core: Core, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", 0.01)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_: Core) -> bytes:
        begun.set()
        await go_on.wait()
        return b"done"

    first = asyncio.create_task(core.once(ada.actor, "k", b"r", work))
    await begun.wait()
    with pytest.raises(KeyInProgress):
        await core.once(ada.actor, "k", b"r", work)
    go_on.set()
    assert not (await first).is_replay
    assert (await core.once(ada.actor, "k", b"r", work)).is_replay


async def test_what_raises_is_undone_and_may_be_tried_again(core: Core, ada: Person) -> None:
    broken = True

    async def work(core: Core) -> bytes:
        await core.tasks.create(ada.actor, title="one")
        await core.accounts.change_profile(ada.actor, full_name="Countess")
        await core.tasks.create(ada.actor, title="" if broken else "two")
        return b"done"

    with pytest.raises(Invalid):
        await core.once(ada.actor, "k", b"r", work)
    assert await titles(core, ada) == []
    assert (await core.accounts.me(ada.actor)).full_name is None
    broken = False
    assert await core.once(ada.actor, "k", b"r", work) == Answer(b"done", is_replay=False)
    assert await titles(core, ada) == ["two", "one"]


async def test_every_use_case_of_the_work_sees_what_it_has_done(core: Core, ada: Person) -> None:
    async def work(core: Core) -> bytes:
        task = await core.tasks.create(ada.actor, title="one")
        await core.tasks.edit(ada.actor, task.id, title="two")
        await core.tasks.edit(ada.actor, task.id, expected_version=2, priority=Priority.HIGH)
        await core.tasks.delete(ada.actor, task.id)
        with pytest.raises(NotFound):
            await core.tasks.get(ada.actor, task.id)
        task = await core.tasks.restore(ada.actor, task.id)
        return f"{task.title} {task.version} {(await core.tasks.page(ada.actor)).total}".encode()

    assert (await core.once(ada.actor, "k", b"r", work)).content == b"two 5 1"


async def test_work_that_catches_everything_is_not_done_again(core: Core, ada: Person) -> None:
    async def work(core: Core) -> bytes:
        done = 0
        for title in "ab":
            try:
                await core.tasks.create(ada.actor, title=title)
            except Exception:  # noqa: BLE001 - as careless code does
                done -= 1
            done += 1
        return str(done).encode()

    assert await core.once(ada.actor, "k", b"r", work) == Answer(b"2", is_replay=False)
    assert await core.once(ada.actor, "k", b"r", work) == Answer(b"2", is_replay=True)
    with pytest.raises(KeyReused):
        await core.once(ada.actor, "k", b"s", work)
    assert await titles(core, ada) == ["b", "a"]


async def test_no_password_is_hashed_in_the_transaction(clock: ManualClock) -> None:
    store = MemoryStore()
    hasher = WatchedHasher(CHEAP)
    core = bound(store, clock, hasher)
    root = await join(core, "root", Role.ADMIN)
    free: list[bool] = []

    async def look() -> None:
        free.append(not store._lock.locked())

    hasher.while_hashing = look

    async def work(core: Core) -> bytes:
        user = await core.accounts.create(root.actor, email="b@x.org", password=PASSWORD)
        return str(user.id).encode()

    first = await core.once(root.actor, "k", b"r", work)
    assert (await core.once(root.actor, "k", b"r", work)).content == first.content
    assert free == [True, True]


async def test_refusals_stay_on_record(core: Core, ada: Person) -> None:
    root = await join(core, "root", Role.ADMIN)

    async def work(core: Core) -> bytes:
        await core.tasks.create(ada.actor, title="never")
        await core.accounts.delete(ada.actor, root.user.id)
        return b""

    with pytest.raises(Forbidden):
        await core.once(ada.actor, "k", b"r", work)
    assert await titles(core, ada) == []

    async def log_in(core: Core) -> bytes:
        await core.tasks.create(ada.actor, title="never")
        await core.sessions.log_in(email=ada.user.email, password=PASSWORD)
        return b""

    with pytest.raises(RuntimeError):
        await core.once(ada.actor, "k", b"r", log_in)
    denied = await core.audit.page(root.actor, event=AuditEventName.AUTHZ_DENIED)
    assert denied.total == 1


async def test_what_an_administrator_does_is_recorded_once(core: Core, ada: Person) -> None:
    root = await join(core, "root", Role.ADMIN)
    task = await core.tasks.create(ada.actor, title="hers")

    async def work(core: Core) -> bytes:
        return (await core.tasks.edit(root.actor, task.id, title="changed")).title.encode()

    for _ in range(3):
        assert (await core.once(root.actor, "k", b"r", work)).content == b"changed"
    assert (await core.audit.page(root.actor, event=AuditEventName.TASK_CHANGED)).total == 1


async def test_an_error_of_the_store_ends_the_work(core: Core) -> None:
    root = await join(core, "root", Role.ADMIN)

    async def work(core: Core) -> bytes:
        for name in ("bob", "root"):
            await core.accounts.create(root.actor, email=f"{name}@example.org", password=PASSWORD)
        return b""

    with pytest.raises(EmailTaken):
        await core.once(root.actor, "k", b"r", work)
    assert (await core.accounts.page(root.actor)).total == 1


@pytest.mark.parametrize("key", ["", "a b", "\n", "\x7f", "é", "k" * 256])
async def test_a_malformed_key_is_refused(core: Core, ada: Person, key: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await create(core, ada, key)
    assert [problem.code for problem in refusal.value.problems] == ["malformed_key"]
    assert await titles(core, ada) == []


async def test_an_answer_that_is_too_large_undoes_the_work(core: Core, ada: Person) -> None:
    size = MAX_ANSWER + 1

    async def work(core: Core) -> bytes:
        await core.tasks.create(ada.actor, title="x")
        return bytes(size)

    with pytest.raises(Invalid) as refusal:
        await core.once(ada.actor, "k", b"r", work)
    assert [problem.code for problem in refusal.value.problems] == ["answer_too_large"]
    assert await titles(core, ada) == []
    size -= 1
    assert len((await core.once(ada.actor, "k", b"r", work)).content) == MAX_ANSWER


async def test_what_an_account_keeps_is_limited(store: Store, clock: ManualClock) -> None:
    core = bound(store, clock, CHEAP, terms=Terms(max_kept=2 * ROW + 60))  # for two answers
    ada = await join(core, "ada")
    for key in ("a", "b"):
        await create(core, ada, key)
    with pytest.raises(TooMany):
        await create(core, ada, "c")
    assert len(await titles(core, ada)) == 2
    assert (await create(core, ada, "b")).is_replay
    clock.advance(hours=24)
    await create(core, ada, "c")


async def test_housekeeping_forgets_keys_after_a_day(
    core: Core, ada: Person, clock: ManualClock
) -> None:
    await create(core, ada)
    for hours, count in ((23, 0), (2, 1)):
        clock.moment += timedelta(hours=hours)
        steps = [step async for step in core.housekeeping.sweep("keys")]
        assert [step.removed for step in steps] == [{"keys": count}]


async def test_the_operator_has_no_keys_and_neither_has_a_deleted_user(
    core: Core, ada: Person
) -> None:
    async def work(core: Core) -> bytes:
        return str((await core.tasks.page(ada.actor)).total).encode()

    with pytest.raises(Forbidden):
        await core.once(SYSTEM, "k", b"r", work)
    await core.accounts.delete_own(ada.actor, password=PASSWORD)
    with pytest.raises(InvalidToken):
        await core.once(ada.actor, "k", b"r", work)


class Body(list[str]):
    """What a request holds; unlike a list, it can be watched."""


async def test_a_replay_holds_nothing_of_its_request(core: Core, ada: Person) -> None:
    """Half a megabyte of each replayed bulk stayed until the garbage collector ran."""

    async def once() -> weakref.ref[Body]:
        body = Body(["x"])

        async def work(core: Core) -> bytes:
            await core.tasks.create(ada.actor, title=body[0])
            return b"done"

        await core.once(ada.actor, "k", b"x", work)
        return weakref.ref(body)

    gc.collect()
    gc.disable()
    try:
        assert [(await once())() for _ in range(2)] == [None, None]
    finally:
        gc.enable()
