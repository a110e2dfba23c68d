"""A text that does not show itself."""

from typing import NoReturn, Self


class Secret:
    """A text that only `reveal` shows. It cannot be pickled; a copy is the same object."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written out")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:  # `asdict` copies
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
