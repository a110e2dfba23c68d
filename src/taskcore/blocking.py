"""The core for programs without an event loop: scripts, Django, threads.

    from taskcore import Settings, blocking

    with blocking.open_core(Settings.load()) as core:
        grant = core.sessions.log_in(email="ada@example.org", password="correct horse")
        actor = core.sessions.authenticate(grant.access_token)
        task = core.tasks.create(actor, title="Write the letter")

The methods are those of `taskcore.Core`, and wait for their results. Any thread may call them.
"""

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from taskcore import opening
from taskcore.adapters.memory import memory_core as async_memory_core
from taskcore.core import Core
from taskcore.domain.policies import Actor
from taskcore.ports import Adapters, Clock, PasswordHasher
from taskcore.settings import Settings
from taskcore.usecases.idempotency import Answer

__all__ = ["BlockingCore", "BlockingUseCases", "OpenCore", "memory_core", "open_core"]

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
_CLOSING = 30.0  # seconds; by then the embedded database has stopped


def open_core(settings: Settings, **adapters: Unpack[Adapters]) -> "OpenCore":
    """A core as of `taskcore.open_core`, open until `close` or the end of the `with` block.

    A process may end without either. After a fork, open one in each process: the core of the parent
    raises RuntimeError there.
    """
    return OpenCore(opening.open_core(settings, **adapters))


def memory_core(*, clock: Clock | None = None, hasher: PasswordHasher | None = None) -> "OpenCore":
    """A core as of `taskcore.adapters.memory.memory_core`: its data are lost when it is closed."""
    return OpenCore(nullcontext(async_memory_core(clock=clock, hasher=hasher)))


class _Loop:
    """A thread with an event loop in which an asynchronous core is open.

    Bounded by those who call: each has one call in the loop at a time, and waits for it.
    """

    def __init__(self, opened: AbstractAsyncContextManager[Core]) -> None:
        """Waits until the core is open; raises what opening raises."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._is_closed = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        started: Future[Core] = Future()

        def live() -> None:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live(opened, started))

        # A daemon, so that a program that never closes its core can end.
        self._thread = threading.Thread(target=live, name="taskcore-blocking", daemon=True)
        self._thread.start()
        try:
            self.core = started.result()
        except BaseException:
            self.close()
            raise

    def call(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do the work in the loop. Raises what it raises."""
        future = self.begin(work)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(_CLOSED) from None
        except BaseException:  # an interrupt of the caller: nothing goes on behind its back
            future.cancel()
            raise

    def begin(self, work: Callable[[], Awaitable[Result]]) -> "Future[Result]":
        if os.getpid() != self._process:
            raise RuntimeError("this core was opened before the fork: open one in each process")
        if threading.current_thread() is self._thread:
            raise RuntimeError("a blocking call in the core's own event loop would wait for ever")
        # What is begun before the loop stops is begun, and so is cancelled then; later work is
        # refused. Without the lock a call could fall between the two, and wait for ever.
        with self._lock:
            if self._is_closed:
                raise RuntimeError(_CLOSED)
            return asyncio.run_coroutine_threadsafe(self._counted(work), self._loop)

    def close(self) -> None:
        """Cancel the calls that still run, and close the core. Does nothing the second time."""
        if os.getpid() != self._process:
            return  # the thread is the parent's
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                with suppress(RuntimeError):  # it did not open, and has ended
                    self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_CLOSING)

    async def _live(
        self, opened: AbstractAsyncContextManager[Core], started: "Future[Core]"
    ) -> None:
        try:
            async with opened as core:
                started.set_result(core)
                await self._stop.wait()
                for call in self._calls:
                    call.cancel()
                await asyncio.gather(*self._calls, return_exceptions=True)
        except BaseException as error:  # raised where it is waited for
            if started.done():
                raise
            started.set_exception(error)

    async def _counted(self, work: Callable[[], Awaitable[Result]]) -> Result:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for mypy
        self._calls.add(task)
        try:
            return await work()
        finally:
            self._calls.discard(task)


_CLOSED = "this core is closed"


class BlockingUseCases:
    """The use cases of one noun, such as `core.tasks`, which wait for their results.

    What is an asynchronous iterator there is an ordinary one here.
    """

    def __init__(self, loop: _Loop, noun: object) -> None:
        self._loop, self._noun = loop, noun
        names = (name for name, _ in inspect.getmembers(type(noun), inspect.isfunction))
        self._names = frozenset(name for name in names if not name.startswith("_"))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of any noun
        if not name.startswith("_") and name in self._names:
            return _waiting(self._loop, getattr(self._noun, name))
        raise AttributeError(f"no use case is called {name}")

    def __dir__(self) -> list[str]:
        return [*self._names]


def _waiting(loop: _Loop, method: Callable[Parameters, Any]) -> Callable[Parameters, Any]:
    @functools.wraps(method)
    def wait(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:  # noqa: ANN401 - as the method
        async def run() -> Any:  # noqa: ANN401
            result = method(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        result = loop.call(run)
        return _iterating(loop, result) if isinstance(result, AsyncIterator) else result

    return wait


def _iterating(loop: _Loop, items: AsyncIterator[Result]) -> Iterator[Result]:
    """Closed with the iterator, as by the end of the `for` loop that has it."""

    async def close() -> None:
        if inspect.isasyncgen(items):
            await items.aclose()

    try:
        while True:
            try:
                item = loop.call(items.__anext__)
            except StopAsyncIteration:
                return
            yield item
    finally:
        with suppress(RuntimeError):  # the core is closed, and with it the iterator
            loop.call(close)


class BlockingCore:
    """The use cases of a core, bound to the thread that runs them."""

    def __init__(self, loop: _Loop, core: Core) -> None:
        self._loop, self._core = loop, core
        self.accounts = BlockingUseCases(loop, core.accounts)
        self.sessions = BlockingUseCases(loop, core.sessions)
        self.tasks = BlockingUseCases(loop, core.tasks)
        self.changes = BlockingUseCases(loop, core.changes)
        self.audit = BlockingUseCases(loop, core.audit)
        self.housekeeping = BlockingUseCases(loop, core.housekeeping)

    def run(
        self,
        work: Callable[Concatenate[Core, Parameters], Awaitable[Result]],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Do asynchronous work with the asynchronous core, in its loop, and return its result.

        For several calls at the same time, and for type checkers: what `work` returns has a type.
        """
        return self._loop.call(lambda: work(self._core, *args, **kwargs))

    def once(
        self, actor: Actor, key: str, request: bytes, work: Callable[["BlockingCore"], bytes]
    ) -> Answer:
        """As `taskcore.Core.once`. `work` gets a blocking core, and runs in the calling thread."""
        turn: Future[Callable[[], None] | None] = Future()

        async def once() -> Answer:
            done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            async def handed_over(core: Core) -> bytes:
                inner = BlockingCore(self._loop, core)
                turn.set_result(functools.partial(_worked, work, inner, done))
                return await done

            try:
                return await self._core.once(actor, key, request, handed_over)
            finally:
                if not turn.done():
                    turn.set_result(None)  # refused, or done before

        answer = self._loop.begin(once)
        try:
            if work_now := turn.result():
                work_now()
            return answer.result()
        except CancelledError:
            raise RuntimeError(_CLOSED) from None
        except BaseException:
            answer.cancel()
            raise


def _worked(
    work: Callable[[BlockingCore], bytes], core: BlockingCore, done: "asyncio.Future[bytes]"
) -> None:
    """Do the work here, and hand its outcome to the loop that waits for it."""

    def set_outcome() -> None:
        if not done.done():  # else the loop has given up
            if error:
                done.set_exception(error)
            else:
                done.set_result(content)

    content, error = b"", None
    try:
        content = work(core)
    except Exception as raised:  # noqa: BLE001 - the transaction is undone, and it is raised there
        error = raised
    done.get_loop().call_soon_threadsafe(set_outcome)


class OpenCore(BlockingCore):
    """A core, and the thread in which it is open. Close it, or use it as a context."""

    def __init__(self, opened: AbstractAsyncContextManager[Core]) -> None:
        loop = _Loop(opened)
        super().__init__(loop, loop.core)

    def close(self) -> None:
        """Cancel the calls that still run, in whichever thread; they raise RuntimeError."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
