"""`taskcli help`: what a command takes."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from taskcli.command_list import COMMANDS, page
from taskcli.standard_streams import write

if TYPE_CHECKING:
    Noun = str
else:
    # The nouns, so that shells complete them.
    Noun = Literal[tuple(noun for _, noun, *_ in COMMANDS)]


def help_(
    command: Annotated[Noun | None, Parameter(name="COMMAND", help="The command.")] = None,
    verb: Annotated[str | None, Parameter(name="VERB", help="One of its verbs.")] = None,
    /,
) -> None:
    """Say what a command takes, or which commands there are."""
    # A call that names a command does not get here: `main` reads `help users` as `users --help`.
    _ = command, verb
    write(page() + "\n")
