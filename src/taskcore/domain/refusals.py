"""Refuse input with all of its problems at once, not with the first one alone."""

from collections.abc import Mapping

from taskcore.domain.errors import Invalid, Problem


def refuse(*problems: Problem | None) -> None:
    """Raises Invalid with all problems at once, unless there are none."""
    if broken := [problem for problem in problems if problem]:
        raise Invalid(*broken)


class Refusals:
    """Collects the problems of several blocks, to raise them all at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, refusal: BaseException | None, __: object) -> bool:
        if isinstance(refusal, Invalid):
            self._problems += refusal.problems
            return True
        return False

    def raise_all(self) -> None:
        """Raises Invalid if there are problems."""
        refuse(*self._problems)


def only(changes: Mapping[str, object], shape: type) -> None:
    """Raises TypeError for names that are not in the TypedDict `shape`."""
    if unknown := changes.keys() - shape.__annotations__.keys():
        raise TypeError(f"cannot change {', '.join(sorted(unknown))}")
