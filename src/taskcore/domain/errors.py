"""All errors of the core, as one tree.

    TaskcoreError
    ├── Invalid              the input breaks a rule; says which fields and why
    │   └── KeyReused            the idempotency key is that of another request
    ├── Unauthenticated      the caller is not logged in
    │   ├── InvalidCredentials   wrong e-mail or password, or a deactivated account
    │   └── InvalidToken         the access or refresh token is not valid
    │       └── ExpiredToken         the token has expired
    ├── Forbidden            the actor may see it, but not do this
    │   └── PasswordChangeRequired  a one-time password opens no session
    ├── NotFound             does not exist, or the actor may not see it
    ├── Conflict             the current state does not allow it
    │   ├── EmailTaken           another account has this e-mail address
    │   ├── KeyInProgress        a request with this idempotency key is being worked on
    │   ├── LastAdmin            no active administrator would be left
    │   ├── StaleWrite           another request has changed it meanwhile
    │   └── HistoryGone          events that it needs are not kept any more
    ├── CursorExpired        what came after it is not kept any more; begin anew
    ├── TooMany              over a rate limit; says when to try again
    ├── Unavailable          a dependency does not answer; says when to try again
    │   ├── OutcomeUnknown       it went away while it made a change
    │   ├── Overloaded           it answers, but has too much to do
    │   └── NotMigrated          the database schema is too old
    │       ├── RightsMissing    the database role lacks rights
    │       ├── SchemaTooNew     the database schema is too new for this code
    │       └── WrongEncoding    the database does not store Unicode
    └── Misconfigured        the settings or the machine prevent a start

Each driving adapter maps this tree once: to problem details over HTTP, to exit codes on the
command line. `code` is stable: clients may rely on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Self

# Seconds to wait after Unavailable and KeyInProgress. A rate limit tells its own.
RETRY_AFTER = 1.0


class TaskcoreError(Exception):
    """An error with a sentence for people (`detail`) and a slug for programs (`code`)."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Where a class says no more, `help` shows its title and its code."""
        if not cls.__dict__.get("__doc__"):
            cls.__doc__ = f"{cls.title}. The code is `{cls.code}`."

    def __init__(self, detail: str | None = None, *, field: str = "") -> None:
        self.detail = detail or self.title
        self.field = field
        """What of the input it is about, such as `operations/3/id` of a bulk; mostly empty."""
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: the field by its public name, a sentence and a slug."""

    field: str
    """Empty for a rule about no single field."""
    detail: str
    code: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class Invalid(TaskcoreError):
    code = "invalid"
    title = "The input breaks a rule"

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class KeyReused(Invalid):
    code = "idempotency_key_reused"
    title = "This idempotency key belongs to another request; a new request needs a new key"


class Unauthenticated(TaskcoreError):
    code = "unauthenticated"
    title = "Log in first"


class InvalidCredentials(Unauthenticated):
    code = "invalid_credentials"
    title = "E-mail or password is wrong"


class InvalidToken(Unauthenticated):
    code = "invalid_token"
    title = "The token is not valid; log in again"


class ExpiredToken(InvalidToken):
    code = "token_expired"
    title = "The token has expired; get a new one with the refresh token, or log in again"


class Forbidden(TaskcoreError):
    code = "forbidden"
    title = "Your role does not allow this"


class PasswordChangeRequired(Forbidden):
    code = "password_change_required"
    title = "This is a one-time password; log in with it and with a new password of your own"


class NotFound(TaskcoreError):
    code = "not_found"
    title = "There is no such thing here"


class Conflict(TaskcoreError):
    code = "conflict"
    title = "The present state does not allow this"


class EmailTaken(Conflict):
    code = "email_taken"
    title = "Another account has this e-mail address"


class KeyInProgress(Conflict):
    code = "idempotency_in_progress"
    title = "The first request with this idempotency key has no answer yet; send it again"
    retry_after = RETRY_AFTER


class LastAdmin(Conflict):
    code = "last_admin"
    title = "This is the last active administrator; make another one first"


class StaleWrite(Conflict):
    code = "stale_write"
    title = "This has changed meanwhile; read it again and repeat your change"

    @classmethod
    def now_at(cls, version: int, *, field: str = "") -> Self:
        """For a task that the actor may see: says which version it has."""
        detail = f"The task has version {version} now; read it again and repeat your change"
        return cls(detail, field=field)


class HistoryGone(Conflict):
    code = "history_gone"
    title = "What the task was at that version is not kept"


class CursorExpired(TaskcoreError):
    code = "cursor_expired"
    title = "What came after this cursor is not kept; read everything, then begin anew"


class TooMany(TaskcoreError):
    code = "too_many_requests"
    title = "Too many attempts; wait and try again"

    def __init__(self, detail: str | None = None, *, retry_after: float = RETRY_AFTER) -> None:
        """`retry_after` in seconds; without a detail, the detail tells them."""
        super().__init__(detail or f"Too many attempts; try again in {_in_words(retry_after)}")
        self.retry_after = retry_after


class Unavailable(TaskcoreError):
    code = "unavailable"
    title = "The service cannot answer just now; try again"

    def __init__(self, detail: str | None = None, *, retry_after: float = RETRY_AFTER) -> None:
        """`retry_after` in seconds."""
        super().__init__(detail)
        self.retry_after = retry_after


class OutcomeUnknown(Unavailable):
    """Never raised for what only reads, nor where it is certain that nothing was changed."""

    code = "outcome_unknown"
    title = (
        "The database went away before it confirmed the change, which may have been made: with an"
        " idempotency key send the same request again, without one look before you repeat it"
    )


class Overloaded(Unavailable):
    code = "overloaded"
    title = "Too many requests at once; try again"


class NotMigrated(Unavailable):
    code = "not_migrated"
    title = "The database is not migrated; run `taskcli db upgrade`"


class RightsMissing(NotMigrated):
    code = "rights_missing"
    title = (
        "The database role lacks rights; docs/security.md has the grants, and `taskcli doctor`"
        " names each that is missing"
    )


class SchemaTooNew(NotMigrated):
    code = "schema_too_new"
    title = "The database is of a newer release, which this one cannot work with; install that one"


class WrongEncoding(NotMigrated):
    code = "wrong_encoding"
    title = (
        "The database must have the encoding UTF8; make one with"
        " `CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0`"
    )


def _in_words(seconds: float) -> str:
    """A time to wait, for people: never less, and in the unit in which it is a small number."""
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds > 2 * unit:
            return f"{ceil(seconds / unit)} {name}"
    whole = max(1, ceil(seconds))
    return f"{whole} seconds" if whole > 1 else "1 second"


class Misconfigured(TaskcoreError):
    code = "misconfigured"
    title = "The configuration does not allow a start"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
