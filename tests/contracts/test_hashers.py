"""The contract of `ports.PasswordHasher`, on every hasher; then what argon2's adds to it."""

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import argon2
import bcrypt
import pytest
from argon2.low_level import Type

from taskcore.adapters import hashing
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.hashing import HashingThreads
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.errors import Overloaded, Unavailable
from taskcore.ports import BUDGET, PasswordHasher, TimeBudget, time_budget
from taskcore.testing import CheapHasher
from taskcore.testing.contracts import HasherContract
from tests.conftest import cheap_argon2, until
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["scrypt", "argon2", "cheap"])
def hasher(request: pytest.FixtureRequest) -> Iterator[PasswordHasher]:
    if request.param == "scrypt":
        yield ScryptHasher(n=4, r=1, p=1)
        return
    if request.param == "cheap":
        yield CheapHasher()
        return
    made = cheap_argon2()
    yield made
    made.close()


@pytest.fixture
def argon() -> Iterator[Argon2Hasher]:
    made = cheap_argon2()
    yield made
    made.close()


class TestHashers(HasherContract):
    """On the fixture `hasher`, which is each of our hashers in turn."""


async def test_new_hashes_need_no_rehash_and_each_others_do(argon: Argon2Hasher) -> None:
    scrypt = ScryptHasher(n=2, r=1, p=1)
    of_argon, of_scrypt = await argon.hash(PASSWORD), await scrypt.hash(PASSWORD)
    assert not argon.needs_rehash(of_argon)
    assert not scrypt.needs_rehash(of_scrypt)
    assert argon.needs_rehash(of_scrypt)
    assert scrypt.needs_rehash(of_argon)
    assert not await argon.verify(PASSWORD, of_scrypt)
    assert not await scrypt.verify(PASSWORD, of_argon)


async def test_a_hash_of_another_strength_verifies_and_needs_a_rehash(argon: Argon2Hasher) -> None:
    stronger = Argon2Hasher(memory_kib=16, passes=2, threads=1)
    made = await argon.hash(PASSWORD)
    assert stronger.needs_rehash(made)
    assert await stronger.verify(PASSWORD, made)
    assert not await stronger.verify("wrong horse", made)
    stronger.close()
    cheap, dear = ScryptHasher(n=2, r=1, p=1), ScryptHasher(n=4, r=1, p=1)
    made = await cheap.hash(PASSWORD)
    assert dear.needs_rehash(made)
    assert await dear.verify(PASSWORD, made)
    assert not await dear.verify("wrong horse", made)


async def test_an_unknown_account_costs_what_a_wrong_password_costs() -> None:
    with_argon = Argon2Hasher(memory_kib=4096, passes=1, threads=1)
    for hasher in (with_argon, ScryptHasher(n=2**11, r=8, p=1)):
        made = await hasher.hash(PASSWORD)
        taken: dict[str | None, list[float]] = {None: [], "?": [], made: []}
        for _ in range(9):
            for password_hash, times in taken.items():
                started = time.perf_counter()
                assert not await hasher.verify("wrong horse", password_hash)
                times.append(time.perf_counter() - started)
        unknown, unreadable, wrong = map(median, taken.values())
        # Without a decoy it would be some hundred times less; this machine may be shared.
        assert 0.4 < unknown / wrong < 2.5
        assert 0.4 < unreadable / wrong < 2.5
    with_argon.close()


def test_argon2_hashes_are_of_the_approved_strength_unless_told_otherwise() -> None:
    # OWASP Password Storage Cheat Sheet: one of these pairs at least.
    hasher = Argon2Hasher(threads=1)
    made = asyncio.run(hasher.hash(PASSWORD))
    hasher.close()
    found = argon2.extract_parameters(made)
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19456, 2, 1)
    assert (found.salt_len, found.hash_len) == (16, 32)
    assert argon2.extract_parameters(hasher._decoy) == found


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_old_hashes_of_bcrypt_verify_and_need_a_rehash(
    argon: Argon2Hasher, prefix: str
) -> None:
    old = prefix + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()[4:]
    assert await argon.verify(PASSWORD, old)
    assert not await argon.verify("wrong horse", old)
    assert argon.needs_rehash(old)


async def test_bcrypt_looks_at_72_bytes_as_it_always_did(argon: Argon2Hasher) -> None:
    old = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    assert await argon.verify("a" * 72 + "and more", old)
    assert await argon.verify("a" * 256, old)
    assert not await argon.verify("a" * 71 + "b" * 9, old)
    emoji = bcrypt.hashpw("\U0001f600".encode() * 18, bcrypt.gensalt(4)).decode()
    assert await argon.verify("\U0001f600" * 40, emoji)
    # A character may be cut in two: what counts is what the old program saw.
    cut = bcrypt.hashpw(("a" * 71 + "\u00e9").encode()[:72], bcrypt.gensalt(4)).decode()
    assert await argon.verify("a" * 71 + "\u00e9", cut)


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes", "allowed"),
    [(8, 10, 1, True), (8, 11, 1, False), (128, 1, 16, True), (136, 1, 17, False)],
)
async def test_what_a_stored_hash_may_ask_of_the_machine_is_bounded(
    argon: Argon2Hasher, memory_kib: int, passes: int, lanes: int, *, allowed: bool
) -> None:
    made = argon2.PasswordHasher(passes, memory_kib, lanes).hash(PASSWORD)
    assert await argon.verify(PASSWORD, made) is allowed


async def test_hashes_are_made_in_threads_of_their_own(argon: Argon2Hasher) -> None:
    name = await argon.threads.run(lambda: threading.current_thread().name)
    assert name.startswith("hashing")


class Counted:
    """Work that waits for `go` and counts how much of it runs at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = self.most = self.done = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go.wait(10)
        with self._lock:
            self.running -= 1
            self.done += 1


async def test_no_more_run_at_once_than_there_are_threads_also_when_callers_give_up() -> None:
    hasher, work = cheap_argon2(threads=2), Counted()
    for _ in range(10):
        callers = [asyncio.create_task(hasher.threads.run(work)) for _ in range(3)]
        await until(lambda: work.running == 2)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    work.go.set()
    await hasher.verify(PASSWORD, None)
    assert work.most == 2
    hasher.close()


async def test_a_full_queue_refuses_at_once() -> None:
    hasher, work = cheap_argon2(threads=1, queue=2), Counted()
    callers = [asyncio.create_task(hasher.threads.run(work)) for _ in range(3)]
    await until(lambda: work.running == 1)
    with pytest.raises(Unavailable) as refusal:
        await hasher.hash(PASSWORD)
    assert refusal.value.retry_after >= 1
    with pytest.raises(Unavailable):
        await hasher.verify(PASSWORD, None)

    callers[0].cancel()  # runs on, and so still counts
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await hasher.hash(PASSWORD)

    callers[2].cancel()  # never began, and so makes room
    await asyncio.sleep(0.01)
    late = asyncio.create_task(hasher.hash(PASSWORD))
    await asyncio.sleep(0.01)
    assert not late.done()

    work.go.set()
    assert await hasher.verify(PASSWORD, await late)
    assert (work.most, work.done) == (1, 2)
    await until(lambda: hasher.threads.running == 0)  # all places are free again
    hasher.close()


async def hold(threads: HashingThreads) -> tuple[Counted, list["asyncio.Task[None]"]]:
    """Keep all threads busy until `go` is set."""
    work = Counted()
    callers = [asyncio.create_task(threads.run(work)) for _ in range(threads.count)]
    await until(lambda: work.running == threads.count)
    return work, callers


async def test_clients_take_turns_however_many_hashes_each_has() -> None:
    threads, made = HashingThreads(1), list[str]()
    work, _ = await hold(threads)

    async def make(name: str) -> None:
        with time_budget(math.inf, client=name[0]):
            await threads.run(lambda: made.append(name))

    callers = [asyncio.create_task(make(name)) for name in ("a1", "a2", "a3", "b1", "c1", "b2")]
    await until(lambda: threads.waiting == len(callers))
    work.go.set()
    await asyncio.gather(*callers)
    assert made[:3] == ["a1", "b1", "c1"]
    threads.close()


async def test_a_client_that_is_alone_has_all_threads() -> None:
    threads = HashingThreads(3)
    with time_budget(math.inf, client="office"):
        work, callers = await hold(threads)
    assert work.running == 3
    work.go.set()
    await asyncio.gather(*callers)
    threads.close()


async def test_a_full_queue_has_room_for_another_client() -> None:
    threads = HashingThreads(1, queue=2)
    work, _ = await hold(threads)

    async def make(client: str) -> str:
        with time_budget(math.inf, client=client):
            await threads.run(lambda: None)
            return client

    crowd = [asyncio.create_task(make("crowd")) for _ in range(2)]
    await until(lambda: threads.waiting == 2)
    other = asyncio.create_task(make("other"))
    with pytest.raises(Overloaded):
        await crowd[1]
    with pytest.raises(Overloaded):
        await make("crowd")
    work.go.set()
    assert (await crowd[0], await other) == ("crowd", "other")
    assert threads.measures()["hashing_refused"] == 2
    threads.close()


async def test_a_hash_waits_for_a_bounded_time_and_leaves_the_store_all_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "WAIT", 0.01)
    threads = HashingThreads(1)
    work, _ = await hold(threads)
    with time_budget(3.5):
        with pytest.raises(Overloaded) as refusal:
            await threads.run(lambda: None)
        assert BUDGET.get().left == 3.5
    assert refusal.value.retry_after >= 1
    work.go.set()
    threads.close()


async def test_a_hash_whose_client_has_left_while_it_waited_is_not_made() -> None:
    threads, made, gone = HashingThreads(1), list[str](), asyncio.Event()
    work, _ = await hold(threads)
    before = BUDGET.set(TimeBudget(math.inf, gone=gone.wait))
    left = asyncio.create_task(threads.run(lambda: made.append("left")))
    BUDGET.reset(before)
    stays = asyncio.create_task(threads.run(lambda: made.append("stays")))
    await until(lambda: threads.waiting == 2)
    gone.set()
    with pytest.raises(Overloaded):
        await left
    work.go.set()
    await stays
    assert made == ["stays"]
    threads.close()


def test_threads_go_on_in_the_next_loop_when_the_first_is_closed() -> None:
    threads, held = HashingThreads(1), list[Counted]()

    async def leave() -> None:
        work, _ = await hold(threads)
        held.append(work)
        waiting = asyncio.create_task(threads.run(lambda: None))
        await until(lambda: threads.waiting == 1)
        del waiting

    asyncio.run(leave())
    held[0].go.set()

    async def use() -> int:
        return await threads.run(lambda: 1)

    assert asyncio.run(use()) == 1
    threads.close()


async def test_hashes_of_scrypt_wait_in_a_queue_too(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    real = hashlib.scrypt

    def noting(*args: Any, **options: Any) -> bytes:
        names.append(threading.current_thread().name.partition("_")[0])
        return real(*args, **options)

    monkeypatch.setattr(hashlib, "scrypt", noting)
    scrypt = ScryptHasher(n=2, r=1, p=1)
    assert not await scrypt.verify(PASSWORD, await scrypt.hash("another horse"))
    assert names == ["hashing", "hashing"]


async def test_the_event_loop_goes_on_while_hashes_are_made() -> None:
    hasher = Argon2Hasher(memory_kib=32768, passes=2, threads=1)
    making = asyncio.create_task(hasher.hash(PASSWORD))
    turns = 0
    while not making.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
    hasher.close()
