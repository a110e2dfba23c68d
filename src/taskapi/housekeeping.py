"""When a server does its housekeeping: at its start, after a deletion, and every minute."""

import asyncio
import time
from collections import Counter
from contextlib import aclosing, suppress
from typing import Self

import structlog

from taskapi.free_memory import give_back
from taskcore import Core, Unavailable
from taskcore.ports import Measures

log = structlog.get_logger("taskapi")

_EVERY = 60.0  # seconds
# Seconds between two batches: about as long as a batch takes, so that the database is free for
# requests half of the time.
_PAUSE = 0.02
_STOPPING = 1.0  # seconds that a batch has to end when the server stops; most take less


class Housekeeper:
    """Runs housekeeping in a task of its own for as long as the block lasts.

    Every process has one; the core lets one process work at a time. Work that fails is tried again
    a minute later. Each process gives back its own free memory. Leaving the block waits for the
    running batch, and cancels one that takes long, which undoes it.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._due = asyncio.Event()
        self._stopping = False
        self._removed: Counter[str] = (
            Counter()
        )  # since the start, by kind; there are a few fixed kinds
        self._failures = 0
        self._succeeded_at = 0.0

    def wake(self) -> None:
        """Begin now, because there is something to do."""
        self._due.set()

    def measures(self) -> Measures:
        removed = {f"housekeeping_removed:{kind}": n for kind, n in self._removed.items()}
        return {
            **removed,
            "housekeeping_failures": self._failures,
            "housekeeping_last_success_timestamp_seconds": self._succeeded_at,
        }

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
                self._failures += 1
                log.exception("housekeeping.failed")
            await asyncio.to_thread(give_back)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), _EVERY)

    async def _sweep(self) -> None:
        removed: Counter[str] = Counter()
        postponed: dict[str, Unavailable] = {}
        has_failed = False
        async with aclosing(self._core.housekeeping.sweep()) as steps:
            async for step in steps:
                removed.update(step.removed)
                has_failed |= step.error is not None
                if isinstance(step.error, Unavailable):
                    postponed[step.kind] = step.error
                elif step.error:
                    log.error("housekeeping.failed", kind=step.kind, exc_info=step.error)
                if self._stopping:
                    break
                await asyncio.sleep(_PAUSE)
        self._removed.update(removed)
        if has_failed:
            self._failures += 1
        elif not self._stopping:
            self._succeeded_at = time.time()
        if any(removed.values()):
            log.info("housekeeping.removed", **+removed)
        if postponed:
            with suppress(Unavailable):  # the database is away: requests report that
                await self._core.store.check()
                for kind, error in postponed.items():
                    log.warning("housekeeping.postponed", kind=kind, reason=error.detail)
