"""Numbers that an adapter keeps anyway, for those who operate it."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

Measures = Mapping[str, float]
"""By name, or `name:label` where a name has several numbers. The names are few and fixed."""


@runtime_checkable
class Measured(Protocol):
    """An adapter may have this. It is asked every second, so it must not look far."""

    def measures(self) -> Measures: ...


@runtime_checkable
class Estimated(Protocol):
    """A store may have this. It is asked every minute."""

    async def estimates(self) -> Measures:
        """About how many rows it holds, by `rows:table`, without counting. Raises Unavailable."""
