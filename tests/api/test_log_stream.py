"""Lines that cannot be written are dropped, counted, and told when there is room again."""

import fcntl
import io
import json
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskapi.log_stream import lossy, report_losses
from taskapi.logs import line_of_losses

LINE = b'{"event":"request","text":"%s"}\n' % (b"x" * 100)
LONG = b'{"event":"%s"}\n' % (b"y" * 30_000)


@dataclass
class Log:
    """A lossy stream to a descriptor that can be made to lead elsewhere."""

    stream: TextIO
    descriptor: int

    def write(self, data: bytes) -> None:
        self.stream.buffer.write(data)
        self.stream.buffer.flush()

    def lead_to(self, place: int) -> None:
        os.dup2(place, self.descriptor)


@contextmanager
def a_log(place: int, style: str | None = "json") -> Iterator[Log]:
    descriptor = os.dup(place)
    with io.TextIOWrapper(io.FileIO(descriptor, "wb", closefd=False), "utf-8") as opened:
        stream = lossy(opened)
    if style:
        report_losses(stream, line_of_losses(style))
    yield Log(stream, descriptor)
    os.close(descriptor)


@contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 8192)
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def full() -> Iterator[int]:
    """A disk that is full."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


def content(descriptor: int) -> bytes:
    return os.pread(descriptor, 1 << 20, 0)


def events(text: bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_lost_on_a_full_disk_are_told_once_when_there_is_room(full: int, file: int) -> None:
    """LG-7: as a warning, before the first line that can be written, with their number."""
    with a_log(full) as log:
        for _ in range(41):
            log.write(LINE * 3)
        log.lead_to(file)
        log.write(LINE)
        log.write(LINE)
    report, *others = events(content(file))
    assert report.pop("timestamp")
    assert report == {"event": "log.lines_lost", "lines": 123, "level": "warning"}
    assert others == [json.loads(LINE)] * 2


def test_the_line_on_a_terminal_tells_it_too(full: int, file: int) -> None:
    with a_log(full, "console") as log:
        log.write(LINE)
        log.lead_to(file)
        log.write(LINE)
    report, _ = content(file).splitlines()
    assert report.split()[1:] == [b"[warning", b"]", b"log.lines_lost", b"lines=1"]


def test_lines_lost_before_the_application_is_loaded_are_told_later(full: int, file: int) -> None:
    with a_log(full, None) as log:
        log.write(LINE)
        log.lead_to(file)
        log.write(LINE)
        report_losses(log.stream, line_of_losses("json"))
        log.write(LINE)
    assert [event.get("lines") for event in events(content(file))] == [None, 1, None]


def test_a_forked_process_does_not_tell_what_its_parent_lost(
    full: int, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_log(full) as log:
        log.write(LINE)
        log.lead_to(file)
        monkeypatch.setattr(os, "getpid", lambda: -1)  # as in the child
        log.write(LINE)
    assert content(file) == LINE


def test_a_line_that_was_written_in_part_ends_before_the_next() -> None:
    with a_pipe() as (reader, writer), a_log(writer) as log:
        log.write(LONG)
        log.write(LONG)
        part = os.read(reader, 1 << 20)
        log.write(LINE)
        end, report, line = os.read(reader, 1 << 20).splitlines()
    assert LONG.startswith(part)
    assert (end, json.loads(report)["lines"]) == (b"", 2)
    assert line + b"\n" == LINE


SIZES = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 12_000)), min_size=1, max_size=8)


@given(st.lists(st.tuples(SIZES, st.sampled_from([0, 1, 4096, 8192])), max_size=12))
def test_every_line_is_written_whole_or_counted(turns: list[tuple[list[int], int]]) -> None:
    """LG-7: lines of every length, into a pipe whose reader is slow or stands still."""
    written, received = 0, b""
    with a_pipe() as (reader, writer), a_log(writer) as log:
        for sizes, read in [*turns, ([], 1 << 20), ([0], 1 << 20)]:
            log.write(b"".join(b"<%s>\n" % (b"x" * size) for size in sizes))
            written += len(sizes)
            if read and has_data(reader):
                received += os.read(reader, read)
    lines = received.split(b"\n")
    assert lines.pop() == b""
    told = sum(json.loads(line)["lines"] for line in lines if line.startswith(b"{"))
    assert told + sum(line[:1] == b"<" and line[-1:] == b">" for line in lines) == written


def has_data(reader: int) -> bool:
    return bool(select.select([reader], [], [], 0)[0])
