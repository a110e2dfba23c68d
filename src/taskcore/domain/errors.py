"""Everything the core refuses to do, drawn as one tree.

    TaskcoreError
    ├── Invalid              the input breaks a rule; says which fields and why
    ├── Unauthenticated      nobody is logged in
    │   ├── InvalidCredentials   wrong e-mail or password, or a deactivated account
    │   ├── InvalidToken         the access or refresh token is not good
    │   └── ExpiredToken         it was, but its time is over
    ├── Forbidden            may see it, may not do it
    ├── NotFound             does not exist, or may not be seen
    ├── Conflict             the state of things stands against it
    │   ├── EmailTaken           another account has this e-mail address
    │   ├── LastAdmin            nobody would be left to administer
    │   └── StaleWrite           somebody else changed it meanwhile
    ├── TooMany              over a limit; says when to try again
    ├── Unavailable          something the core needs does not answer; says when to try again
    │   └── NotMigrated          the database lacks what this version needs
    │       └── RightsMissing    it does not let us do what this version needs
    └── Misconfigured        the settings or the machine do not allow a start

Driving adapters translate this tree once: to problem details over HTTP, to exit codes on the
command line. `code` is stable: programs may rely on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class TaskcoreError(Exception):
    """A refusal, with a sentence for people (`detail`) and a slug for programs (`code`)."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: the field as its owner calls it, a sentence and a slug."""

    field: str
    detail: str
    code: str


class Invalid(TaskcoreError):
    code = "invalid"
    title = "The input breaks a rule"

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.field}: {p.detail}" for p in problems))


class Unauthenticated(TaskcoreError):
    code = "unauthenticated"
    title = "Log in first"


class InvalidCredentials(Unauthenticated):
    code = "invalid_credentials"
    title = "E-mail or password is wrong"


class InvalidToken(Unauthenticated):
    code = "invalid_token"
    title = "The token is not valid"


class ExpiredToken(InvalidToken):
    code = "token_expired"
    title = "The token has expired"


class Forbidden(TaskcoreError):
    code = "forbidden"
    title = "Your role does not allow this"


class NotFound(TaskcoreError):
    code = "not_found"
    title = "There is no such thing here"


class Conflict(TaskcoreError):
    code = "conflict"
    title = "The present state does not allow this"


class EmailTaken(Conflict):
    code = "email_taken"
    title = "Another account has this e-mail address"


class LastAdmin(Conflict):
    code = "last_admin"
    title = "This is the last active administrator; make another one first"


class StaleWrite(Conflict):
    code = "stale_write"
    title = "Somebody else changed this meanwhile; read it again and repeat your change"


class TooMany(TaskcoreError):
    code = "too_many_requests"
    title = "Too many attempts; wait and try again"

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        """`retry_after` in seconds."""
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(TaskcoreError):
    code = "unavailable"
    title = "The service cannot answer just now; try again"

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        """`retry_after` in seconds."""
        super().__init__(detail)
        self.retry_after = retry_after


class NotMigrated(Unavailable):
    code = "not_migrated"
    title = "The database is not migrated; run `taskcli db upgrade`"


class RightsMissing(NotMigrated):
    code = "rights_missing"
    title = "The database role lacks rights; docs/security.md has the grants"


class Misconfigured(TaskcoreError):
    code = "misconfigured"
    title = "The configuration does not allow a start"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
