"""The response that goes on for as long as its client follows: server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from litestar import Response
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from taskapi.request_state import request_state
from taskapi.responses import View, encode
from taskcore import Actor, ChangedTask, CursorExpired, LogPosition
from taskcore.usecases.followers import Follower, Followers

Item = TypeVar("Item", bound=View)

_COMMENT_EVERY = 15.0  # seconds; proxies close a connection that is silent for a minute
_RETRY_MS = 3000
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),  # nginx
]


class ChangeStream(Response[Item], Generic[Item]):
    """Does not count as a running request, and holds no database connection while nothing changes.

    What waits to be sent is bounded: the next event is made only when the kernel has accepted the
    last. The kernel keeps 128 KiB of a connection, and resets it if its client reads nothing for
    ten seconds.
    """

    def __init__(
        self,
        followers: Followers,
        actor: Actor,
        after: LogPosition | None,
        cursor: Callable[[LogPosition], str],
        view: Callable[[ChangedTask], Item],
    ) -> None:
        self._followers, self._actor, self._after = followers, actor, after
        self._cursor, self._view = cursor, view
        self.headers = {}

    def to_asgi_response(  # type: ignore[override]
        self,
        app: object,  # noqa: ARG002 - as Litestar calls it
        request: object,  # noqa: ARG002
        **_: Any,  # noqa: ANN401 - Litestar's other options
    ) -> "ChangeStream[Item]":
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooMany and Overloaded before the response begins."""
        state = request_state(scope)
        async with self._followers.joined(self._actor) as follower:
            state.release()
            start: HTTPResponseStartEvent = {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_HEADERS],
            }
            await send(start)
            if not state.is_head:
                await self._write_until_gone(follower, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_until_gone(self, follower: Follower, receive: Receive, send: Send) -> None:
        tasks = {
            asyncio.create_task(self._write(follower, send)),
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

    async def _write(self, follower: Follower, send: Send) -> None:
        async with aclosing(self._events(follower)) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})

    async def _events(self, follower: Follower) -> AsyncGenerator[bytes, None]:
        yield f"retry: {_RETRY_MS}\n\n".encode()
        after, is_reset = self._after, False
        while True:
            told = self._followers.told(follower, after=after, idle=_COMMENT_EVERY)
            try:
                async with aclosing(told) as items:
                    async for item in items:
                        if item is not None:
                            yield self._event("change", item.place, self._view(item))
                        elif after is None and follower.place:
                            after = follower.place
                            yield self._reset(after) if is_reset else self._id(after)
                        else:
                            yield b":\n\n"
            except CursorExpired:
                after, is_reset = None, True
            else:
                return

    def _event(self, name: str, place: LogPosition, data: object) -> bytes:
        return b"%sevent: %s\ndata: %s\n\n" % (self._id(place)[:-1], name.encode(), encode(data))

    def _reset(self, place: LogPosition) -> bytes:
        return self._event("reset", place, {"cursor": self._cursor(place)})

    def _id(self, place: LogPosition) -> bytes:
        """Sent alone, it raises no event in the client, which only notes where to read on."""
        return f"id: {self._cursor(place)}\n\n".encode()


async def _client_has_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
