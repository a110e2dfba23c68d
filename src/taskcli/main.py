"""The entry point: from arguments to an exit code."""

import gc
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from taskcli import command_list, global_options, signals
from taskcli.standard_streams import OutputLost, ReaderGone, fill_closed, forget, write

if TYPE_CHECKING:
    from cyclopts import App

# What takes longer to import than the help page takes to print is imported in functions.
# ruff: noqa: PLC0415


def main() -> None:
    signals.end_at_once()
    fill_closed()
    # Python looks for garbage after every 700 new objects. Imports make 100 000 objects that stay,
    # so it would take an eighth of the start to look. Commands end before garbage matters; `serve`
    # turns collection on again.
    gc.disable()
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name. Print what went wrong, and return the exit code."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The command must not fail because of a title with characters that the locale lacks.
            sys.stdout.reconfigure(errors="backslashreplace")
        code = _answer(list(arguments))
        if sys.stdout is not None:
            write("")  # flush here, so that a failure is reported like any other
    except ReaderGone:
        # Commands print after their work is done, so nothing is missing but the output.
        forget(sys.stdout)
        return 0
    except OutputLost as error:
        from taskcli.output import message

        forget(sys.stdout)
        message(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost handler
        from taskcli.exits import reported

        return reported(error)
    return code


def commands() -> "App":
    """An app with every command by name. The module of a command is imported when it is used."""
    from cyclopts import App

    from taskcli.help_pages import FilledParagraphs

    app = App(
        name="taskcli",
        help="Operate the task-management backend.",
        help_format="plaintext",
        help_formatter=FilledParagraphs(),
        help_epilogue="Also, as for every command: "
        f"{global_options.QUIET}, {global_options.VERBOSE}.",
        version_flags=(),  # `taskcli --version` is answered here
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for _, noun, _, _, path in command_list.COMMANDS:
        app.command(path, name=noun)
    return app


def _answer(typed: list[str]) -> int:
    arguments = global_options.without([global_options.QUIET, global_options.VERBOSE], typed)
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or (
        arguments[0].startswith("-") and not {"-h", "--help"}.isdisjoint(arguments)
    ):
        write(command_list.page() + "\n")
        return 0
    if arguments[:1] == ["--version"]:
        write(f"taskcli {command_list.version()}\n")
        return 0

    from cyclopts import CycloptsError

    from taskcli.exits import BAD_DATA, USAGE, Usage
    from taskcli.output import be_quiet, message
    from taskcore.environment import forget_libpq_variables

    quiet, verbose = (global_options.has(each, typed) for each in ("--quiet", "--verbose"))
    be_quiet(quiet=quiet)
    if verbose:
        global_options.be_verbose()
    # Python turns bytes that are not UTF-8 into lone surrogates.
    if any("\ud800" <= character <= "\udfff" for word in arguments for character in word):
        message("an argument is not valid UTF-8")
        return BAD_DATA
    forget_libpq_variables()
    app = commands()
    if quiet and verbose:
        message("give --quiet or --verbose, not both")
        return USAGE
    try:
        arguments = _with_json_behind(app, arguments)
        result = app(arguments)
    except (CycloptsError, Usage) as error:
        from taskcli.usage_errors import explained

        names, apps, _ = app.parse_commands(arguments)
        command = " ".join(["taskcli", *names])
        said = str(error) if isinstance(error, Usage) else explained(error, command, apps[-1])
        message(said, f"try `{command} --help`")
        return USAGE
    return result if isinstance(result, int) else 0


def _with_json_behind(app: "App", arguments: list[str]) -> list[str]:
    """Move a `--json` that stands before the name of the command behind it."""
    behind = arguments[1:]
    names, _, rest = app.parse_commands(behind)
    if arguments[0] != global_options.JSON or not names:
        return arguments
    already = global_options.has(global_options.JSON, rest)
    return [*names, *rest] if already else [*names, global_options.JSON, *rest]
