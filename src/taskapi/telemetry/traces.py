"""Traces: a span for each request, in that of the client who sent a `traceparent`."""

import os
import re
from collections.abc import Mapping
from typing import Self

from litestar.types import HTTPScope
from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from taskapi.logs import TRACE_ID
from taskapi.request_state import RequestState
from taskcore import Misconfigured, __version__
from taskcore.adapters.otel import OpenTelemetryTracer

_CLOSES_WITHIN = 1.0  # seconds
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_MAX_TRACEPARENT = 128  # characters; a longer one would be told of in the log each time
_SERVER_ERROR = 500
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_HEADER = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[^\",;\\\x00-\x1f\x7f-\U0010ffff]*")


def check_variables(endpoint: str, env: Mapping[str, str]) -> None:
    """Raises Misconfigured for what the SDK would refuse in a worker, or quote in the log."""
    problems = []
    if not re.fullmatch(r"https?://[^@\s/?#]+(/[^@\s]*)?", endpoint):
        problems.append(
            "OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https://, and hold no"
            " password; OTEL_EXPORTER_OTLP_HEADERS can"
        )
    problems += [
        f"{name} must be http/protobuf"
        for name in _PROTOCOLS
        if env.get(name, "").strip() not in {"", "http/protobuf"}
    ]
    if env.get("OTEL_TRACES_EXPORTER", "").strip().lower() not in {"", "otlp"}:
        problems.append("OTEL_TRACES_EXPORTER must be otlp or none")
    problems += [
        f"{name} must list name=value, separated by commas"
        for name in _HEADERS
        if not all(_HEADER.fullmatch(each) for each in env.get(name, "").split(",") if each.strip())
    ]
    queue = _number(env, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    if not 0 < _number(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512) <= queue:
        problems.append(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE (512) must be from 1 to OTEL_BSP_MAX_QUEUE_SIZE (2048)"
        )
    if _number(env, "OTEL_BSP_SCHEDULE_DELAY", 5000) <= 0:
        problems.append("OTEL_BSP_SCHEDULE_DELAY must be positive")
    if problems:
        raise Misconfigured(problems)


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(env.get(name, "").strip())
    except ValueError:
        return default


class Traces:
    """Spans of requests, and the tracer that makes those within them.

    What waits to be sent is bounded: OTEL_BSP_MAX_QUEUE_SIZE spans (2048), of which the oldest are
    dropped. A thread sends them, and no request waits for it.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("taskapi", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self.tracer = OpenTelemetryTracer(provider)

    @classmethod
    def exporting(cls) -> Self:
        """With the exporter, sampler and resource of the OTEL_ variables."""
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(_Impatient(OTLPSpanExporter()))
        return cls(provider)

    def close(self) -> None:
        """Send the spans that wait, for a second at most; those that are left are lost."""
        self._provider.shutdown()

    def begin(self, scope: HTTPScope, state: RequestState) -> "RequestSpan":
        """Open the span of a request in this task, and have its log lines tell the trace."""
        context = Context()
        parent = state.header(b"traceparent")
        if parent is not None and len(parent) <= _MAX_TRACEPARENT:
            context = self._propagator.extract({"traceparent": parent}, context)
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        # No path, query, address or user agent: they may hold what is private.
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
        span = self._tracer.start_span(method, context, SpanKind.SERVER, attributes)
        attach(trace.set_span_in_context(span, context))
        TRACE_ID.set(trace.format_trace_id(span.get_span_context().trace_id))
        return RequestSpan(span, method)


class RequestSpan:
    __slots__ = ("_method", "_span")

    def __init__(self, span: trace.Span, method: str) -> None:
        self._span, self._method = span, method

    def end(self, route: str | None, status: int | None) -> None:
        """Nothing of this task is within it any more. Does nothing the second time.

        Without a status the client has left.
        """
        attach(Context())
        span = self._span
        if not span.is_recording():
            return
        if route is not None:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
            if status >= _SERVER_ERROR:
                span.set_attribute("error.type", str(status))
                span.set_status(StatusCode.ERROR)
        span.end()


class _Impatient(BatchSpanProcessor):
    """Does not wait for a collector that hangs: the SDK would do so for 30 s."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=int(_CLOSES_WITHIN * 1000))


def _resource() -> Resource:
    found = Resource.create({"service.version": __version__, "process.pid": os.getpid()})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "taskcore"}))
    return found
