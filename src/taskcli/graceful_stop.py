"""How a running server stops: it drains for DRAIN_SECONDS, then its requests finish."""

import signal
from collections.abc import Callable
from importlib import import_module
from queue import SimpleQueue

# Seconds that running requests get to finish, after the drain (DRAIN_SECONDS). A deployment must
# wait for longer than both before it kills the server: docs/deployment.md.
REQUESTS_FINISH_WITHIN = 25


class GracefulStop:
    """Stops the server some seconds after the first SIGTERM, which proxies use to go elsewhere.

    Any other signal, or a second one, stops it at once.
    """

    def __init__(self, stop: Callable[..., None], seconds: float) -> None:
        self._stop, self._seconds = stop, seconds

    def on_signal(self, number: int, frame: object) -> None:
        """A signal handler."""
        if number == signal.SIGTERM and self._seconds:
            import_module("taskapi.drain_flag").begin()
            signal.signal(signal.SIGALRM, self.on_signal)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
            self._seconds = 0
        else:
            self._stop(number, frame)


class Wakeup:
    """The part of `threading.Event` that the server's main loop uses; signal handlers set it.

    An Event has a lock that is not reentrant. A handler that calls `set` while the loop it
    interrupts holds that lock, at the beginning or the end of `wait`, would wait for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._bell: SimpleQueue[None] = SimpleQueue()  # whose `put` is reentrant

    def set(self) -> None:
        self._is_set = True
        self._bell.put(None)

    def clear(self) -> None:
        self._is_set = False

    def wait(self) -> None:
        while not self._is_set:
            self._bell.get()
