"""Clients that create tasks with an `Idempotency-Key` until each is acknowledged, and the count."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from typing import Self
from uuid import uuid4

from tests.server.running import Api, Client

_PAUSE, _RETRY = 0.02, 0.1  # seconds: after a success, and before the next attempt
_GIVES_UP = 30.0  # seconds after the end


@dataclass(frozen=True)
class Acknowledged:
    at: float
    server: int
    task_id: int
    title: str
    is_replay: bool


@dataclass(frozen=True)
class Row:
    task_id: int
    title: str


class Writers:
    """Two for each server. A request that fails is sent to the next server, as a proxy would."""

    def __init__(self, apis: Sequence[Api], *, each: int = 2) -> None:
        self._ports = [api.port for api in apis]
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._run = uuid4().hex[:8]
        homes = [home for home in range(len(apis)) for _ in range(each)]
        tokens = [apis[home].register() for home in homes]
        self._threads = [
            threading.Thread(target=self._work, args=(number, home, tokens[number]))
            for number, home in enumerate(homes)
        ]
        self.acknowledged: list[Acknowledged] = []
        self.failures: Counter[str] = Counter()
        self.slowest = 0.0
        self.unfinished: set[str] = set()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Each finishes its task."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._ended = time.monotonic()

    def _work(self, number: int, home: int, token: str) -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(port, token=token)) for port in self._ports]
            created = 0
            while not self._is_over.wait(_PAUSE):
                created += 1
                title = f"{self._run} {number} {created}"
                if not self._create(clients, home, title):
                    with self._lock:
                        self.unfinished.add(title)

    def _create(self, clients: Sequence[Client], home: int, title: str) -> bool:
        server, key = home, {"Idempotency-Key": uuid4().hex}
        give_up = float("inf")
        while time.monotonic() < give_up:
            if self._is_over.is_set():
                give_up = min(give_up, time.monotonic() + _GIVES_UP)
            began, failure = time.monotonic(), ""
            try:
                answer = clients[server].call(
                    "POST", "/api/v1/tasks", {"title": title}, headers=key
                )
                if answer.status == 201:
                    self._acknowledge(server, began, title, answer.json["id"], answer.headers)
                    return True
                code = answer.json.get("code", "") if answer.body else ""
                failure = f"{answer.status} {code}"
            except (OSError, HTTPException) as error:
                failure = type(error).__name__
            with self._lock:
                self.failures[failure] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
            server = (server + 1) % len(clients)
            time.sleep(_RETRY)
        return False

    def _acknowledge(
        self, server: int, began: float, title: str, task_id: int, headers: dict[str, str]
    ) -> None:
        now = time.monotonic()
        is_replay = "idempotency-replayed" in headers
        with self._lock:
            self.slowest = max(self.slowest, now - began)
            self.acknowledged.append(Acknowledged(now, server, task_id, title, is_replay))

    def gaps(self, servers: int) -> list[float]:
        """The longest time without a success, of all, and of each server."""
        of_all = [each.at for each in self.acknowledged]
        of_one = [
            [each.at for each in self.acknowledged if each.server == server]
            for server in range(servers)
        ]
        return [
            max(late - early for early, late in pairwise([self._began, *sorted(at), self._ended]))
            for at in (of_all, *of_one)
        ]

    def verdict(self, rows: Iterable[Row]) -> "Verdict":
        """What the rows of the database say of what was acknowledged."""
        stored: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            if row.title.startswith(self._run):
                stored[row.title].append(row.task_id)
        return Verdict(
            len(self.acknowledged),
            sum(each.task_id not in stored[each.title] for each in self.acknowledged),
            sum(len(ids) > 1 for ids in stored.values()),
            len(stored.keys() - {each.title for each in self.acknowledged} - self.unfinished),
            sum(each.is_replay for each in self.acknowledged),
        )


@dataclass(frozen=True)
class Verdict:
    acknowledged: int
    lost: int
    doubled: int
    unknown: int
    """Tasks that no client has asked for, or was told of: none, since each retries to the end."""
    replays: int
    """Retries that found their work done. Without keys these would be doubled."""
