"""One page of a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A bounded slice of a list, and the length of the whole list at the same moment."""

    items: Sequence[Item]
    total: int
    has_more: bool = False
    """Whether older items follow; set only by lists that take `before`."""
