"""Writes man/taskcli.1 from the help of the commands: `make man`."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App, Argument

from taskcli import command_list, global_options
from taskcli.main import commands

FILE = Path(__file__).parents[2] / "man" / "taskcli.1"


def written() -> str:
    """The page in roff, with the macros of man(7)."""
    app = commands()
    lines = [
        '.TH TASKCLI 1 "" "taskcore" "User Commands"',
        ".SH NAME",
        r"taskcli \- operate the task-management backend",
        ".SH SYNOPSIS",
        r".B taskcli",
        r"\fICOMMAND\fR [\fIVERB\fR] [\fIOPTIONS\fR]",
        ".SH COMMANDS",
    ]
    for _, noun, *_ in command_list.COMMANDS:
        for words, command in _leaves(app[noun], noun):
            lines += [f".SS {_roff(f'taskcli {words}')}", *_described(command)]
    lines.append(".SH OPTIONS OF EVERY COMMAND")
    for name, meaning in global_options.OPTIONS:
        lines += [".TP", rf"\fB{_roff(name)}\fR", _roff(meaning)]
    lines.append(".SH EXIT STATUS")
    for code, meaning in command_list.EXIT_CODES:
        lines += [".TP", str(code), _roff(meaning)]
    return "\n".join(lines) + "\n"


def _leaves(app: App, words: str) -> Iterator[tuple[str, App]]:
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield words, app
    for name in names:
        yield from _leaves(app[name], f"{words} {name}")


def _described(command: App) -> Iterator[str]:
    text = inspect.getdoc(command.default_command) or ""
    # What follows is about its arguments, which have their help below.
    about = text.partition("\nParameters\n----")[0].strip()
    for number, paragraph in enumerate(about.split("\n\n")):
        if number:
            yield ".PP"
        yield from map(_roff, paragraph.splitlines())
    for argument in command.assemble_argument_collection(parse_docstring=True):
        if argument.name == "*" or not argument.parse:
            continue
        yield from (".TP", _named(argument), _roff(" ".join(_help(argument).split())))


def _named(argument: Argument) -> str:
    names = rf"\fB{_roff(', '.join(argument.names))}\fR"
    is_word = not argument.name.startswith("-")
    if is_word or argument.hint in {bool, bool | None}:
        return names
    choices = "|".join(argument.get_choices(force=True) or ())
    return rf"{names} \fI{_roff(argument.parameter.metavar or choices)}\fR"


def _help(argument: Argument) -> str:
    choices = argument.get_choices()
    listed = f" One of {', '.join(choices)}." if choices else ""
    return f"{argument.parameter.help}{listed}"


def _roff(text: str) -> str:
    """Characters that mean something to roff, as themselves."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    FILE.write_text(written())
