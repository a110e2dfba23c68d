"""Use cases whose calls are spans. Without a tracer nothing of this is used."""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import lru_cache, wraps
from inspect import getmembers, iscoroutinefunction
from typing import Any, TypeVar, cast

from taskcore.ports import Tracer

Part = TypeVar("Part")
_Method = Callable[..., Awaitable[Any]]


def traced(part: Part, name: str, tracer: Tracer) -> Part:
    """A copy of a dataclass, each public coroutine method of which is a span, such as `tasks.edit`.

    Generators are none: they go on for as long as a client follows, or as there is work.
    """
    kind = _subclass(type(part), name, tracer)  # type: ignore[arg-type]  # all are hashable
    return cast(Part, kind(*(getattr(part, each.name) for each in fields(cast(Any, part)))))


@lru_cache(maxsize=64)  # there are fewer nouns
def _subclass(kind: type[Any], name: str, tracer: Tracer) -> type[Any]:
    methods = {
        method: _spanning(function, f"{name}.{method}", tracer)
        for method, function in getmembers(kind, iscoroutinefunction)
        if not method.startswith("_")
    }
    return type(kind.__name__, (kind,), {"__slots__": (), **methods})


def _spanning(method: _Method, name: str, tracer: Tracer) -> _Method:
    @wraps(method)
    async def call(*arguments: object, **named: object) -> object:
        with tracer.use_case(name):
            return await method(*arguments, **named)

    return call
