"""A client of streams over ASGI. httpx's transport returns a response only when it has ended."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar

from tests.api.people import V1, Person

WITHIN = 5  # seconds; what is waited for happens within a moment, or not at all


@dataclass(frozen=True)
class Event:
    """`name` is empty where the server only names the place."""

    id: str
    name: str
    data: Any


@dataclass
class Stream:
    messages: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    has_asked: bool = False
    text: str = ""
    ended: bool = False

    async def receive(self) -> Any:
        if not self.has_asked:
            self.has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def message(self) -> Any:
        async with asyncio.timeout(WITHIN):
            return await self.messages.get()

    async def start(self) -> tuple[int, dict[str, str]]:
        message = await self.message()
        assert message["type"] == "http.response.start"
        pairs = [(name.decode(), value.decode()) for name, value in message["headers"]]
        return message["status"], dict(pairs)

    async def event(self) -> Event | None:
        """The next one, without comments; None at the end."""
        while True:
            block, end, rest = self.text.partition("\n\n")
            if end:
                self.text = rest
                lines = [line.split(": ", 1) for line in block.split("\n") if line[:1] != ":"]
                found = {name: value for name, value in lines if name != "retry"}
                if found:
                    data = found.get("data")
                    name = found.get("event", "")
                    return Event(found["id"], name, json.loads(data) if data else None)
            elif self.ended:
                return None
            else:
                message = await self.message()
                self.text += message["body"].decode()
                self.ended = not message["more_body"]

    async def change(self) -> Any:
        event = await self.event()
        assert event
        assert event.name == "change"
        return event.data


@asynccontextmanager
async def streaming(
    app: Litestar,
    person: Person,
    *,
    query: str = "",
    method: str = "GET",
    client: str | None = "127.0.0.1",
    **headers: str,
) -> AsyncIterator[Stream]:
    """Hangs up at the end."""
    stream = Stream()
    sent = {"host": "api.test", "authorization": f"Bearer {person.token}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"{V1}/changes/stream"
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "server": ("api.test", 80),
        "client": (client, 123) if client else None,
        "state": {},
    }
    served = asyncio.create_task(app(scope, stream.receive, stream.messages.put))
    try:
        yield stream
    finally:
        stream.gone.set()
        async with asyncio.timeout(WITHIN):
            await served
