"""What a worker writes to its sheet: each request at its end, and other numbers every second."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from taskapi.metrics.series import BOUNDS, COUNTERS
from taskapi.metrics.sheets import Sheet
from taskcore import Core, Unavailable
from taskcore.ports import Estimated, Measured, Measures

log = structlog.get_logger("taskapi")

_EVERY = 1.0  # seconds
_ESTIMATES_EVERY = 60.0  # seconds
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Recorder:
    """Writes to a sheet that no other process writes to. Memory: a row for each route and status.

    The labels are bounded: no path that a client made up is one, and of methods only the known.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet, self._cells = sheet, sheet.cells
        self._requests: dict[tuple[str, str, int], int] = {}
        self._published: dict[str, int] = {}
        # What earlier workers have counted on this sheet; this one begins at 0.
        self._before = {name: cells[0] for name, cells in sheet.rows() if _counts(name)}
        for name, _ in sheet.rows():
            if name.startswith("=") and not _counts(name):
                self._cells[sheet.row(name)] = 0.0  # what the one before had at its end
        self.publish({"worker_starts": 1})

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one. Takes half a microsecond."""
        row = self._requests.get((route, method, status))
        if row is None:
            row = self._row(method, route, status)
        cells = self._cells
        cells[row] += seconds
        cells[row + 1 + bisect_left(BOUNDS, seconds)] += 1.0

    def _row(self, method: str, route: str, status: int) -> int:
        if method not in _METHODS:
            method = "other"  # one row for all that clients may invent
        key = (route, method, status)
        row = self._requests.get(key)
        if row is None:
            row = self._requests[key] = self._sheet.row(f"{method} {status} {route}")
        return row

    def publish(self, measures: Measures) -> None:
        """Write what other parts of the process count, by name, or `name:label`."""
        for name, value in measures.items():
            row = self._published.get(name)
            if row is None:
                row = self._published[name] = self._sheet.row(f"={name}")
            self._cells[row] = value + self._before.get(f"={name}", 0.0)
        self._sheet.touch()

    @asynccontextmanager
    async def publishing(self, core: Core, parts: Sequence[Measured]) -> AsyncIterator[None]:
        """Publish until the block ends: what is measured every second, estimates every minute."""

        def measures() -> Measures:
            found: dict[str, float] = {
                "cpu_seconds": time.process_time(),
                "stream_clients": core.changes.followers.count,
            }
            for part in (*parts, core.store, core.accounts.hasher):
                if isinstance(part, Measured):
                    found.update(part.measures())
            return found

        tasks = [asyncio.create_task(self._publish_measures(measures))]
        if isinstance(core.store, Estimated):
            tasks.append(asyncio.create_task(self._publish_estimates(core.store)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.publish(measures())
            self._sheet.retire()

    async def _publish_measures(self, measures: Callable[[], Measures]) -> None:
        while True:
            self.publish(measures())
            await asyncio.sleep(_EVERY)

    async def _publish_estimates(self, store: Estimated) -> None:
        while True:
            try:
                with suppress(Unavailable):  # which requests report
                    self.publish(await store.estimates())
            except Exception:
                log.exception("metrics.failed")
            await asyncio.sleep(_ESTIMATES_EVERY)


def _counts(name: str) -> bool:
    """Whether the row is that of a published counter."""
    return name.startswith("=") and name[1:].partition(":")[0] in COUNTERS
