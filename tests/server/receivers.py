"""Places that a server sends traces and errors to: an OpenTelemetry collector, a Sentry."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[tuple[dict[str, str], bytes]] = []

    @contextmanager
    def listening(self) -> Iterator[int]:
        """The port."""
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                posted.append((dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()

    def spans(self) -> list[tuple[int, Any]]:
        """Each span, with the process that has sent it."""
        found = []
        for _, body in self.posted:
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                values = {each.key: each.value for each in resource.resource.attributes}
                pid = values["process.pid"].int_value
                found += [(pid, span) for scope in resource.scope_spans for span in scope.spans]
        return found

    def errors(self) -> list[dict[str, Any]]:
        """The event of each envelope that has one."""
        lines = [line for _, body in self.posted for line in body.splitlines()]
        return [event for event in map(json.loads, lines) if "exception" in event]


@contextmanager
def hanging() -> Iterator[int]:
    """The port of one that accepts connections, and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]
