"""Memory that the processes of a server share: a sheet of numbers for each worker.

The main process makes it before it forks the workers. A worker writes to its own sheet alone,
without a lock; the main process reads all of them.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from mmap import mmap

_CELLS = 16  # numbers of a row
_CELL_BYTES = 8
_NAME_BYTES = _CELLS * _CELL_BYTES
_ROW_BYTES = 2 * _NAME_BYTES  # a name, then its numbers
ROWS = 1024  # of a sheet; a server that has met every route and status uses about half of them
OTHERS = "others"  # the name of the row for all that no row was left for
FRESH = 5.0  # seconds; a worker publishes every second


class Sheet:
    """The rows of one worker: named, at most ROWS, and never removed."""

    def __init__(self, memory: mmap, number: int) -> None:
        self._memory = memory
        self._begin = number * ROWS * _ROW_BYTES
        self.cells = memoryview(memory).cast("d")
        # Of the first row: how many rows are used, and when the worker has published last.
        self._used = self._first_cell(0)
        self._published = self._used + 1

    def row(self, name: str) -> int:
        """The first of the row's 16 cells. Makes the row, with zeros, if there is none."""
        used = int(self.cells[self._used])
        for number, found in enumerate(self.names(), 1):
            if found == name:
                return self._first_cell(number)
        if used >= ROWS - 2 and name != OTHERS:
            return self.row(OTHERS)
        begin = self._begin + (used + 1) * _ROW_BYTES
        encoded = name.encode()[:_NAME_BYTES]
        self._memory[begin : begin + len(encoded)] = encoded
        self.cells[self._used] = used + 1  # last, because the main process reads meanwhile
        return self._first_cell(used + 1)

    def names(self) -> Iterator[str]:
        for number in range(1, int(self.cells[self._used]) + 1):
            begin = self._begin + number * _ROW_BYTES
            name = self._memory[begin : begin + _NAME_BYTES]
            yield name.rstrip(b"\0").decode(errors="replace")

    def rows(self) -> Iterator[tuple[str, Sequence[float]]]:
        for number, name in enumerate(self.names(), 1):
            cell = self._first_cell(number)
            yield name, self.cells[cell : cell + _CELLS].tolist()

    def touch(self) -> None:
        """What is published here is of now."""
        self.cells[self._published] = time.monotonic()  # the same clock in every process

    def retire(self) -> None:
        """The worker stops: its counts stay, and what it holds at the moment is gone."""
        self.cells[self._published] = 0

    @property
    def is_fresh(self) -> bool:
        """Whether its worker lives, and is not stuck."""
        published = self.cells[self._published]
        return published > 0 and time.monotonic() - published < FRESH

    def _first_cell(self, number: int) -> int:
        return (self._begin + number * _ROW_BYTES + _NAME_BYTES) // _CELL_BYTES


class Sheets:
    """As many sheets as there may be workers at a time: old ones and their successors.

    A sheet takes 256 KiB at most, of which only what is used is real memory. The kernel keeps a
    lock for each sheet, and gives it free when the worker dies, however it does.
    """

    def __init__(self, workers: int) -> None:
        self._count = 2 * workers + 2
        size = self._count * ROWS * _ROW_BYTES
        if sys.platform == "linux":
            self._file = os.memfd_create("taskcore-metrics")
        else:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        os.ftruncate(self._file, size)
        memory = mmap(self._file, size)
        self._sheets = [Sheet(memory, number) for number in range(self._count)]

    def claim(self) -> Sheet:
        """The first sheet without a living worker, for as long as this process lives.

        Its counts go on where those of a worker before it have ended. So no count goes back when a
        worker is killed, and there are not more sheets after a thousand workers than after two.
        """
        for number, sheet in enumerate(self._sheets):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:  # another worker's
                continue
            return sheet
        raise RuntimeError("there are more workers than sheets for their metrics")

    def __iter__(self) -> Iterator[Sheet]:
        return iter(self._sheets)
