"""Words in a query: one of some, any of some, `true` or `false`.

A parameter's type says with a `Meta` from here what the document shows; the handler gives the
value to a parser. A parameter of several values is a sequence with the default `()`:

    StatusFilter = Annotated[Sequence[Annotated[str, one_of(STATUSES)]], several("Any of these")]

Clients repeat its name; `parameters` refuses more than MAX_VALUES.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Meta

from taskcore import Invalid, Problem
from taskcore.domain.task_queries import MAX_VALUES

Choice = TypeVar("Choice")

BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}
ONLY_TRUE: Mapping[str, bool] = {"true": True}  # for a filter without an opposite


def one_of(
    words: Iterable[str], description: str | None = None, *, name: str | None = None
) -> Meta:
    """Documents a `str` that `parse_choice` reads.

    A name makes the words one type of the document, and of the clients that are generated from it.
    """
    return Meta(title=name, description=description, extra_json_schema={"enum": list(words)})


def several(description: str) -> Meta:
    """Documents a `Sequence`, which `parse_choices` reads if its values are words."""
    return Meta(description=description, extra_json_schema={"maxItems": MAX_VALUES})


def flag(description: str, choices: Mapping[str, bool] = BOOLEANS) -> Meta:
    """Documents an `Any` that `parse_choice` reads with the same choices.

    Not for a `bool`, which would also take `1` and, for None, `null`; nor for a `str`, of which
    msgspec would add the type to the schema.
    """
    only = {} if choices == BOOLEANS else {"enum": list(choices.values())}
    return Meta(description=description, extra_json_schema={"type": "boolean"} | only)


def parse_choice(field: str, word: str | None, choices: Mapping[str, Choice]) -> Choice | None:
    """The choice of that word. Raises Invalid for a word that is not among the choices."""
    if word is None:
        return None
    if (choice := choices.get(word.lower())) is None:
        words = f"one of {', '.join(choices)}" if len(choices) > 1 else "".join(choices)
        raise Invalid(Problem(field, f"must be {words}, or left out", "wrong_type"))
    return choice


def parse_choices(
    field: str, words: Sequence[str], choices: Mapping[str, Choice]
) -> tuple[Choice, ...]:
    """The choice of each word, each once, in the order sent. Raises Invalid as `parse_choice`."""
    found = (parse_choice(field, word, choices) for word in words)
    return tuple(dict.fromkeys(choice for choice in found if choice is not None))
