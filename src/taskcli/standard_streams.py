"""Standard output and standard error, which may be closed, full, or have no reader any more.

Data comes here only through `output`; other modules write fixed pages.
"""

import errno
import os
import sys
from typing import TextIO


class ReaderGone(Exception):
    """The reader of our output has closed it (`| head`). `main` then ends with 0."""


class OutputLost(Exception):
    """The output could not be written. What it reports was done all the same."""


def fill_closed() -> None:
    """Open closed standard streams on nothing, before this process opens anything else.

    Else a socket or a file of ours would get their number, and what a library prints would be
    written to it. A write to standard output still fails, and reading still ends at once; other
    libraries fail if there is no standard output at all.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is this one
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)  # noqa: PLR2004
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def write(text: str) -> None:
    """Write to standard output. Raises ReaderGone and OutputLost."""
    if sys.stdout is None:
        raise OutputLost("standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        if error.errno == errno.EBADF:
            raise OutputLost("standard output is closed") from None
        raise OutputLost(f"the output cannot be written: {error.strerror}") from None


def write_error(text: str) -> None:
    """Write to standard error; text that cannot be written is lost."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # there is no other place to report this
        forget(sys.stderr)


def forget(stream: TextIO | None) -> None:
    """Discard what is buffered: otherwise the interpreter fails at exit if it cannot write that."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
