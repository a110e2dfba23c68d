"""Spans: what a use case and its statements took, for the operator of a server."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Span(Protocol):
    def note(self, name: str, value: int) -> None: ...


class Tracer(Protocol):
    """Told names of ours alone: never a value that a person or a client has chosen.

    Neither method raises or waits, and what the block raises goes on.
    """

    def use_case(self, name: str) -> AbstractContextManager[object]:
        """A span around a call, such as `tasks.edit`, within the one that is open in this task.

        Without an open one it begins a trace. What the block raises marks it, by its code or class.
        """

    def statement(
        self, name: str, attributes: Mapping[str, str]
    ) -> AbstractContextManager[Span | None]:
        """A span around a statement, within the one that is open in this task.

        None without an open one, or if that is not recorded.
        """
