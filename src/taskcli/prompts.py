"""Questions on the terminal, and passwords from standard input.

Whether a command asks, and what, stands in the command: `users.py`, `sessions.py`,
`tasks/trash.py`, `backups.py`.
"""

import asyncio
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from taskcli.exits import Usage
from taskcli.output import ask
from taskcli.signals import run
from taskcli.standard_streams import write_error
from taskcore import Invalid, Problem

# Bytes; more than a password may have. A wrong file on standard input then costs little.
_LONGEST_LINE = 8192


def new_password(*, from_stdin: bool) -> str:
    """Raises Usage without a terminal to ask on, and Invalid."""
    try:
        password = _piped_line() if from_stdin else _typed_twice()
    except UnicodeDecodeError:
        raise _refused("is not valid UTF-8", "not_unicode") from None
    if not password:
        raise _refused("is empty", "too_short")
    return password


def require_terminal_or(yes: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raises Usage, before any work, when the question could not be asked."""
    if not yes and not _on_terminal():
        raise Usage(f"to {what} without a terminal, confirm it with --yes")


async def confirmed(question: str) -> bool:
    """Ask on the terminal; anything but y or yes is a no."""
    return (await _answer(f"{question} [y/N]")).strip().lower() in {b"y", b"yes"}


async def _answer(question: str) -> bytes:
    """Read one line. The event loop goes on meanwhile, so that a signal can cancel the wait."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    ask(question)
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.buffer.readline()


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _piped_line() -> str:
    if sys.stdin is None:
        raise Usage("standard input is closed; --password-stdin reads the password from it")
    return _without_ending(sys.stdin.buffer.readline(_LONGEST_LINE))


def _typed_twice() -> str:
    if not _on_terminal():
        raise Usage("there is no terminal to ask for the password; use --password-stdin")
    password = run(_typed("Password:"))
    if password and run(_typed("The same again:")) != password:
        raise _refused("was not the same the second time", "mismatch")
    return password


async def _typed(question: str) -> str:
    """What is typed, which the terminal does not show; nothing after Ctrl-D."""
    with _hidden_typing():
        return _without_ending(await _answer(question))


@contextmanager
def _hidden_typing() -> Iterator[None]:
    shown = termios.tcgetattr(sys.stdin)
    hidden = [*shown[:3], shown[3] & ~termios.ECHO, *shown[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, shown)
        write_error("\n")


def _without_ending(line: bytes) -> str:
    """Raises UnicodeDecodeError."""
    ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    return line.removesuffix(ending).decode()


def _refused(sentence: str, code: str) -> Invalid:
    return Invalid(Problem("password", sentence, code))
