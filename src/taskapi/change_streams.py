"""The response that goes on for as long as its client follows: server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from litestar import Response
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from taskapi.request_state import request_state
from taskapi.responses import View, encode
from taskcore import Actor, ChangedTask, CursorExpired, LogPosition
from taskcore.usecases.change_followers import Follower, Followers

Item = TypeVar("Item", bound=View)

COMMENT_EVERY = 15.0  # seconds; proxies close a connection that is silent for a minute
_RETRY_MS = 3000
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),  # nginx
]


class ChangeStream(Response[Item], Generic[Item]):
    """Does not count as a running request, and holds no database connection while nothing changes.

    What waits to be sent is bounded: the next page of events is made only when the kernel has
    accepted the last. The kernel keeps 128 KiB of a connection, and resets it if its client reads
    nothing for ten seconds.

    Of all streams of one client, one at a time reads what it has missed.
    """

    def __init__(
        self,
        followers: Followers,
        actor: Actor,
        after: LogPosition | None,
        cursor: Callable[[LogPosition], str],
        views: Callable[[Sequence[ChangedTask]], Sequence[Item]],
    ) -> None:
        self._followers, self._actor, self._after = followers, actor, after
        self._cursor, self._views = cursor, views
        self.headers = {}

    def to_asgi_response(  # type: ignore[override]
        self,
        app: object,  # noqa: ARG002 - as Litestar calls it
        request: object,  # noqa: ARG002
        **_: Any,  # noqa: ANN401 - Litestar's other options
    ) -> "ChangeStream[Item]":
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooMany, Overloaded and HttpProblem before the response begins."""
        state = request_state(scope)
        async with (
            self._followers.joined(self._actor) as follower,
            state.streaming() as catching_up,
        ):
            start: HTTPResponseStartEvent = {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_HEADERS],
            }
            await send(start)
            if not state.is_head:
                events = self._events(follower, catching_up)
                await self._write_until_gone(events, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_until_gone(
        self, events: AsyncGenerator[bytes, None], receive: Receive, send: Send
    ) -> None:
        tasks = {
            asyncio.create_task(_write(events, send)),
            asyncio.create_task(_client_has_gone(receive)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _events(
        self, follower: Follower, catching_up: asyncio.Lock
    ) -> AsyncGenerator[bytes, None]:
        """Those of a page together: to send each alone takes many times as long."""
        yield f"retry: {_RETRY_MS}\n\n".encode()
        after, is_reset = self._after, False
        while True:
            told = self._followers.told(
                follower, after=after, idle=COMMENT_EVERY, catching_up=catching_up
            )
            try:
                async with aclosing(told) as pages:
                    async for items in pages:
                        if items:
                            yield self._changes(items)
                        elif after is None and follower.place:
                            after = follower.place
                            yield self._reset(after) if is_reset else self._id(after)
                        else:
                            yield b":\n\n"
            except CursorExpired:
                after, is_reset = None, True
            else:
                return

    def _changes(self, items: Sequence[ChangedTask]) -> bytes:
        views = self._views(items)
        return b"".join(
            self._event("change", item.place, view) for item, view in zip(items, views, strict=True)
        )

    def _event(self, name: str, place: LogPosition, data: object) -> bytes:
        return b"%sevent: %s\ndata: %s\n\n" % (self._id(place)[:-1], name.encode(), encode(data))

    def _reset(self, place: LogPosition) -> bytes:
        return self._event("reset", place, {"cursor": self._cursor(place)})

    def _id(self, place: LogPosition) -> bytes:
        """Sent alone, it raises no event in the client, which only notes where to read on."""
        return f"id: {self._cursor(place)}\n\n".encode()


async def _write(events: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(events):
        async for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})


async def _client_has_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
