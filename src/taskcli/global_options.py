"""The options that stand anywhere on a command line, whatever the command.

They are taken out of the words before a command reads them, so no command declares them. `--json`
belongs to the commands that print data; in front of one it is moved behind its name.
"""

import os
from collections.abc import Sequence

QUIET, VERBOSE, JSON = "--quiet", "--verbose", "--json"
OPTIONS = (
    (QUIET, "print data, questions and errors, and no other messages"),
    (VERBOSE, "also print what the libraries log, and where an error happened"),
    (JSON, "of commands that print data: one JSON object"),
)
_END = "--"  # behind it every word is an argument


def without(options: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words but these options, as far as options may stand."""
    end = words.index(_END) if _END in words else len(words)
    return [*(word for word in words[:end] if word not in options), *words[end:]]


def has(option: str, words: Sequence[str]) -> bool:
    return len(without([option], words)) < len(words)


def be_verbose() -> None:
    from taskcore.prefixes import PREFIX  # noqa: PLC0415 - the overview needs none of it

    # With the prefix, which wins over the same name without it; for the workers of a server too.
    os.environ[f"{PREFIX}LOG_LEVEL"] = "DEBUG"
