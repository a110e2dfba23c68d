"""One page of a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A bounded slice of a list, and the length of the whole list at the same moment."""

    items: Sequence[Item]
    total: int | None
    """None on a page with `after`, if the store would have to count again.

    Also None on a first page that has more items than the store can count in time.
    """
    has_more: bool = False
    """Whether other items follow."""
