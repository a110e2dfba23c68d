"""How many items a page of a list has, and how many a reader may skip."""

from taskcore.domain.errors import Problem
from taskcore.domain.refusals import refuse

# The store reads the rows that it skips: ten thousand take milliseconds.
MAX_SKIP = 10_000
DEFAULT_LIMIT = 100
MAX_LIMIT = 100
# Of labels with their counts. A name has at most 64 characters. Also the default.
MAX_LIMIT_OF_LABELS = 1000
# Of changes: how many events a page covers. Also the default.
MAX_LIMIT_OF_CHANGES = 500
READ_ON = "; read on with a cursor"


def check_slice(skip: int, limit: int, most: int = MAX_LIMIT) -> None:
    """Raises Invalid for a `skip` or `limit` out of range."""
    bounds = (("skip", skip, 0, MAX_SKIP, READ_ON), ("limit", limit, 1, most, ""))
    refuse(
        *(
            Problem(name, f"must be from {low} to {high}{advice}", "out_of_range")
            for name, value, low, high, advice in bounds
            if not low <= value <= high
        )
    )
