"""What people are asked, and what is read from standard input instead."""

import asyncio
import getpass
import sys

from taskcli.exits import Usage
from taskcli.output import visible
from taskcore import Invalid, Problem

# More than a password may have, in bytes. Whoever pipes a whole disk is told so.
_LONGEST_LINE = 8192


def new_password(*, from_stdin: bool) -> str:
    """Raises Usage where nobody can be asked, and Invalid."""
    try:
        password = _line() if from_stdin else _typed_twice()
    except UnicodeDecodeError:
        raise _refused("is not valid UTF-8", "not_unicode") from None
    if not password:
        raise _refused("is empty", "too_short")
    return password


def require_terminal_or(yes: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raises Usage, before anything has begun, where the question could not be asked."""
    if not yes and not _on_terminal():
        raise Usage(f"to {what} without a terminal, confirm it with --yes")


async def confirmed(question: str) -> bool:
    """On the terminal; no is the default.

    The event loop goes on meanwhile, so that Ctrl-C and SIGTERM unwind as always: `input` would
    keep them waiting for an answer.
    """
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.buffer.readline().strip().lower() in {b"y", b"yes"}


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _line() -> str:
    if sys.stdin is None:
        raise Usage("standard input is closed; --password-stdin reads the password from it")
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    return line.removesuffix(ending).decode()


def _typed_twice() -> str:
    if not _on_terminal():
        raise Usage("there is no terminal to ask for the password; use --password-stdin")
    try:
        password = getpass.getpass("Password: ")
        if password and getpass.getpass("The same again: ") != password:
            raise _refused("was not the same the second time", "mismatch")
    except EOFError:  # Ctrl-D
        return ""
    return password


def _refused(sentence: str, code: str) -> Invalid:
    return Invalid(Problem("password", sentence, code))
