"""What is wrong with a command line, in a sentence that says what to type."""

from collections.abc import Iterable, Sequence
from typing import get_origin
from uuid import UUID

from cyclopts import App, Argument, ArgumentCollection, CoercionError, CycloptsError
from cyclopts.exceptions import (
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.utils import is_option_like

from taskcli.arguments import meant
from taskcli.global_options import QUIET, VERBOSE
from taskcore.domain.printable import quoted


def explained(error: CycloptsError, command: str, app: App) -> str:
    """`command` is the part of the line that names a command, and `app` that command.

    The classes without a sentence here need options that this program does not have, such as short
    ones with values; the library's own sentence stands for them.
    """
    if isinstance(error, UnknownCommandError):
        word = (error.unused_tokens or [""])[0]
        return _unknown_command(word, [name for name in app if not name.startswith("-")])
    typed, arguments = error.root_input_tokens or [], _arguments(app)
    # First, because what is missing or surplus often follows from it.
    if option := _unknown_option(typed, arguments):
        return _no_option(option, arguments)
    said = str(error)
    match error:
        case UnknownOptionError():  # one behind `--`
            said = _no_option(error.token.keyword or error.token.value, arguments)
        case UnusedCliTokensError(unused_tokens=[_, *_] as words):
            said = _surplus(words, typed, command, arguments)
        case MissingArgumentError(argument=Argument() as argument):
            said = _missing(argument, typed, command, arguments)
        case CoercionError(argument=Argument() as argument):
            said = _unfit(error, argument)
        case RepeatArgumentError():
            said = f"{error.token.keyword} is there twice; give it once"
    return said


def _arguments(app: App) -> ArgumentCollection:
    return app.assemble_argument_collection(parse_docstring=True)


def _names(arguments: Iterable[Argument]) -> list[str]:
    return [name for argument in arguments if argument.parse for name in argument.names]


def _unknown_command(word: str, commands: Sequence[str]) -> str:
    there = ", ".join(commands)
    if word.startswith("-"):
        return f"options stand behind the command: before {quoted(word)} type one of {there}"
    return f"there is no command {quoted(word)}{meant(word, commands) or f'; there are {there}'}"


def _no_option(option: str, arguments: ArgumentCollection) -> str:
    known = [*_names(arguments), QUIET, VERBOSE]
    return f"there is no option {quoted(option)}{meant(option, known)}"


def _unknown_option(typed: Sequence[str], arguments: ArgumentCollection) -> str | None:
    """The first word that looks like an option, is none, and is not the value of one."""
    names = set(_names(arguments))
    with_value = names - _flags(arguments)
    for before, word in zip(["", *typed], typed, strict=False):
        option = word.partition("=")[0]
        if option == "--":  # what follows are values
            return None
        # cyclopts takes `--full_name` for `--full-name`.
        is_known = option.replace("_", "-") in names or before in with_value
        if is_option_like(option) and not is_known:
            return option
    return None


def _surplus(
    words: Sequence[str], typed: Sequence[str], command: str, arguments: ArgumentCollection
) -> str:
    """What surplus words mean: most often a text that has no quotes, `--title Buy milk`."""
    flags = _flags(arguments)
    with_value = set(_names(arguments)) - flags
    for before, value, word in zip(["", *typed], typed, typed[1:], strict=False):
        if word != words[0]:
            continue
        if value in flags:
            return f"{value} takes no value: leave out {quoted(word)}"
        option, equals, inline = value.partition("=")
        if equals and option in with_value:
            return _in_quotes(option, [inline, *words], arguments)
        if before in with_value:
            return _in_quotes(before, [value, *words], arguments)
    return f"{quoted(words[0])} is one word too many: type `{_usage(command, arguments)}`"


def _in_quotes(option: str, words: Sequence[str], arguments: ArgumentCollection) -> str:
    if option in _names(each for each in arguments if get_origin(each.hint) is Sequence):
        return f"repeat {option} for several: {' '.join(f'{option} {word}' for word in words)}"
    return f"put several words in quotes: {option} {quoted(' '.join(words))}"


def _flags(arguments: ArgumentCollection) -> set[str]:
    """The options that take no value."""
    return set(_names(each for each in arguments if each.hint in {bool, bool | None}))


def _usage(command: str, arguments: ArgumentCollection) -> str:
    words = [argument.name for argument in arguments if _is_word(argument)]
    return " ".join([command, *words])


def _is_word(argument: Argument) -> bool:
    """Whether the argument is given by its place and not by a name."""
    return not argument.name.startswith("-") and argument.name != "*"


def _missing(
    argument: Argument, typed: Sequence[str], command: str, arguments: ArgumentCollection
) -> str:
    # The error's own argument has no help text if that stands in the command's docstring.
    known = next((each for each in arguments if each.name == argument.name), argument)
    words = "|".join(known.get_choices(force=True) or ())
    if _is_word(known):
        allowed = f", one of {words}," if words else ""
        return f"{known.name}{allowed} is missing: type `{_usage(command, arguments)}`"
    about = (known.parameter.help or "").removesuffix(".")
    value = (known.parameter.metavar or words or "VALUE").removesuffix("...")
    option = f"{known.name} {value}"
    said = f"{option} ({about[:1].lower()}{about[1:]})"
    for name, word in zip(typed, [*typed[1:], ""], strict=True):
        if name not in known.names:
            continue
        if word.startswith("-") and word.partition("=")[0] not in _names(arguments):
            return f"a value that begins with a hyphen needs an equals sign: {name}={quoted(word)}"
        return f"{name} needs a value: {said}"
    return f"add {said}"


def _unfit(error: CoercionError, argument: Argument) -> str:
    token = error.token
    name = (token and token.keyword) or argument.name.lstrip("-").upper()
    if error.msg is not None:  # what a converter of ours says
        return f"{name}: {error.msg}"
    value = token.value if token else ""
    if choices := argument.get_choices(force=True):
        near = meant(value, choices)
        return f"{name}: {quoted(value)} is none of {', '.join(choices)}{near}"
    if error.target_type is bool:
        return f"{name} takes no value: leave out {quoted(value)}"
    kind = "id such as 01234567-89ab-cdef-0123-456789abcdef"
    return f"{name}: {quoted(value)} is no {kind if error.target_type is UUID else 'value for it'}"
