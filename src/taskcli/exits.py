"""Errors as exit codes and messages: the core's error tree is translated here.

The codes are those of sysexits.h, so that scripts can tell what to retry (75), what needs other
input (65) and what needs an administrator (69, 77, 78); after an interrupt, 130 (`signals.py`). A
user or task that does not exist is 65 and not 1: the input does not fit the data, and the program
did not fail.
"""

import os

from taskcli.output import message, trace
from taskcore import (
    Conflict,
    CursorExpired,
    Forbidden,
    Invalid,
    KeyInProgress,
    Misconfigured,
    NotFound,
    NotMigrated,
    OutcomeUnknown,
    Settings,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from taskcore.prefixes import own_variables

FAILURE = 1
USAGE = 2
BAD_DATA = 65
UNAVAILABLE = 69
OUTCOME_UNKNOWN = 74  # EX_IOERR
TRY_AGAIN = 75
NOT_PERMITTED = 77
CONFIGURATION = 78


class Usage(Exception):
    """The arguments are wrong in a way that only the command itself can check."""


class Busy(Unavailable):
    """The database answers, but could not do this now; a retry may succeed."""


# For a class that is not listed, its nearest ancestor decides.
CODES: dict[type[TaskcoreError], int] = {
    Invalid: BAD_DATA,
    Unauthenticated: NOT_PERMITTED,
    Forbidden: NOT_PERMITTED,
    NotFound: BAD_DATA,
    Conflict: BAD_DATA,
    CursorExpired: BAD_DATA,
    TooMany: TRY_AGAIN,
    Unavailable: UNAVAILABLE,
    Busy: TRY_AGAIN,
    KeyInProgress: TRY_AGAIN,
    NotMigrated: CONFIGURATION,
    OutcomeUnknown: OUTCOME_UNKNOWN,
    Misconfigured: CONFIGURATION,
}


def code_of(kind: type[TaskcoreError]) -> int:
    return next(CODES[ancestor] for ancestor in kind.__mro__ if ancestor in CODES)


def reported(error: Exception) -> int:
    """Print the message for people, and return the exit code."""
    if isinstance(error, Misconfigured):
        message(*error.problems)
        return code_of(type(error))
    if isinstance(error, TaskcoreError):
        message(error.detail)
        return code_of(type(error))
    missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    if isinstance(missing, ModuleNotFoundError):
        message(f"{missing.name} is not installed; run `pip install 'taskcore[all]'`")
        return CONFIGURATION
    if debugging():
        trace(error)
    # The first line alone: after it a database may quote the row that it refused.
    said = (str(error).splitlines() or [""])[0][:300]
    advice = () if debugging() else ("LOG_LEVEL=DEBUG shows where it happened",)
    message(f"unexpected {type(error).__name__}: {said}", *advice)
    return FAILURE


def debugging() -> bool:
    try:
        return Settings.load().log_level == "DEBUG"
    except Misconfigured:
        return own_variables(os.environ).get("LOG_LEVEL", "").upper() == "DEBUG"
