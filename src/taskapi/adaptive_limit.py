"""How many requests this process holds at a time, by how late its event loop is."""

import asyncio
from collections.abc import Callable

from taskapi.client_connections import PER_CLIENT

LEAST = PER_CLIENT  # requests; so a client that is alone is not refused for this
LATE = 0.06  # seconds; a request takes some eight rounds of the event loop, so half a second then
_PERIOD = 0.05  # seconds
_STEP = 4  # requests


class AdaptiveLimit:
    """`most` requests, and a quarter fewer each time that the event loop is late, down to LEAST.

    While it is on time it is 4 more, 20 times a second. How late the loop is depends on how many
    requests want it and on how fast the machine is at this moment; it does not depend on those that
    wait for the database or for the hash of a password.
    """

    def __init__(self, most: int) -> None:
        self._most = self.value = most
        self._watch: asyncio.TimerHandle | None = None

    def follow(self, held: Callable[[], int], lowered: Callable[[], None]) -> None:
        """Look at the event loop until few requests are held. `lowered` follows each reduction."""
        if self._watch is None and held() > LEAST:
            self._look_later(held, lowered)

    def _look_later(self, held: Callable[[], int], lowered: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _PERIOD
        self._watch = loop.call_at(due, self._look, due, held, lowered)

    def _look(self, due: float, held: Callable[[], int], lowered: Callable[[], None]) -> None:
        if asyncio.get_running_loop().time() - due < LATE:
            self.value = min(self._most, self.value + _STEP)
        else:
            self.value = min(self._most, max(LEAST, min(self.value, held()) * 3 // 4))
            lowered()
        self._watch = None
        if held() > LEAST or self.value < self._most:
            self._look_later(held, lowered)
