"""What the database's errors mean to the core, in one place.

By the name of the constraint or by SQLSTATE (PostgreSQL manual, appendix A). Their texts are
never passed on: they hold the values of the statement.
"""

from collections.abc import Callable

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from taskcore.domain.errors import (
    Conflict,
    EmailTaken,
    Invalid,
    NotFound,
    NotMigrated,
    Problem,
    RightsMissing,
    TaskcoreError,
    Unavailable,
)

_BY_CONSTRAINT: dict[str, Callable[[], TaskcoreError]] = {
    "users_email_key_key": EmailTaken,
    "tasks_owner_id_fkey": NotFound,
    "sessions_user_id_fkey": NotFound,
}

# The statement failed, the connection goes on.
_TRANSIENT = {
    "40001": "Another change came between; try again",
    "40P01": "Another change came between; try again",
    "55P03": "Somebody else is changing this just now; try again",
    "57014": "The database took too long; try again",
    "53100": "The database has no room left; nothing was changed",
    "53200": "The database is out of memory; try again",
}
_BY_STATE: dict[str, Callable[[], TaskcoreError]] = {
    "23503": Conflict,  # something needs what is not there
    "23505": Conflict,  # something else has the same key
    "42501": RightsMissing,
    "42703": NotMigrated,  # no such column
    "42P01": NotMigrated,  # no such table
}
# The connection is of no more use: gone, about to go, or to a server that must not be written to.
_BROKEN = ("08", "57P", "53300", "25006", "25P03", "25P04")
# Damaged data is not for the client to retry: it stays an unexpected error, loud in the log.
_CORRUPT = ("XX001", "XX002")
_REFUSED_VALUE = ("22", "23")

# Of one row among those of a statement.
_CONTENDED = ("40001", "40P01", "55P03")

_GONE = "The database does not answer; try again"


class Unexplained(Exception):
    """An error of the database that means nothing to the core: a mistake of ours.

    It names the kind and the place. What the server says besides may hold the row.
    """

    def __init__(self, error: psycopg.Error) -> None:
        place = (error.diag.table_name, error.diag.constraint_name)
        named = "".join(f", {name}" for name in place if name)
        super().__init__(f"{type(error).__name__}, SQLSTATE {error.sqlstate}{named}")


def translated(error: Exception) -> Exception:
    """The core's error for a driver's; any other one as it is."""
    if isinstance(error, (PoolTimeout, PoolClosed)):
        return Unavailable(_GONE)
    if isinstance(error, psycopg.Error):
        return _meaning(error) or Unexplained(error)
    if isinstance(error, UnicodeEncodeError):  # half a surrogate pair, which is no text
        return _unstorable()
    return error


def _meaning(error: psycopg.Error) -> TaskcoreError | None:
    state = error.sqlstate or ""
    if known := _BY_CONSTRAINT.get(error.diag.constraint_name or ""):
        return known()
    if sentence := _TRANSIENT.get(state):
        return Unavailable(sentence)
    if known := _BY_STATE.get(state):
        return known()
    if state.startswith(_REFUSED_VALUE) or (not state and isinstance(error, psycopg.DataError)):
        return _unstorable()
    if breaks_connection(error) and state not in _CORRUPT:
        return Unavailable(_GONE)
    return None


def is_of_one(error: Exception) -> bool:
    """Whether another question of the same statement may have brought this about.

    Nothing was changed then, and each can be asked again by itself. Not when the database is away
    or overloaded: that it is for all, and asking more would not help.
    """
    if isinstance(error, Unavailable):
        return getattr(error.__cause__, "sqlstate", None) in _CONTENDED
    return True


def _unstorable() -> Invalid:
    return Invalid(Problem("", "The database cannot hold this value", "unstorable"))


def breaks_connection(error: Exception) -> bool:
    """Whether the connection must not be used again."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate or ""
    # Without an SQLSTATE it was not the server that spoke: the connection failed, or a pooler
    # answered what the protocol does not expect.
    nameless = not state and isinstance(error, (psycopg.OperationalError, psycopg.InternalError))
    return nameless or state.startswith(_BROKEN + _CORRUPT)
