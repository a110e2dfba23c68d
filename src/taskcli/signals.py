"""SIGINT, SIGTERM and SIGHUP end a command, and never raise.

An exception out of a signal handler can strike inside an import, or between taking a lock and
releasing it, and the lock then stays taken. So a signal does one of two things: it cancels the
task of a running event loop, or, where none runs and nothing needs closing, it ends the process.
"""

import os
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")
Handler = Callable[[int, FrameType | None], None]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds for what a cancelled command still has to close. What takes longer is left as it is: the
# database undoes a transaction whose connection ends, and the embedded one stops by itself.
_CLOSING = 1.5


def end_at_once() -> None:
    """From now on a signal ends this process, except within `run`. Ignored signals stay ignored."""
    _handle(_end)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Like `asyncio.run`, but a signal cancels the coroutine and then ends the process.

    A second signal does not wait for the coroutine.
    """
    import asyncio  # noqa: PLC0415 - it takes as long as all of `--help`

    received: list[int] = []

    async def cancellable() -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(coroutine)

        def cancel(number: int, _: FrameType | None) -> None:
            if received:
                _end(number)
            received.append(number)
            signal.signal(signal.SIGALRM, lambda *_: _end(number))
            signal.setitimer(signal.ITIMER_REAL, _CLOSING)
            loop.call_soon_threadsafe(task.cancel)

        replaced = _handle(cancel)
        try:
            return await task
        finally:
            for number, before in replaced.items():
                signal.signal(number, before)

    try:
        result = asyncio.run(cancellable())
    except BaseException:
        if received:  # whatever failed, failed because of the signal
            _end(received[0])
        raise
    if received:  # the coroutine had finished already
        signal.setitimer(signal.ITIMER_REAL, 0)
    return result


def _end(number: int, _: FrameType | None = None) -> NoReturn:
    # At once: on a busy machine the interpreter's own shutdown takes seconds.
    os._exit(128 + number)


def _handle(handler: Handler) -> dict[signal.Signals, Any]:
    """Returns the handlers that it replaced. Under `nohup` SIGHUP is ignored, and stays so."""
    return {
        number: signal.signal(number, handler)
        for number in _ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
