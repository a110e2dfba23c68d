"""When a server does its housekeeping: at its start, after a deletion, and every minute."""

import asyncio
from collections import Counter
from contextlib import aclosing, suppress
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
    """Runs housekeeping in a task of its own for as long as the block lasts.

    Every process has one; the core lets one of them work at a time. What fails is tried again at
    the next minute. Leaving the block lets a batch end, and undoes one that takes long.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._due = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Begin now, because there is something to do."""
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
            except Exception:
                log.exception("housekeeping.failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), _EVERY)

    async def _sweep(self) -> None:
        removed: Counter[str] = Counter()
        postponed: dict[str, Unavailable] = {}
        async with aclosing(self._core.housekeeping.sweep()) as steps:
            async for step in steps:
                removed.update(step.removed)
                if isinstance(step.error, Unavailable):
                    postponed[step.kind] = step.error
                elif step.error:
                    log.error("housekeeping.failed", kind=step.kind, exc_info=step.error)
                if self._stopping:
                    break
                await asyncio.sleep(_PAUSE)
        if any(removed.values()):
            log.info("housekeeping.removed", **+removed)
        if postponed:
            with suppress(Unavailable):  # the database is away, which requests report
                await self._core.store.check()
                for kind, error in postponed.items():
                    log.warning("housekeeping.postponed", kind=kind, reason=error.detail)
