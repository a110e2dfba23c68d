"""`--telemetry`: what metrics, traces and error reports cost, side by side with none of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.contestants import OURS, Contestant
from benchmarks.data import Database
from benchmarks.rows import TELLS_NOTHING

_PORT = 8140
WORKLOADS = ("get", "list", "create", "edit")
_SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


@contextmanager
def contestants() -> Iterator[tuple[Contestant, ...]]:
    """Servers that differ in what they tell, and for as long as the block lasts whom they tell."""
    with _receiving() as port:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        kinds = {
            TELLS_NOTHING: {},
            "metrics": {"METRICS_ADDRESS": f"127.0.0.1:{_PORT - 1}"},
            "traces of 1 %": traces | _SAMPLED,
            "traces": traces,
            "error reports": {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1"},
        }
        yield tuple(
            _telling(name, _PORT + number, variables)
            for number, (name, variables) in enumerate(kinds.items())
        )


def _telling(name: str, port: int, variables: dict[str, str]) -> Contestant:
    def environment(database: Database) -> dict[str, str]:
        return OURS.environment(database) | variables

    return replace(OURS, name=name, port=port, environment=environment)


@contextmanager
def _receiving() -> Iterator[int]:
    """The port of a collector that takes all and keeps nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Taker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
