"""The address that Prometheus asks: in a thread of the main process, beside the API."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from taskapi.metrics.exposition import CONTENT_TYPE, exposition
from taskapi.metrics.recorder import Recorder
from taskapi.metrics.sheets import Sheets
from taskcore import Misconfigured
from taskcore.networks import listening

_AT_ONCE = 8  # clients
_ASKS_WITHIN = 1.0  # seconds from the connection to the end of the request
_WITHIN = 5.0  # seconds from there to the end of the response
_HEAD_BYTES = 8192

_sheets: Sheets | None = None
"""What the workers, which are forked, write to. None in a process that no such server started."""


def claimed() -> Recorder | None:
    """In a worker: what writes to its sheet. None if no main process serves metrics."""
    return None if _sheets is None else Recorder(_sheets.claim())


def serve(place: str, workers: int) -> None:
    """Listen from now on, until this process ends. Call it before the workers are forked.

    Raises Misconfigured.
    """
    global _sheets  # noqa: PLW0603 - the workers find it here, as they are forked
    _sheets = sheets = Sheets(workers)
    host, port = listening(place)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        ours = socket.socket(family, kind, protocol)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind(address)
        ours.listen(_AT_ONCE)
    except OSError as error:
        raise Misconfigured(
            [f"METRICS_ADDRESS: cannot listen on {place}: {error.strerror}"]
        ) from None
    # A worker that outlives this process would keep the port from the next server.
    os.register_at_fork(after_in_child=ours.close)
    listener = _Listener(lambda: exposition(sheets))
    threading.Thread(
        target=lambda: asyncio.run(listener.run(ours)), name="metrics", daemon=True
    ).start()


class _Listener:
    """Answers each client once, and closes. A client that is slow, or never reads, is cut off.

    When there are more than _AT_ONCE, the one that has been asking for the longest is hung up on;
    if all have asked, the new one. So clients that never finish keep no scraper away.
    """

    def __init__(self, text: Callable[[], bytes]) -> None:
        self._text = text
        self._clients = 0
        self._asking: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def run(self, ours: socket.socket) -> None:
        server = await asyncio.start_server(self._meet, sock=ours, limit=_HEAD_BYTES)
        await server.serve_forever()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        self._asking[writer] = None
        if self._clients > _AT_ONCE:
            self._hang_up_on(next(iter(self._asking)))
        try:
            with suppress(ConnectionError, EOFError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_ASKS_WITHIN):
                    head = await reader.readuntil(b"\r\n\r\n")
                self._asking.pop(writer, None)
                async with asyncio.timeout(_WITHIN):
                    writer.write(self._response(head))
                    writer.close()
                    await writer.wait_closed()
        except TimeoutError:
            writer.transport.abort()  # `close` would wait until the rest is read
        finally:
            self._asking.pop(writer, None)
            self._clients -= 1
            writer.close()

    def _hang_up_on(self, writer: asyncio.StreamWriter) -> None:
        del self._asking[writer]
        writer.transport.abort()  # its task sees an end

    def _response(self, head: bytes) -> bytes:
        method, target, *_ = (*head.split(b"\r\n", 1)[0].split(b" "), b"", b"")
        if (method, target.partition(b"?")[0]) != (b"GET", b"/metrics"):
            status, kind, body = "404 Not Found", "text/plain", b"GET /metrics\n"
        else:
            status, kind, body = "200 OK", CONTENT_TYPE, self._text()
        lines = (
            f"HTTP/1.1 {status}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + body
