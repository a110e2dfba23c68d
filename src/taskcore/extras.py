"""Packages that an extra of ours brings, and what is said where one is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports: a package that is not installed is told with the extra that brings it.

    Raises ModuleNotFoundError, whose `name` is that of the package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "taskcore":
            raise
        advice = f"{error.name} is not installed; run `pip install 'taskcore[{extra}]'`"
        raise ModuleNotFoundError(advice, name=error.name) from error
