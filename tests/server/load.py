"""Clients that keep a server busy and remember every answer, and what to make of them."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tests.server.running import Answer, Api, Client


@dataclass(frozen=True)
class Exchange:
    """A request, and its answer if one came."""

    title: str
    begun: float
    ended: float
    answer: Answer | None

    @property
    def status(self) -> int:
        return self.answer.status if self.answer else 0


class Load:
    """Threads that each send one request after the other, for as long as the block lasts."""

    def __init__(
        self,
        api: Api,
        token: str,
        request: Callable[[Client, str], Answer],
        *,
        threads: int = 4,
        fresh: bool = False,
        pause: float = 0,
    ) -> None:
        self._api, self._token, self._request = api, token, request
        self._fresh, self._pause = fresh, pause
        self._over = threading.Event()
        self._exchanges: list[list[Exchange]] = [[] for _ in range(threads)]
        self._threads = [threading.Thread(target=self._run, args=[n]) for n in range(threads)]

    @property
    def threads(self) -> list[list[Exchange]]:
        return self._exchanges

    @property
    def exchanges(self) -> list[Exchange]:
        return sorted((e for one in self._exchanges for e in one), key=lambda e: e.begun)

    def since(self, moment: float) -> list[Exchange]:
        return [e for e in self.exchanges if e.begun >= moment]

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, number: int) -> None:
        with self._api.client(token=self._token) as kept:
            turn = 0
            while not self._over.is_set():
                turn += 1
                title, begun = f"{number}-{turn}", time.monotonic()
                try:
                    answer = self._one(kept, title)
                except (OSError, http.client.HTTPException):
                    answer = None
                self._exchanges[number].append(Exchange(title, begun, time.monotonic(), answer))
                self._over.wait(self._pause if answer else max(self._pause, 0.01))

    def _one(self, kept: Client, title: str) -> Answer:
        if not self._fresh:
            return self._request(kept, title)
        with self._api.client(token=self._token) as client:
            return self._request(client, title)


def create_task(client: Client, title: str) -> Answer:
    return client.call("POST", "/api/v1/tasks", {"title": title})


def list_tasks(client: Client, _: str) -> Answer:
    return client.call("GET", "/api/v1/tasks?limit=5")


def read_self(client: Client, _: str) -> Answer:
    return client.call("GET", "/api/v1/auth/me")


def stored_tasks(api: Api, token: str) -> list[tuple[int, str]]:
    """Every task's id and title, in the order of ids."""
    found: list[tuple[int, str]] = []
    with api.client(token=token) as client:
        while True:
            answer = client.call("GET", f"/api/v1/tasks?limit=100&skip={len(found)}")
            assert answer.status == 200, answer
            items = answer.json["items"]
            found += [(item["id"], item["title"]) for item in items]
            if not items:
                return sorted(found)


def violations(threads: list[list[Exchange]], stored: list[tuple[int, str]]) -> list[str]:
    """What the stored tasks have against what was acknowledged to threads that created them."""
    found = []
    by_title = {title: number for number, title in stored}
    for exchanges in threads:
        acknowledged = [(e.title, e.answer.json["id"]) for e in exchanges if e.answer and ok(e)]
        for title, number in acknowledged:
            if title not in by_title:
                found.append(f"lost: {title}")
            elif by_title[title] != number:
                found.append(f"changed its id: {title}")
        ids = [number for _, number in acknowledged]
        if ids != sorted(set(ids)):
            found.append(f"ids do not ascend: {ids}")
    counted = Counter(title for _, title in stored)
    found += [f"stored {count} times: {title}" for title, count in counted.items() if count > 1]
    asked = {e.title for exchanges in threads for e in exchanges if not e.answer or ok(e)}
    found += [f"never asked for, or refused: {title}" for title in counted if title not in asked]
    return found


def ok(exchange: Exchange) -> bool:
    return exchange.status in (200, 201)
