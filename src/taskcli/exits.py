"""What went wrong, as an exit code and a message: the core's error tree is translated here.

The codes are those of sysexits.h, so that scripts can tell what is worth repeating (75), what
needs other input (65) and what needs an administrator (69, 77, 78). A name that nothing answers
to is 65 and not 1: the input does not fit the data, and the program did not fail.
"""

import os
import traceback

from taskcli.output import message
from taskcore import (
    Conflict,
    Forbidden,
    Invalid,
    Misconfigured,
    NotFound,
    NotMigrated,
    Settings,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)

FAILURE = 1
USAGE = 2
BAD_DATA = 65
UNAVAILABLE = 69
TRY_AGAIN = 75
NOT_PERMITTED = 77
CONFIGURATION = 78


class Usage(Exception):
    """The command line itself is wrong, in a way that only the command can tell."""


class Busy(Unavailable):
    """The database answers, but this did not get through; the next attempt may."""


# The nearest ancestor decides.
CODES: dict[type[TaskcoreError], int] = {
    Invalid: BAD_DATA,
    Unauthenticated: NOT_PERMITTED,
    Forbidden: NOT_PERMITTED,
    NotFound: BAD_DATA,
    Conflict: BAD_DATA,
    TooMany: TRY_AGAIN,
    Unavailable: UNAVAILABLE,
    Busy: TRY_AGAIN,
    NotMigrated: CONFIGURATION,
    Misconfigured: CONFIGURATION,
}


def code_of(kind: type[TaskcoreError]) -> int:
    return next(CODES[ancestor] for ancestor in kind.__mro__ if ancestor in CODES)


def reported(error: Exception) -> int:
    """Tell people, and return the exit code."""
    if isinstance(error, TaskcoreError):
        message(error.detail)
        return code_of(type(error))
    missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    if isinstance(missing, ModuleNotFoundError):
        message(f"{missing.name} is not installed; run `pip install 'taskcore[all]'`")
        return CONFIGURATION
    if debugging():
        message("".join(traceback.format_exception(error)))
    # The first line alone: what databases say after it may hold the row that was refused.
    said = (str(error).splitlines() or [""])[0][:300]
    message(
        f"unexpected {type(error).__name__}: {said}"
        + ("" if debugging() else "\nLOG_LEVEL=DEBUG shows where it happened")
    )
    return FAILURE


def debugging() -> bool:
    try:
        return Settings.load().log_level == "DEBUG"
    except Misconfigured:
        return os.environ.get("LOG_LEVEL", "").upper() == "DEBUG"
