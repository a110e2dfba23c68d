"""Spans by OpenTelemetry."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from taskcore.domain.errors import TaskcoreError, Unavailable
from taskcore.ports import Span

_UNRECORDED: AbstractContextManager[None] = nullcontext()


class OpenTelemetryTracer:
    """Makes spans with a provider of the OpenTelemetry SDK, which samples and exports them.

    A span has no message and no traceback of an error, which may hold values.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("taskcore")

    def use_case(self, name: str) -> AbstractContextManager[object]:
        around = trace.get_current_span()
        context = around.get_span_context()
        if context.is_valid and not context.is_remote and not around.is_recording():
            return _UNRECORDED
        return _UseCase(self._tracer.start_span(name))

    def statement(
        self, name: str, attributes: Mapping[str, str]
    ) -> AbstractContextManager[Span | None]:
        if not trace.get_current_span().is_recording():
            return _UNRECORDED
        return _Statement(
            self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        )


class _Statement:
    """The span of a statement. No span begins within it, so it is not made the current one."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, name: str, value: int) -> None:
        self._span.set_attribute(name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _mark(self._span, error)
        self._span.end()


class _UseCase:
    __slots__ = ("_before", "_span")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._before = attach(trace.set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        detach(self._before)
        _mark(self._span, error)
        self._span.end()


def _mark(span: trace.Span, error: BaseException | None) -> None:
    """Name the error, if any. Only a fault of the server gives the span the status ERROR.

    A refusal is none, nor is the cancellation after a client has left.
    """
    if error is None:
        return
    is_refusal = isinstance(error, TaskcoreError) and not isinstance(error, Unavailable)
    name = error.code if isinstance(error, TaskcoreError) else type(error).__qualname__
    span.set_attribute("error.type", name)
    if isinstance(error, Exception) and not is_refusal:
        span.set_status(StatusCode.ERROR)
