"""Running taskcli in this process, because a new one takes half a second for its imports."""

import io
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from taskcli import running
from taskcli.main import exit_code
from taskcore import Core, Settings
from tests.cli.programs import Result


def run(*arguments: str, env: Mapping[str, str], cwd: Path, stdin: str = "") -> Result:
    """What the command does in that environment, as `programs.run` would."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        _without_handlers(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.setattr("os.environ", dict(env))
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.chdir(cwd)
        code = exit_code(arguments)
    return Result(code, out.getvalue(), err.getvalue())


def use_core(core: Core, patch: pytest.MonkeyPatch) -> None:
    """Let the commands of this process work on that core, instead of one on a database."""

    @asynccontextmanager
    async def opener(_: Settings) -> AsyncIterator[Core]:
        yield core

    patch.setattr(running, "open_core", opener)


@contextmanager
def _without_handlers() -> Iterator[None]:
    """A new process has no log handlers; those of this one would keep the command from its own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
