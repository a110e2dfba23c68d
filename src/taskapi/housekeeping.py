"""When a server does its housekeeping: at its start, after a deletion, and every minute."""

import asyncio
from contextlib import suppress
from typing import Self

import structlog

from taskcore import Core, Unavailable

log = structlog.get_logger("taskapi")

_EVERY = 60.0  # seconds
# Between two batches, in seconds: about as long as one takes, so that half of the time is for
# others.
_PAUSE = 0.02
_STOPPING = 1.0  # seconds; most batches take less


class Housekeeper:
    """Runs it in a task of its own for as long as the block lasts.

    Every process has one; the core lets one of them work at a time. Without a database it tries
    again at the next minute. Leaving the block lets a batch end, and undoes one that takes long.
    """

    def __init__(self, core: Core) -> None:
        self._housekeeping = core.housekeeping
        self._due = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There is something to do."""
        self._due.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self.wake()
        await asyncio.wait({self._task}, timeout=_STOPPING)
        if self._task.cancel():
            await asyncio.wait({self._task}, timeout=_STOPPING)

    async def _run(self) -> None:
        while not self._stopping:
            self._due.clear()
            try:
                await self._sweep()
            except Unavailable:
                pass  # requests report it, and the database keeps what is left to do
            except Exception:
                log.exception("housekeeping.failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), _EVERY)

    async def _sweep(self) -> None:
        accounts = tasks = 0
        async for progress in self._housekeeping.sweep():
            removed = progress.removed
            accounts, tasks = accounts + removed.accounts, tasks + removed.tasks
            if self._stopping or not (removed.accounts or removed.tasks):  # another process works
                break
            await asyncio.sleep(_PAUSE)
        if accounts or tasks:
            log.info("housekeeping.removed", accounts=accounts, tasks=tasks)
