"""How long a request may wait for the store, in all that it asks of it."""

import math
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class TimeBudget:
    """Seconds that are left. Each wait for the store takes its time from them.

    Other work, such as the hash of a password, takes nothing: it has bounds of its own.
    """

    __slots__ = ("client", "gone", "left")

    def __init__(
        self,
        seconds: float,
        client: Hashable = None,
        gone: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        self.left = seconds
        self.client = client
        """Whose request it is. Clients take turns at what there are few of."""
        self.gone = gone
        """Waits until the client has left: the hash of a password then need not be made."""


BUDGET: ContextVar[TimeBudget] = ContextVar(
    "taskcore_budget",
    default=TimeBudget(math.inf),  # noqa: B039 - what is taken from infinity leaves it as it is
)
"""That of the request which is served. Without one only each call of the store is bounded."""


@contextmanager
def time_budget(seconds: float, client: Hashable = None) -> Iterator[None]:
    """What the block asks of the store waits for so many seconds in all.

    Clients take turns at what the store has few of, such as connections. After the time the block
    raises Unavailable; OutcomeUnknown if a change was sent that may have been made.
    """
    before = BUDGET.set(TimeBudget(seconds, client))
    try:
        yield
    finally:
        BUDGET.reset(before)
