"""A log stream that never blocks: it drops lines that cannot be written, and counts them.

Imports only the standard library, because `taskcli serve` imports it before the application.
"""

import io
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NEWLINE = ord("\n")


class LossyFile(io.FileIO):
    """Drops what cannot be written now: the disk is full, or the reader too slow.

    Serving goes on. Otherwise every request would wait for a reader that is stuck, and no worker
    could be started, because a fork flushes the streams first.

    When there is no room for part of a write, the rest of that write is dropped. A line that is
    cut counts as lost. Each process has a count of its own, and keeps no lines. Once there is room
    again, it first writes the line that `report(count)` returns. Until `report` is set, it only
    counts.
    """

    report: Callable[[int], bytes] | None = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._lost = 0
        # pid of the process that counted: a forked child inherits a count that is not its own
        self._lost_by = 0
        self._is_torn = False  # the last line written lacks its end

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data)
        if self._lost and self._lost_by != os.getpid():
            self._lost = 0
        if self._lost and not self._reported():
            return self._drop(bytes(view))
        written = self._put(view)
        if not written:
            return self._drop(bytes(view))
        # Only part of a long line is written, or of any line on a disk that has just become full.
        self._is_torn = written < len(view) and view[written - 1] != _NEWLINE
        return written

    def _put(self, view: memoryview) -> int:
        try:
            # A pipe that polls as writable takes at least PIPE_BUF bytes.
            return super().write(view[: select.PIPE_BUF]) or 0 if self._room.poll(0) else 0
        except OSError:
            return 0

    def _drop(self, content: bytes) -> int:
        self._lost += content.count(b"\n") or 1
        self._lost_by = os.getpid()
        return len(content)

    def _reported(self) -> bool:
        """Try to write the report of the losses. True if the next line may be tried.

        It may if the report is written, or if none is set yet.
        """
        if self.report is None:
            return True
        if not self._room.poll(0):
            return False
        line = (b"\n" if self._is_torn else b"") + self.report(self._lost)
        written = self._put(memoryview(line))
        if written < len(line):
            self._is_torn = self._is_torn or written > 0
            return False
        self._lost, self._is_torn = 0, False
        return True


def lossy(stream: TextIO | None) -> TextIO:
    """A stream to the same place that drops what it cannot write.

    A stream to /dev/null if `stream` is None, because it was closed when Python started.
    """
    if stream is None:
        # Opening /dev/null takes the free descriptor. Otherwise a socket would get it, and with it
        # whatever is still written to that number.
        descriptor, encoding = os.open(os.devnull, os.O_WRONLY), "utf-8"
    elif _file(stream):
        return stream
    else:
        descriptor, encoding = stream.fileno(), stream.encoding
    buffered = io.BufferedWriter(LossyFile(descriptor))
    return io.TextIOWrapper(buffered, encoding, "backslashreplace", line_buffering=True)


def report_losses(stream: TextIO, report: Callable[[int], bytes]) -> None:
    """Have a lossy stream write the line that `report(count)` returns after it lost lines."""
    if file := _file(stream):
        file.report = report


def _file(stream: TextIO) -> LossyFile | None:
    raw = getattr(stream.buffer, "raw", None)
    return raw if isinstance(raw, LossyFile) else None
