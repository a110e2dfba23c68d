"""Clients that keep a server busy and record every response, and a check of those records."""

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
    """A request, and its response if there was one."""

    title: str
    started: float
    ended: float
    answer: Answer | None

    @property
    def status(self) -> int:
        return self.answer.status if self.answer else 0


class Load:
    """Threads that each send one request after the other until the block ends."""

    def __init__(
        self,
        api: Api,
        token: str,
        request: Callable[[Client, str], Answer],
        *,
        threads: int = 4,
        reconnect: bool = False,
        pause: float = 0,
    ) -> None:
        self._api, self._token, self._request = api, token, request
        self._reconnect, self._pause = reconnect, pause
        self._stopping = threading.Event()
        self._exchanges: list[list[Exchange]] = [[] for _ in range(threads)]
        self._threads = [threading.Thread(target=self._run, args=[n]) for n in range(threads)]

    @property
    def threads(self) -> list[list[Exchange]]:
        return self._exchanges

    @property
    def exchanges(self) -> list[Exchange]:
        return sorted(
            (e for exchanges in self._exchanges for e in exchanges), key=lambda e: e.started
        )

    def since(self, moment: float) -> list[Exchange]:
        return [e for e in self.exchanges if e.started >= moment]

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, number: int) -> None:
        with self._api.client(token=self._token) as client:
            turn = 0
            while not self._stopping.is_set():
                turn += 1
                title, started = f"{number}-{turn}", time.monotonic()
                try:
                    answer = self._send(client, title)
                except (OSError, http.client.HTTPException):
                    answer = None
                self._exchanges[number].append(Exchange(title, started, time.monotonic(), answer))
                self._stopping.wait(self._pause if answer else max(self._pause, 0.01))

    def _send(self, client: Client, title: str) -> Answer:
        if not self._reconnect:
            return self._request(client, title)
        with self._api.client(token=self._token) as new_client:
            return self._request(new_client, title)


def create_task(client: Client, title: str) -> Answer:
    return client.call("POST", "/api/v1/tasks", {"title": title})


def list_tasks(client: Client, _: str) -> Answer:
    return client.call("GET", "/api/v1/tasks?limit=5")


def read_self(client: Client, _: str) -> Answer:
    return client.call("GET", "/api/v1/auth/me")


def stored_tasks(api: Api, token: str) -> list[tuple[int, str]]:
    """Every task's id and title, by ascending id."""
    tasks: list[tuple[int, str]] = []
    with api.client(token=token) as client:
        while True:
            answer = client.call("GET", f"/api/v1/tasks?limit=100&skip={len(tasks)}")
            assert answer.status == 200, answer
            items = answer.json["items"]
            tasks += [(item["id"], item["title"]) for item in items]
            if not items:
                return sorted(tasks)


def violations(threads: list[list[Exchange]], stored: list[tuple[int, str]]) -> list[str]:
    """Where the stored tasks contradict the responses that the creating threads received."""
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
    may_exist = {e.title for exchanges in threads for e in exchanges if not e.answer or ok(e)}
    found += [
        f"never requested, or refused: {title}" for title in counted if title not in may_exist
    ]
    return found


def ok(exchange: Exchange) -> bool:
    return exchange.status in (200, 201)
