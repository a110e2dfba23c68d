"""Translates the driver's errors to the core's.

By the name of the constraint or by SQLSTATE (PostgreSQL manual, appendix A). Never pass on the
driver's messages: they may hold values of the statement.
"""

import logging
import math
from collections.abc import Callable
from time import monotonic

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from taskcore.domain.errors import (
    Conflict,
    EmailTaken,
    Invalid,
    InvalidToken,
    NotFound,
    NotMigrated,
    OutcomeUnknown,
    Problem,
    RightsMissing,
    TaskcoreError,
    Unavailable,
)

_log = logging.getLogger(__name__)

_BY_CONSTRAINT: dict[str, Callable[[], TaskcoreError]] = {
    "users_email_key_key": EmailTaken,
    "tasks_owner_id_fkey": NotFound,
    "sessions_user_id_fkey": NotFound,
    "idempotency_keys_user_id_fkey": InvalidToken,
    "idempotency_usage_user_id_fkey": InvalidToken,
}

# The statement failed; the connection stays usable.
_TRANSIENT = {
    "40001": "The data changed in the meantime; try again",
    "40P01": "The data changed in the meantime; try again",
    "55P03": "Another request is changing this; try again",
    "57014": "The database took too long; try again",
    "53100": "The database has no room left; nothing was changed",
    "53200": "The database is out of memory; try again",
}
# Of these, the ones that end only when the operator does something: the log says so as well.
_OUT_OF_MEANS = {"53100", "53200"}
_SAID_EVERY = 10.0  # seconds
_said_at: dict[str, float] = {}

_BY_STATE: dict[str, Callable[[], TaskcoreError]] = {
    "23503": Conflict,  # a foreign key finds no row
    "23505": Conflict,  # the key exists already
    "42501": RightsMissing,
    "42703": NotMigrated,  # no such column
    "42P01": NotMigrated,  # no such table
}
# The connection must not be used again: it is closing, or its server is read-only.
_BROKEN = ("08", "57P", "53300", "25006", "25P03", "25P04")
# Of these, the ones with which a server refuses work before it begins.
_NOT_BEGUN = ("25006", "53300", "57P03")
# Damaged data is no error that a client can retry: it stays unexpected, and so gets logged.
_CORRUPT = ("XX001", "XX002")
_REFUSED_VALUE = ("22", "23")

_TOO_LONG = "57014"
_LOCKED = "55P03"
# A statement of a batch may have failed because of one request: another transaction holds or
# changed a row of it, or it takes too long.
_OF_ONE_REQUEST = ("40001", "40P01", _LOCKED, _TOO_LONG)

NO_ANSWER = "The database does not answer; try again"


class Unexplained(Exception):
    """An error of the database that the core has no error for: a bug.

    Names its class, SQLSTATE, table and constraint only; the server's message may hold the row.
    """

    def __init__(self, error: psycopg.Error) -> None:
        place = (error.diag.table_name, error.diag.constraint_name)
        named = "".join(f", {name}" for name in place if name)
        super().__init__(f"{type(error).__name__}, SQLSTATE {error.sqlstate}{named}")


def translated(error: Exception, *, in_doubt: bool = False) -> Exception:
    """The core's error for one of the driver's; any other error unchanged.

    `in_doubt`: whether a change or its commit was sent, which a server that goes away without an
    answer may have made.
    """
    if isinstance(error, (PoolTimeout, PoolClosed)):
        return Unavailable(NO_ANSWER)
    if isinstance(error, psycopg.Error):
        return _meaning(error, in_doubt=in_doubt) or Unexplained(error)
    if isinstance(error, UnicodeEncodeError):  # a lone surrogate
        return _unstorable()
    return error


def _meaning(error: psycopg.Error, *, in_doubt: bool) -> TaskcoreError | None:
    state = error.sqlstate or ""
    if known := _BY_CONSTRAINT.get(error.diag.constraint_name or ""):
        return known()
    if sentence := _TRANSIENT.get(state):
        if state in _OUT_OF_MEANS and monotonic() - _said_at.get(state, -math.inf) > _SAID_EVERY:
            _said_at[state] = monotonic()
            _log.warning("%s (SQLSTATE %s)", sentence, state)
        return Unavailable(sentence)
    if known := _BY_STATE.get(state):
        return known()
    if state.startswith(_REFUSED_VALUE) or (not state and isinstance(error, psycopg.DataError)):
        return _unstorable()
    if breaks_connection(error) and state not in _CORRUPT:
        return OutcomeUnknown() if in_doubt and state not in _NOT_BEGUN else Unavailable(NO_ANSWER)
    return None


def concerns_one_request(error: Exception) -> bool:
    """Whether one request of a batch may have caused this, so that each should be retried alone.

    The batch was one transaction and has changed nothing. False when the database is away or
    overloaded: that concerns every request, and more statements would not help.
    """
    if isinstance(error, Unavailable):
        return _state(error) in _OF_ONE_REQUEST
    return True


def took_too_long(error: Unavailable) -> bool:
    """Whether the server ended the statement at its timeout."""
    return _state(error) == _TOO_LONG


def waited_too_long(error: Unavailable) -> bool:
    """Whether another transaction held a row for longer than the lock timeout."""
    return _state(error) == _LOCKED


def _state(error: Unavailable) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def _unstorable() -> Invalid:
    return Invalid(Problem("", "The database cannot hold this value", "unstorable"))


def breaks_connection(error: Exception) -> bool:
    """Whether the connection must not be used again."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate or ""
    # Without an SQLSTATE the error is not the server's: the connection failed, or a pooler broke
    # the protocol.
    no_state = not state and isinstance(error, (psycopg.OperationalError, psycopg.InternalError))
    return no_state or state.startswith(_BROKEN + _CORRUPT)
