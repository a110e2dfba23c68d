"""The event loop that an adapter belongs to."""

from _thread import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class HomeLoop:
    """The first event loop in which its owner is used.

    Futures are woken in the loop that made them, so that a call from another loop could wait for
    ever.
    """

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._thread: int | None = None

    def check(self) -> None:
        """Raises RuntimeError in any loop but the first. Takes less than half a microsecond."""
        # Of one thread, one loop runs at a time. Asking asyncio for it is a call of the kernel
        # before Python 3.12.
        if get_ident() != self._thread or not (self._loop and self._loop.is_running()):
            self._enter()

    def is_over(self) -> bool:
        """Whether its loop is closed: nothing waits there any more."""
        return self._loop is not None and self._loop.is_closed()

    def _enter(self) -> None:
        import asyncio  # noqa: PLC0415 - `import taskcore` would take twice as long with it

        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise RuntimeError(
                "this core belongs to another event loop: open one in each loop,"
                " or use taskcore.blocking, which any thread may call"
            )
        self._loop, self._thread = loop, get_ident()
