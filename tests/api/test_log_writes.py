"""How log lines are written."""

import asyncio
import io
from select import PIPE_BUF
from typing import Any, BinaryIO, cast

import pytest

from taskapi.logs import Lines

pytestmark = pytest.mark.anyio


class Writes(io.RawIOBase):
    """Records every write to the operating system."""

    def __init__(self) -> None:
        self.done: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.done.append(bytes(data))
        return len(data)


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def log(writes: Writes) -> Lines:
    return Lines(cast(BinaryIO, io.BufferedWriter(writes)))


def line(number: int) -> bytes:
    return b"%d %s" % (number, b"x" * 100)


def numbers(writes: list[bytes]) -> list[int]:
    return [int(text.split()[0]) for text in b"".join(writes).splitlines()]


async def test_lines_of_one_loop_turn_are_written_together_whole_and_in_order(
    log: Lines, writes: Writes
) -> None:
    for turn in range(2):
        for number in range(100):
            log.info(line(number))
        assert writes.done == []
        await asyncio.sleep(0)
        assert numbers(writes.done) == [*range(100)], turn
        assert 2 <= len(writes.done) <= 4
        assert all(len(write) <= PIPE_BUF and write.endswith(b"\n") for write in writes.done)
        writes.done.clear()


async def test_a_line_longer_than_an_atomic_pipe_write_is_written_alone(
    log: Lines, writes: Writes
) -> None:
    lines = [line(1), b"x" * PIPE_BUF, line(2)]
    for each in lines:
        log.info(each)
    await asyncio.sleep(0)
    assert writes.done == [each + b"\n" for each in lines]


async def test_a_warning_is_written_at_once_after_all_earlier_lines(
    log: Lines, writes: Writes
) -> None:
    log.info(line(0))
    log.warning(line(1))
    assert numbers(writes.done) == [0, 1]


def test_without_a_running_loop_a_line_is_written_at_once(log: Lines, writes: Writes) -> None:
    async def last_turn(number: int) -> None:
        asyncio.get_running_loop().stop()
        log.info(line(number))
        await asyncio.Event().wait()

    log.info(line(0))
    assert numbers(writes.done) == [0]
    for number in (1, 2):  # lines that a loop queued and stopped before writing
        loop = asyncio.new_event_loop()
        task = loop.create_task(last_turn(number))
        loop.run_forever()
        task.cancel()
        loop.close()
    log.info(line(3))
    assert numbers(writes.done) == [0, 1, 2, 3]
