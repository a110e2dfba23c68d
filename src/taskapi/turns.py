"""Whose request is worked on next, when a client sends many at once."""

import asyncio
from collections import deque
from collections.abc import Hashable
from time import monotonic
from typing import NamedTuple

from taskcore.domain.origins import Origin

WIDTH = 16  # with 8 a lone client gets fewer answers a second, with 32 others wait for longer
WIDTH_ALONE = 32  # of a client while there is no other: larger batches, more answers a second
ALONE_AFTER = 2.0  # seconds without another client's request
STUCK_AFTER = 0.01  # seconds
_OF_SITE = 8  # of an IPv6 /48, which one subscriber may hold with its 65 536 networks

# An IPv4 address, an IPv6 /64 or /48; None for requests of a trusted proxy itself.
_Network = str | None
# Of one client: its own, and its site if it has one. The last is the subscriber.
_Networks = tuple[_Network, ...]


class _Waiting(NamedTuple):
    request: object
    networks: _Networks
    user: Hashable
    admission: asyncio.Future[bool]


class _Queue:
    """The waiting requests of a network, whose users take turns. It is never empty for long."""

    def __init__(self, subscriber: _Network) -> None:
        self.subscriber = subscriber
        self._of: dict[Hashable, deque[_Waiting]] = {}  # by user, the one whose turn is next first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, waiting: _Waiting) -> None:
        self._of.setdefault(waiting.user, deque()).append(waiting)
        self._count += 1

    def next(self) -> _Waiting:
        user = next(iter(self._of))
        of_user = self._of.pop(user)
        waiting = of_user.popleft()
        if of_user:
            self._of[user] = of_user  # behind the other users
        self._count -= 1
        return waiting

    def latest(self) -> _Waiting:
        """That of the user of whom most wait."""
        user, of_user = max(self._of.items(), key=lambda item: len(item[1]))
        waiting = of_user.pop()
        if not of_user:
            del self._of[user]
        self._count -= 1
        return waiting

    def discard(self, waiting: _Waiting) -> bool:
        """Whether it was still there."""
        of_user = self._of.get(waiting.user)
        if of_user is None or waiting not in of_user:
            return False
        of_user.remove(waiting)
        self._count -= 1
        if not of_user:
            del self._of[waiting.user]
        return True


class Turns:
    """At most `width` requests are worked on at a time, and one of each client in any case.

    That is WIDTH, and WIDTH_ALONE while one client is alone.

    A client is an IPv4 address or an IPv6 /64. Its first request never waits; the others of all
    clients share the `width`, and the one that begins next is that of the client that has waited
    for a turn the longest. So a client is delayed by its own requests, and by one of each other.
    Behind one address there may be many users: what waits of a client is chosen by turns of its
    users, who are told apart by what they authenticate with, whether or not that is valid.

    Without such a limit the requests of one client would take their steps in the event loop, in the
    pool of connections and in the statements before a later one of another client takes its own.

    A request that is still there after STUCK_AFTER waits for something else, such as the hash of a
    password: it passes its turn on. One in each STUCK_AFTER does, and only while others wait.

    What waits is bounded by `capacity.Places`, which counts it.
    """

    def __init__(self) -> None:
        self._width = WIDTH
        self._latest: _Network = None  # the client that came last
        self._since = monotonic()  # when it came after another
        self._at_work: dict[object, _Networks] = {}  # by request, the oldest first
        self._of: dict[_Network, int] = {}  # how many are at work; those with any
        # The client whose turn is next comes first. A client of which none waits has no entry.
        self._waiting: dict[_Network, _Queue] = {}
        self._number: dict[_Network, int] = {}  # how many wait of a subscriber; those with any
        self._ended: list[object] = []  # since the event loop's last round
        self._watch: asyncio.TimerHandle | None = None  # while requests wait

    async def take(self, request: object, client: Origin | None, user: Hashable = None) -> bool:
        """Wait for a turn. Returns False if the request was displaced; then it has none.

        `end` must follow in any case. None is a client or a user like any other.
        """
        networks = _networks(client)
        self._adapt(networks[0])
        if len(self._at_work) < self._width or self._has_none_at_work(networks):
            self._begin(request, networks)
            return True
        waiting = _Waiting(request, networks, user, asyncio.get_running_loop().create_future())
        queue = self._waiting.setdefault(networks[0], _Queue(networks[-1]))
        queue.append(waiting)
        self._count(networks, 1)
        if self._watch is None:
            self._look_later()
        try:
            return await waiting.admission
        finally:
            if queue.discard(waiting):  # it was cancelled
                self._count(networks, -1)
                if not queue:
                    del self._waiting[networks[0]]

    def _adapt(self, client: _Network) -> None:
        """Choose the width for the clients that there are."""
        now = monotonic()
        if client != self._latest:
            self._latest, self._since = client, now
        self._width = WIDTH if now - self._since < ALONE_AFTER else WIDTH_ALONE

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def step_aside(self, request: object) -> bool:
        """Pass the turn on at once. Returns False if the request has none, or none any more."""
        has_turn = request in self._at_work
        if has_turn:
            self._pass_on(request)
        return has_turn

    def end(self, request: object) -> None:
        """Pass the turn on in the next round of the event loop.

        Otherwise requests that never wait would all be done in one round, however many there are.
        """
        if request in self._at_work:
            if not self._ended:
                asyncio.get_running_loop().call_soon(self._end_round)
            self._ended.append(request)

    def _end_round(self) -> None:
        ended, self._ended = self._ended, []
        for request in ended:
            if request in self._at_work:  # else it was taken for stuck
                self._pass_on(request)

    def _pass_on(self, request: object) -> None:
        networks = self._at_work.pop(request)
        for network in networks:
            left = self._of.pop(network) - 1
            if left:
                self._of[network] = left
        if not self._waiting:
            return
        while networks[0] in self._waiting and self._has_none_at_work(networks):
            self._admit_one_of(networks[0])
        while self._waiting and len(self._at_work) < self._width:
            self._admit_one_of(next(iter(self._waiting)))

    def displace_one(self, *, more_than: int) -> bool:
        """Displace the latest waiting request of the client that has most, if those are more.

        What is at work counts too. All of an IPv6 /48 is one client here: else each of its networks
        would have a claim. Returns False if there is no such client.
        """
        most = max(
            self._number, key=lambda each: (self._all_of(each), self._number[each]), default=None
        )
        if most not in self._number or self._all_of(most) <= more_than:
            return False
        queue = max((q for q in self._waiting.values() if q.subscriber == most), key=len)
        displaced = queue.latest()
        self._count(displaced.networks, -1)
        if not queue:
            del self._waiting[displaced.networks[0]]
        if not displaced.admission.done():
            displaced.admission.set_result(False)
        return True

    def _all_of(self, subscriber: _Network) -> int:
        return self._number[subscriber] + self._of.get(subscriber, 0)

    def _count(self, networks: _Networks, more: int) -> None:
        number = self._number.get(networks[-1], 0) + more
        if number:
            self._number[networks[-1]] = number
        else:
            del self._number[networks[-1]]

    def _has_none_at_work(self, networks: _Networks) -> bool:
        return networks[0] not in self._of and self._of.get(networks[-1], 0) < _OF_SITE

    def _begin(self, request: object, networks: _Networks) -> None:
        self._at_work[request] = networks
        for network in networks:
            self._of[network] = self._of.get(network, 0) + 1

    def _admit_one_of(self, network: _Network) -> None:
        queue = self._waiting.pop(network)
        waiting = queue.next()
        self._count(waiting.networks, -1)
        if queue:
            self._waiting[network] = queue  # behind the other clients
        if not waiting.admission.done():  # else it was cancelled a moment ago
            waiting.admission.set_result(True)
            self._begin(waiting.request, waiting.networks)

    def _look_later(self) -> None:
        oldest = next(iter(self._at_work))  # requests wait only while others are at work
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(STUCK_AFTER, self._look, oldest)

    def _look(self, oldest: object) -> None:
        self._watch = None
        if self._waiting:
            if oldest in self._at_work:
                self._pass_on(oldest)
            self._look_later()


def _networks(client: Origin | None) -> _Networks:
    if client is None:
        return (None,)
    site = client.site
    return (client.network,) if site is None else (client.network, site)
