"""How many requests this process serves at a time, and for one client.

When a client that is refused may ask again: `RETRY_AFTER` in `taskcore/domain/errors.py`.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from taskapi.adaptive_limit import AdaptiveLimit
from taskapi.body_limits import LARGEST_BODY
from taskapi.client_connections import PER_CLIENT
from taskapi.problems import HttpProblem
from taskapi.turns import Turns
from taskcore.domain.errors import RETRY_AFTER, TooMany
from taskcore.domain.origins import Origin
from taskcore.ports import Measures

# Requests of a process. A worker serves over a thousand a second, so none waits for long.
IN_FLIGHT = 256
# The most requests that are served at a time for an IPv6 /48, as one subscriber may hold all of it.
# For one network the most is PER_CLIENT, as many as it may have connections.
_PER_SITE = 192
_WAITING = 4  # requests that may wait for their body, for each that may be served
_WINDOW = 0.2  # seconds
# Bytes of large bodies (of more than MAX_BODY_BYTES) in memory: of all while each client has one,
# of all while some clients have more, and of one client.
_LARGE, _LARGE_TOGETHER, _LARGE_OF_ONE = 32 * LARGEST_BODY, 8 * LARGEST_BODY, 4 * LARGEST_BODY


def overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "Too many requests at once; try again",
        {"Retry-After": f"{RETRY_AFTER:.0f}"},
    )


class Newcomers:
    """Notices a client that sends requests on more than PER_CLIENT connections within 0.2 s.

    The connections may be closed already: `client_connections.py` sees only open ones, and late
    when many arrive at once. The numbers of their ports are kept for 0.2 s: no more than
    the requests that arrive in that time.
    """

    def __init__(self) -> None:
        self._ports: dict[str, set[int]] = {}  # of the clients' ends
        self._until = -math.inf

    def are_too_many(self, network: str, port: int) -> bool:
        now = time.monotonic()
        if now >= self._until:
            self._ports.clear()
            self._until = now + _WINDOW
        ports = self._ports.setdefault(network, set())
        ports.add(port)
        return len(ports) > PER_CLIENT


class LargeBodies:
    """Admits requests with a body of more than MAX_BODY_BYTES, to bound the memory that they take.

    Counts the bytes of their bodies; a request takes up to twenty times as much while it is served.
    The first one of each client is admitted while all have less than _LARGE; more of a client while
    it has less than _LARGE_OF_ONE, and all less than _LARGE_TOGETHER. So a few clients with many
    large bodies leave room for the first one of another client.
    """

    def __init__(self) -> None:
        self._held: dict[object, tuple[str | None, int]] = {}  # network of the client, and bytes

    def admit(self, request: object, client: Origin | None, size: int) -> bool:
        """`size` is what the whole body has at most."""
        if request in self._held:
            return True
        network = client.network if client else None
        total = size + sum(each for _, each in self._held.values())
        of_client = sum(each for whose, each in self._held.values() if whose == network)
        is_first = network is None or not of_client
        if total > _LARGE or not (
            is_first or (of_client + size <= _LARGE_OF_ONE and total <= _LARGE_TOGETHER)
        ):
            return False
        self._held[request] = network, size
        return True

    def release(self, request: object) -> None:
        self._held.pop(request, None)


class Shares:
    """How much each client has: at most PER_CLIENT of a network, and _PER_SITE of an IPv6 /48.

    What is remembered is bounded by what clients have. One without any has no entry.
    """

    def __init__(self) -> None:
        self._of: Counter[str | None] = Counter()  # by network and site

    def add(self, client: Origin) -> bool:
        """Whether the client may have one more. `remove` must follow in any case."""
        network, site = client.network, client.site
        self._of[network] += 1
        if site is None:
            return self._of[network] <= PER_CLIENT
        self._of[site] += 1
        return self._of[network] <= PER_CLIENT and self._of[site] <= _PER_SITE

    def remove(self, client: Origin) -> None:
        network, site = client.network, client.site
        for part in (network,) if site is None else (network, site):
            self._of[part] -= 1
            if not self._of[part]:
                del self._of[part]

    def of(self, client: Origin) -> int:
        """How much the client's subscriber has: the IPv4 address, or all of the IPv6 /48."""
        return self._of[client.subscriber]


class Streams:
    """A client may follow as many streams as it may have requests at a time.

    Its streams read what they have missed one after the other. What is remembered is bounded by the
    number of streams.
    """

    def __init__(self) -> None:
        self._shares = Shares()
        self._catching_up: WeakValueDictionary[str | None, asyncio.Lock] = WeakValueDictionary()

    @contextmanager
    def joined(self, client: Origin | None) -> Iterator[None]:
        """Counts a stream of the client while it lasts. Raises TooMany.

        A client that is None, or has no address, has no limit.
        """
        if client is None or client.network is None:
            yield
            return
        try:
            if not self._shares.add(client):
                raise TooMany("Your network follows changes as often as it may; end one of them")
            yield
        finally:
            self._shares.remove(client)

    def catching_up(self, client: Origin | None) -> asyncio.Lock:
        """The lock that a stream of the client holds while it reads what it has missed.

        The clients of an IPv6 /48 share one, and so do those without an address.
        """
        return self._catching_up.setdefault(client.subscriber if client else None, asyncio.Lock())


class Arrivals:
    """The requests that wait for their body: at most `limit`.

    When so many wait, one is refused: the latest of the client of which most wait, if those are
    more than the client of the new one has; else the new one. All of an IPv6 /48 is one client.
    What is remembered is bounded by `limit`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # What ends each wait, the latest last. A client of which none waits has no entry.
        self._of: dict[str | None, dict[asyncio.Timeout, None]] = {}
        self.count = 0

    def add(self, client: str | None, deadline: asyncio.Timeout) -> bool:
        """Whether the request may wait. If so, it must enter `deadline` at once."""
        if self.count >= self._limit and not self._displace_one(self._number(client) + 1):
            return False
        self._of.setdefault(client, {})[deadline] = None
        self.count += 1
        return True

    def remove(self, client: str | None, deadline: asyncio.Timeout) -> bool:
        """Returns False if it was displaced."""
        waiting = self._of.get(client, {})
        if deadline not in waiting:
            return False
        del waiting[deadline]
        self._forget(client)
        return True

    def _number(self, client: str | None) -> int:
        return len(self._of.get(client, ()))

    def _displace_one(self, more_than: int) -> bool:
        client = max(self._of, key=self._number, default=None)
        if self._number(client) <= more_than:
            return False
        deadline, _ = self._of[client].popitem()
        deadline.reschedule(0)  # which is over
        self._forget(client)
        return True

    def _forget(self, client: str | None) -> None:
        self.count -= 1
        if not self._of[client]:
            del self._of[client]


class Places:
    """At most `limit` requests are served at a time, and PER_CLIENT of one client.

    On a slow or busy machine fewer are, so that none waits for long (`AdaptiveLimit`).

    Requests that wait for a turn count too. When all places are taken, one request is refused at
    once: the new one if its client has no place left; else the last that waits of the client that
    has the most, if those are more than the new one's client has; else the new one. Here all of an
    IPv6 /48 is one client.

    A request that waits for its body leaves its place: otherwise clients that never finish could
    take all. Once the body is there, it needs a place as a new request does. At most four times
    `limit` requests wait so (`Arrivals`). Their bodies have at most MAX_BODY_BYTES,
    except those that `large` admits.
    """

    def __init__(self, limit: int) -> None:
        self.turns = Turns()
        self.large = LargeBodies()
        self.streams = Streams()
        self._limit = limit
        self._now = AdaptiveLimit(limit)
        self._arrivals = Arrivals(limit * _WAITING)
        self._served = 0
        self.refused = 0
        self._shares = Shares()

    def enter(self, client: Origin | None) -> bool:
        """Whether the request may be served. `leave` must follow in any case.

        None is a client without a limit of its own.
        """
        self._served += 1
        self._now.follow(self._held, self._shed)
        return (client is None or self._shares.add(client)) and self._has_room(client)

    def _has_room(self, client: Origin | None) -> bool:
        """Whether a place is left for a request that was just counted, or is made for it."""
        return self._served <= self._now.value or (
            client is not None and self.turns.displace_one(more_than=self._shares.of(client))
        )

    def leave(self, client: Origin | None) -> None:
        self._served -= 1
        if client is not None:
            self._shares.remove(client)

    def _held(self) -> int:
        return self._served

    def _shed(self) -> None:
        """Refuse requests that wait for a turn, until no more are left than the limit is now."""
        excess = self._served - self._now.value
        while excess > 0 and self.turns.displace_one(more_than=0):
            excess -= 1

    @property
    def are_free(self) -> bool:
        """Whether no request is being served."""
        return not self._served

    def refusal(self) -> HttpProblem:
        """Returns the error to raise, and counts it: call once for each request that is refused."""
        self.refused += 1
        return overloaded()

    def measures(self) -> Measures:
        waiting = self.turns.waiting
        return {
            "requests_active:served": self._served - waiting,
            "requests_active:waiting for a turn": waiting,
            "requests_active:waiting for its body": self._arrivals.count,
            "refused:overload": self.refused,
            "requests_at_most": self._now.value,
        }

    @contextmanager
    def arriving(self, client: Origin | None, deadline: asyncio.Timeout) -> Iterator[None]:
        """Gives up the place of the request while it waits for its body, until `deadline`.

        Raises a `refusal`: on entry if too many wait for theirs, on exit if no place is free and
        none is made, or if the wait was ended for another request.
        """
        subscriber = client.subscriber if client else None
        if not self._arrivals.add(subscriber, deadline):
            raise self.refusal()
        self._served -= 1
        try:
            yield
        except HttpProblem:
            if self._arrivals.remove(subscriber, deadline):
                raise
            raise self.refusal() from None
        finally:
            self._served += 1
            self._arrivals.remove(subscriber, deadline)
        if not self._has_room(client):
            raise self.refusal()
