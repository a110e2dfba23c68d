"""The core for programs without an event loop: every method waits, and none for ever."""

import asyncio
import inspect
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import taskcore
from taskcore import Actor, Core, Misconfigured, Settings, blocking
from taskcore.adapters.memory import memory_core
from taskcore.blocking import BlockingCore, OpenCore
from taskcore.testing import CheapHasher
from tests.api.served import as_url
from tests.conftest import emptied

KEY = "0123456789abcdef" * 4


def cheap() -> OpenCore:
    return blocking.memory_core(hasher=CheapHasher())


@pytest.fixture
def core() -> Iterator[OpenCore]:
    with cheap() as opened:
        yield opened


def logged_in(core: BlockingCore, name: str = "ada") -> Actor:
    address = f"{name}@example.org"
    core.accounts.register(email=address, password="correct horse")
    grant = core.sessions.log_in(email=address, password="correct horse")
    actor: Actor = core.sessions.authenticate(grant.access_token)
    return actor


def refused(call: Callable[[], object]) -> str:
    """The message of the RuntimeError that the call raises, in a thread, within seconds."""
    with ThreadPoolExecutor(1) as pool:
        return str(pool.submit(call).exception(timeout=5))


def test_every_use_case_waits_for_its_result(core: OpenCore) -> None:
    actor = logged_in(core)
    task = core.tasks.create(actor, title="Write the letter")
    assert core.tasks.page(actor).items == [task]
    with pytest.raises(taskcore.NotFound):
        core.tasks.get(actor, taskcore.TaskId(task.id + 1))


def test_each_noun_has_the_use_cases_of_the_asynchronous_core(core: OpenCore) -> None:
    there = memory_core()
    for noun in ("accounts", "sessions", "tasks", "changes", "audit", "housekeeping"):
        kind = type(getattr(there, noun))
        methods = {name for name in vars(kind) if not name.startswith("_")}
        methods = {name for name in methods if inspect.isfunction(getattr(kind, name))}
        assert set(dir(getattr(core, noun))) == methods
    assert inspect.signature(core.tasks.get) == inspect.signature(there.tasks.get)
    assert core.tasks.get.__doc__ == there.tasks.get.__doc__
    for name in ("store", "_noun_of_none", "clock"):
        assert not hasattr(core.tasks, name)


def test_what_is_followed_is_an_ordinary_iterator(core: OpenCore) -> None:
    actor = logged_in(core)
    place = core.changes.page(actor).end
    tasks = [core.tasks.create(actor, title=title) for title in "ab"]
    for _ in range(7):  # more than a user may follow at a time: each ends with its loop
        items = core.changes.follow(actor, after=place)
        assert [next(items).task, next(items).task] == tasks
        items.close()
    assert {step.error for step in core.housekeeping.sweep()} == {None}


def test_work_is_done_once_and_in_the_thread_that_asks(core: OpenCore) -> None:
    actor, threads = logged_in(core), []

    def work(inside: BlockingCore) -> bytes:
        threads.append(threading.current_thread())
        task = inside.tasks.create(actor, title="once")
        inside.tasks.edit(actor, task.id, status="done")
        return str(task.id).encode()

    first, second = (core.once(actor, "key", b"request", work) for _ in range(2))
    assert (first.content, first.is_replay, second.is_replay) == (second.content, False, True)
    assert threads[0] is threading.current_thread()
    assert core.tasks.page(actor).total == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_work_that_raises_leaves_nothing_behind(core: OpenCore, error: type) -> None:
    actor = logged_in(core)

    def work(inside: BlockingCore) -> bytes:
        inside.tasks.create(actor, title="never")
        raise error

    with pytest.raises(error):
        core.once(actor, "key", b"request", work)
    assert core.tasks.page(actor).total == 0
    assert core.once(actor, "key", b"request", lambda _: b"done").content == b"done"


def test_what_once_refuses_is_raised_without_any_work(core: OpenCore) -> None:
    actor = logged_in(core)
    with pytest.raises(taskcore.Invalid):
        core.once(actor, "", b"request", lambda _: b"never")


def test_threads_call_at_the_same_time(core: OpenCore) -> None:
    actor = logged_in(core)

    def add(number: int) -> None:
        core.tasks.create(actor, title=str(number))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(64)))
    assert core.tasks.page(actor).total == 64


def test_asynchronous_work_runs_in_its_loop(core: OpenCore) -> None:
    actor = logged_in(core)

    async def both(inside: Core, titles: str) -> list[taskcore.Task]:
        return await asyncio.gather(*(inside.tasks.create(actor, title=each) for each in titles))

    assert [task.title for task in core.run(both, "ab")] == ["a", "b"]


def test_a_closed_core_refuses_and_may_be_closed_again() -> None:
    core = cheap()
    actor = logged_in(core)
    items = core.changes.follow(actor)
    core.close()
    core.close()
    for call in (lambda: core.tasks.page(actor), lambda: next(items)):
        assert refused(call) == "this core is closed"
    assert not [each for each in threading.enumerate() if each.name == "taskcore-blocking"]


def test_calls_that_still_run_end_with_the_core() -> None:
    core = cheap()
    actor = logged_in(core)
    waiting = threading.Event()

    async def forever(_: Core) -> None:
        waiting.set()
        await asyncio.Event().wait()

    calls: list[Callable[[], object]] = [
        lambda: core.run(forever),
        lambda: list(core.changes.follow(actor)),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(call) for call in calls]
        assert waiting.wait(5)
        core.close()
        for call in running:
            assert str(call.exception(timeout=5)) == "this core is closed"


def test_what_opening_raises_is_raised_here() -> None:
    settings = Settings.from_env({"DATABASE_URL": "postgresql://?nonsense=x", "SECRET_KEY": KEY})
    with pytest.raises(Misconfigured):
        blocking.open_core(settings)
    assert not [each for each in threading.enumerate() if each.name == "taskcore-blocking"]


def test_a_call_in_its_own_loop_is_refused(core: OpenCore) -> None:
    actor = logged_in(core)

    async def wrong(_: Core) -> None:
        core.tasks.page(actor)

    assert "would wait for ever" in refused(lambda: core.run(wrong))


def test_a_core_from_before_a_fork_is_refused() -> None:
    with cheap() as core:
        actor = logged_in(core)
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
            child = os.fork()
        if child == 0:  # what pytest has around it must not run twice
            try:
                core.tasks.page(actor)
            except RuntimeError as refusal:
                os.write(writer, str(refusal).encode())
            core.close()
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        assert os.read(reader, 999).startswith(b"this core was opened before the fork")
        os.close(reader)
        assert core.tasks.page(actor).total == 0


def test_it_opens_postgresql(database_url: str) -> None:
    emptied(database_url)
    settings = Settings.from_env({"DATABASE_URL": as_url(database_url), "SECRET_KEY": KEY})
    with blocking.open_core(settings, hasher=CheapHasher()) as core:
        actor = logged_in(core)
        task = core.tasks.create(actor, title="kept")
    with blocking.open_core(settings, hasher=CheapHasher()) as core:
        assert core.tasks.page(actor).items == [task]
